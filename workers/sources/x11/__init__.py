"""Desktops and windows of X11 servers: python-xlib finds what is to be shown, FFmpeg's x11grab takes its picture."""

from .capture import opener

__all__ = ["opener"]
