"""A Session of core.tls and its peer, played by the reference record layer, which may break every rule."""

import hashlib

from camfleet.core.tls import Session
from camfleet.core.tls.session import record_size

from tests.reference.tls_record import ALERT, APPLICATION_DATA, HANDSHAKE, TLS_1_3, Direction, Suite

SECOND_NS = 1_000_000_000
CLIENT_HELLO, KEY_UPDATE = 1, 24


def handshake(message_type: int, body: bytes) -> bytes:
    return bytes([message_type]) + len(body).to_bytes(3) + body


def key_update(request: int) -> bytes:
    """RFC 8446 4.6.3: 0 update_not_requested, 1 update_requested."""
    return handshake(KEY_UPDATE, bytes([request]))


def split(stream: bytes) -> list[bytes]:
    """The records of a stream that must hold nothing but whole records."""
    records = []
    while stream:
        size = record_size(stream)
        assert 0 < size <= len(stream), "a partial record"
        records.append(stream[:size])
        stream = stream[size:]
    return records


class Peer:
    """The client side. `sending` is the session's receiving direction and the other way round."""

    def __init__(self, sending: Direction, receiving: Direction) -> None:
        self.sending = sending
        self.receiving = receiving

    def open(self, stream: bytes) -> list[tuple[int, bytes]]:
        """Type and content of every record; follows the session's KeyUpdates."""
        opened = []
        for record in split(stream):
            opened.append(self.receiving.open(record))
            if self.receiving.suite.version == TLS_1_3 and opened[-1][0] == HANDSHAKE:
                self.receiving.update()
        return opened

    def data(self, stream: bytes) -> bytes:
        """The application data among `open`."""
        return b"".join(content for content_type, content in self.open(stream) if content_type == APPLICATION_DATA)

    def update(self, request: int) -> bytes:
        """A KeyUpdate record, after which this side sends with its next key."""
        record = self.sending.seal(key_update(request), HANDSHAKE)
        self.sending.update()
        return record

    def alert(self, level: int, description: int) -> bytes:
        return self.sending.seal(bytes([level, description]), ALERT)


def octets(label: str, size: int) -> bytes:
    """Bytes that look random and are the same in every run."""
    return hashlib.shake_256(label.encode()).digest(size)


def connect(suite: Suite, sending_sequence: int = 0, receiving_sequence: int = 0) -> tuple[Session, Peer]:
    """Both sides of one connection, from the session's point of view; the session begins at time 0."""
    sending_secret, receiving_secret = octets("server", suite.secret_size), octets("client", suite.secret_size)
    sending_iv, receiving_iv = octets("server iv", suite.iv_size), octets("client iv", suite.iv_size)
    session = Session.from_secrets(
        version=suite.version,
        suite=suite.number,
        sending_secret=sending_secret,
        receiving_secret=receiving_secret,
        sending_iv=sending_iv,
        receiving_iv=receiving_iv,
        sending_sequence=sending_sequence,
        receiving_sequence=receiving_sequence,
    )
    explicit = bytes(8) if suite.iv_size == 4 else b""
    peer = Peer(
        Direction(suite, receiving_secret, receiving_iv + explicit, receiving_sequence),
        Direction(suite, sending_secret, sending_iv + explicit, sending_sequence),
    )
    return session, peer
