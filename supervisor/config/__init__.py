"""The configuration file: TOML to typed Settings, every error at once."""

from .read import ConfigurationError, Problem
from .schema import Limits, Workers
from .settings import Settings, check, load

__all__ = ["ConfigurationError", "Limits", "Problem", "Settings", "Workers", "check", "load"]
