"""What a client speaks, by the first bytes that it sends."""

import enum


class Protocol(enum.Enum):
    """What the first bytes can begin."""

    TLS = "TLS"
    RTSP = "RTSP"
    UNKNOWN = "unknown"


_HANDSHAKE = 0x16  # TLSPlaintext.type, then legacy_record_version 0x0301 or 0x0303 (RFC 8446 5.1)
_VERSION_MAJOR = 0x03
_BLANKS = b"\r\n\t"  # before a request line: the reader knows how many it forgives


def classify(first: bytes) -> Protocol | None:
    """None: more bytes are needed. RTSP is any text: its reader answers what is no request, HTTP included."""
    if not first:
        return None
    if first[0] == _HANDSHAKE:
        if len(first) < 2:
            return None
        return Protocol.TLS if first[1] == _VERSION_MAJOR else Protocol.UNKNOWN
    if 0x20 <= first[0] < 0x7F or first[0] in _BLANKS:
        return Protocol.RTSP
    return Protocol.UNKNOWN
