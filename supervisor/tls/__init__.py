"""The TLS handshake, and only that: as soon as it is complete the session moves into camfleet.core.tls."""

from .context import CertificateError, ServerContext
from .export import export
from .handshake import Driver, HandshakeError

__all__ = ["CertificateError", "Driver", "HandshakeError", "ServerContext", "export"]
