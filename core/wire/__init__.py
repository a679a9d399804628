"""Everything that supervisor and workers say to each other, and nothing else is shared between them."""

from .camera import CameraSpec, FileLive, StreamSpec, TestLive, UserSpec, VideoSpec
from .control import WIRE_VERSION, decode, encode
from .handoff import HandoffRecord

__all__ = [
    "WIRE_VERSION",
    "CameraSpec",
    "FileLive",
    "HandoffRecord",
    "StreamSpec",
    "TestLive",
    "UserSpec",
    "VideoSpec",
    "decode",
    "encode",
]
