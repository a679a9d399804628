"""Live streams from elsewhere: one session, in a thread of its own, for all streams of a camera that show it."""

from ..arrivals import Arrival
from .clock import MediaClock
from .feed import UpstreamPassThrough
from .pictures import PICTURE_STALE_NS, UpstreamCapture
from .receiver import TrackReceiver
from .session import Interrupt, LeftError, Listener, Session
from .subscription import OpenSession
from .units import UnitCompletion

__all__ = [
    "PICTURE_STALE_NS",
    "Arrival",
    "Interrupt",
    "LeftError",
    "Listener",
    "MediaClock",
    "OpenSession",
    "Session",
    "TrackReceiver",
    "UnitCompletion",
    "UpstreamCapture",
    "UpstreamPassThrough",
]
