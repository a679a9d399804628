"""TLS after the handshake: seal and open records, KeyUpdate, alerts, and move a session between processes."""

from .session import Session, TLSError

__all__ = ["Session", "TLSError"]
