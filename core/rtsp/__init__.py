"""RTSP 1.0 (RFC 2326) as a server, sans-I/O: bytes and `now_ns` in, bytes and events out."""

from .connection import ServerConnection
from .digest import Authenticator
from .events import (
    Announce,
    Describe,
    Event,
    LoginFailed,
    Media,
    OtherCamera,
    Pause,
    Play,
    Record,
    Refused,
    Setup,
    Teardown,
)
from .lockout import Lockout
from .move import export_connection, restore_connection
from .parameters import Parameters
from .url import StreamPath

__all__ = [
    "Announce",
    "Authenticator",
    "Describe",
    "Event",
    "Lockout",
    "LoginFailed",
    "Media",
    "OtherCamera",
    "Parameters",
    "Pause",
    "Play",
    "Record",
    "Refused",
    "ServerConnection",
    "Setup",
    "StreamPath",
    "Teardown",
    "export_connection",
    "restore_connection",
]
