"""What must be known of a ClientHello before the library sees it, and what the library has no question for.

    HandshakeType msg_type; uint24 length;                                            RFC 8446 4.1.2
    ProtocolVersion legacy_version; Random random; opaque legacy_session_id<0..32>;
    CipherSuite cipher_suites<2..2^16-2>; opaque legacy_compression_methods<1..2^8-1>;
    Extension extensions<8..2^16-1>                         { uint16 type; opaque data<0..2^16-1> }

Nothing here is judged: of bytes that are no ClientHello nothing is found, and the library says what is wrong with them.
"""

import re
from typing import NamedTuple

# With X25519MLKEM768, a ticket and padding it has about 2.5 KB. What announces more than this is not waited for.
MAX_HELLO_SIZE = 16 * 1024

_CLIENT_HELLO = 1
_MESSAGE_HEADER_SIZE = 4
_SERVER_NAME, _MAX_FRAGMENT_LENGTH = 0, 1  # RFC 6066 3 and 4
_HOST_NAME = re.compile(rb"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class ClientHello(NamedTuple):
    server_name: str = ""  # SNI in lower case; empty: none, or none that could be a host's
    small_records: bool = False  # max_fragment_length is asked for


def is_incomplete(message: bytes) -> bool:
    """Whether `message` is the beginning of a ClientHello, and worth waiting for the rest."""
    if message and message[0] != _CLIENT_HELLO:
        return False
    size = int.from_bytes(message[1:_MESSAGE_HEADER_SIZE])
    return len(message) < _MESSAGE_HEADER_SIZE or len(message) < _MESSAGE_HEADER_SIZE + size <= MAX_HELLO_SIZE


def read_hello(message: bytes) -> ClientHello:
    """Of any bytes. A slice beyond the end is short or empty, and every turn goes at least four bytes on."""
    position = _MESSAGE_HEADER_SIZE + 2 + 32
    for width in (1, 2, 1):
        position += width + int.from_bytes(message[position : position + width])
    position += 2
    server_name, small_records = "", False
    while position < len(message):
        kind = int.from_bytes(message[position : position + 2])
        size = int.from_bytes(message[position + 2 : position + 4])
        position += 4
        if kind == _SERVER_NAME:
            server_name = _host_name(message[position : position + size])
        elif kind == _MAX_FRAGMENT_LENGTH:
            small_records = True
        position += size
    return ClientHello(server_name, small_records)


def _host_name(data: bytes) -> str:
    """ServerName server_name_list<1..2^16-1>   { NameType 0; opaque HostName<1..2^16-1> }, in use always one.

    Other than letters, digits, "-", "_" and "." would carry terminal codes into logs and status.
    """
    name = data[5:]
    if data[:5] != (len(name) + 3).to_bytes(2) + b"\0" + len(name).to_bytes(2) or not _HOST_NAME.fullmatch(name):
        return ""
    return name.decode().lower().removesuffix(".")
