"""What the library reads in a ClientHello and has no question for.

HandshakeType msg_type; uint24 length;                                            RFC 8446 4.1.2
ProtocolVersion legacy_version; Random random; opaque legacy_session_id<0..32>;
CipherSuite cipher_suites<2..2^16-2>; opaque legacy_compression_methods<1..2^8-1>;
Extension extensions<8..2^16-1>                         { uint16 type; opaque data<0..2^16-1> }
"""

_MAX_FRAGMENT_LENGTH = 1  # RFC 6066 4
_EXTENSION = b"\x00\x01\x00\x01"  # its type, and its length of one byte


def wants_small_records(hello: bytes) -> bool:
    """Whether a well-formed ClientHello asks for max_fragment_length."""
    if _EXTENSION not in hello:  # nearly always
        return False
    position = 1 + 3 + 2 + 32
    for width in (1, 2, 1):
        position += width + int.from_bytes(hello[position : position + width])
    position += 2
    while position < len(hello):
        if int.from_bytes(hello[position : position + 2]) == _MAX_FRAGMENT_LENGTH:
            return True
        position += 4 + int.from_bytes(hello[position + 2 : position + 4])
    return False
