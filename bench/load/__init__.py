"""The load tool: many RTSP readers in one process, measured from the client's side. `camfleet bench`."""

from .run import main

__all__ = ["main"]
