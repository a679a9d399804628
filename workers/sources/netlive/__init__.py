"""Streams of other protocols than RTSP, by FFmpeg: it reads what we let it, from where we let it."""

from .session import NetSession

__all__ = ["NetSession"]
