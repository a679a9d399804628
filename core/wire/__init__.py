"""Everything that supervisor and workers say to each other, and nothing else is shared between them."""

from .camera import CameraSpec, StreamSpec, UserSpec, VideoSpec
from .control import WIRE_VERSION, decode, encode
from .handoff import HandoffRecord
from .overlay import OverlaySpec
from .source import (
    KINDS,
    FileLive,
    Image,
    NetLive,
    Publish,
    RTSPLive,
    ScreenLive,
    Source,
    TestLive,
    Webcam,
    WindowLive,
)

__all__ = [
    "KINDS",
    "WIRE_VERSION",
    "CameraSpec",
    "FileLive",
    "HandoffRecord",
    "Image",
    "NetLive",
    "OverlaySpec",
    "Publish",
    "RTSPLive",
    "ScreenLive",
    "Source",
    "StreamSpec",
    "TestLive",
    "UserSpec",
    "VideoSpec",
    "Webcam",
    "WindowLive",
    "decode",
    "encode",
]
