"""The hot loop: one frame to 100 readers, from the push until the last socket has it; to plain ones by sendfile."""

import socket
from collections.abc import Iterator

import pytest
from camfleet.core.net.fanout import Ready
from camfleet.core.tls import Session
from pytest_benchmark.fixture import BenchmarkFixture

from tests.kit.engine import Rig, tcp_pair

READERS = 100
FRAME_SIZE = 16_700  # of 4 Mb/s at 30 fps
ROUNDS = 100
REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n"
KEY = bytes(32)
RECORD_SIZE_MAX, RECORD_OVERHEAD = 16_384, 5 + 1 + 16  # TLS 1.3: header, content type, tag


@pytest.fixture
def rig() -> Iterator[Rig]:
    running = Rig()
    yield running
    running.close()


def receive(sock: socket.socket, size: int, tls: bool) -> None:
    """`size` bytes of plaintext in one message of the engine."""
    if tls:
        size += -(-size // RECORD_SIZE_MAX) * RECORD_OVERHEAD
    assert len(sock.recv(size, socket.MSG_WAITALL)) == size


def play(rig: Rig, tls: bool) -> socket.socket:
    server, sock = tcp_pair()
    rig.sockets.append(sock)
    session = Session.from_secrets(version=0x0304, suite=0x1301, sending_secret=KEY, receiving_secret=KEY)
    client = rig.engine.adopt(server.detach(), session.export(0) if tls else b"")
    rig.engine.prepare(client, rig.stream, 0, 1)
    rig.event(Ready)
    rig.engine.play(client, REPLY)
    receive(sock, len(REPLY), tls)
    receive(sock, rig.stream.counters().bytes, tls)
    return sock


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_one_frame_to_all(benchmark: BenchmarkFixture, rig: Rig, tls: bool) -> None:
    rig.push(key=True)
    last, *others = [play(rig, tls) for _ in range(READERS)]  # who came first is served last
    size = 0

    def push() -> None:
        nonlocal size
        before = rig.stream.counters().bytes
        rig.push(size=FRAME_SIZE)
        size = rig.stream.counters().bytes - before
        receive(last, size, tls)

    def drain() -> None:
        if size:
            for sock in others:
                sock.setblocking(False)  # nobody is served after `last`
                receive(sock, size, tls)

    benchmark.pedantic(push, setup=drain, rounds=ROUNDS)  # type: ignore[no-untyped-call]  # has no types
