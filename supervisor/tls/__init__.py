"""The TLS handshake, and only that: as soon as it is complete the session moves into camfleet.core.tls."""

from .context import CertificateError, Policy, ServerContext, load_authorities
from .directory import Directory, Entry
from .export import export
from .handshake import Driver, HandshakeError
from .rehearsal import rehearse

__all__ = [
    "CertificateError",
    "Directory",
    "Driver",
    "Entry",
    "HandshakeError",
    "Policy",
    "ServerContext",
    "export",
    "load_authorities",
    "rehearse",
]
