"""A client inside TLS at an engine, its session made from thin air."""

import os
from collections.abc import Callable

from camfleet.core.tls import Session
from camfleet.core.tls.session import record_size

from tests.kit.engine import Rig, tcp_pair
from tests.kit.interleaved import Element, InterleavedReader, RTPPacket

TLS_1_3 = 0x0304


class Peer:
    """The client's end of an established session, and a record-wise view of what the engine sends."""

    def __init__(self, rig: Rig, version: int = TLS_1_3, suite: int = 0x1301, secret: int = 32, iv: int = 0) -> None:
        server_keys, client_keys = os.urandom(secret + iv), os.urandom(secret + iv)

        def session(sending: bytes, receiving: bytes) -> Session:
            return Session.from_secrets(
                version=version,
                suite=suite,
                sending_secret=sending[:secret],
                receiving_secret=receiving[:secret],
                sending_iv=sending[secret:],
                receiving_iv=receiving[secret:],
            )

        server, self.sock = tcp_pair()
        rig.sockets.append(self.sock)
        self.session = session(client_keys, server_keys)
        self.id = rig.engine.adopt(server.detach(), session(server_keys, client_keys).export(0))
        self.buffer = b""
        self.now_ns = 0
        self.sizes: list[int] = []
        self.reader = InterleavedReader()

    def send(self, data: bytes) -> None:
        self.sock.sendall(self.session.seal(data, 0))

    def receive(self) -> bytes | None:
        """The plaintext of the next record; None after close_notify."""
        while not (size := record_size(self.buffer)) or len(self.buffer) < size:
            data = self.sock.recv(65_536)
            assert data, "FIN without close_notify"
            self.buffer += data
        record, self.buffer = self.buffer[:size], self.buffer[size:]
        self.sizes.append(size)
        self.now_ns += 10**9  # KeyUpdates may come this fast: the limits are times of the peer
        return self.session.receive(record, self.now_ns)

    def read_until(self, enough: Callable[[list[Element]], bool]) -> list[Element]:
        found: list[Element] = []
        while not enough(found):
            data = self.receive()
            assert data is not None, "closed"
            found += self.reader.feed(data)
        return found


def frame_count(count: int) -> Callable[[list[Element]], bool]:
    return lambda found: sum(isinstance(element, RTPPacket) and element.marker for element in found) >= count
