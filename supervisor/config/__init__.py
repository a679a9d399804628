"""The configuration file: TOML to typed Settings, every error at once."""

from .identities import ClientPolicy, Files, IdentitySettings, TLSSettings
from .read import ConfigurationError, Problem, state_dir_in
from .schema import GLOBAL, Limits, Workers
from .settings import Settings, check, load

__all__ = [
    "GLOBAL",
    "ClientPolicy",
    "ConfigurationError",
    "Files",
    "IdentitySettings",
    "Limits",
    "Problem",
    "Settings",
    "TLSSettings",
    "Workers",
    "check",
    "load",
    "state_dir_in",
]
