"""From a listening socket to a client that may send its first RTSP request: limits, first bytes, handshake."""

from .budget import Budget, Lease
from .channel import Channel
from .door import Door
from .journal import Journal
from .tcp import BindError, Listener, bind

__all__ = ["BindError", "Budget", "Channel", "Door", "Journal", "Lease", "Listener", "bind"]
