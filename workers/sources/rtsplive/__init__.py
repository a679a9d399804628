"""An upstream camera, pulled by RTSP."""

from .session import RTSPSession

__all__ = ["RTSPSession"]
