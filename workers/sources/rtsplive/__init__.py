"""An upstream camera, pulled by RTSP: one connection for all streams of a camera that show it."""

from .feed import UpstreamPassThrough
from .pictures import UpstreamCapture

__all__ = ["UpstreamCapture", "UpstreamPassThrough"]
