"""A worker hands its camera to a successor, and its readers notice nothing (core/wire/succession.py)."""

from .errors import SuccessionError
from .predecessor import Predecessor
from .successor import Successor

__all__ = ["Predecessor", "SuccessionError", "Successor"]
