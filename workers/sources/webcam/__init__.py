"""Cameras of this machine: Video4Linux says what they offer, FFmpeg reads them."""

from .capture import opener

__all__ = ["opener"]
