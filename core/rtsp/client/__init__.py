"""RTSP 1.0 (RFC 2326) as a client who plays one video track, sans-I/O; nothing that the server says is trusted."""

from .connection import ClientConnection, Media
from .credentials import Account
from .errors import LoginRefusedError, RedirectError, ServerError
from .transport import UDPPorts
from .url import ServerURL

__all__ = [
    "Account",
    "ClientConnection",
    "LoginRefusedError",
    "Media",
    "RedirectError",
    "ServerError",
    "ServerURL",
    "UDPPorts",
]
