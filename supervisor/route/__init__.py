"""From the first plaintext of a connection to the worker of the camera that it asks for."""

from .router import Router

__all__ = ["Router"]
