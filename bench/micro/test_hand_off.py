"""A hand-off: its work, and what a client waits for it beyond the handshake.

Run: pytest bench/micro/test_hand_off.py. What a hand-over costs a client is the difference between its first request,
which is routed, handed over and answered by the worker, and its second one, which only the worker sees.
"""

import os
import socket
from collections.abc import Iterator

import pytest
from camfleet.core.net import fdpass
from camfleet.core.tls import Session
from camfleet.core.wire import HandoffRecord
from camfleet.core.wire.control import Adopt, Connection, Endpoint, TLSInfo, decode, encode
from camfleet.core.wire.handoff import HANDOFF_VERSION
from pytest_benchmark.fixture import BenchmarkFixture

from tests.kit.rtsp_client import RTSPClient
from tests.kit.server import Server

REQUEST = b"DESCRIBE rtsps://192.0.2.7:8322/ipc1-stream1/testlive RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: Lavf60\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("s"), ("ipc1", "ipc2")) as running:
        yield running


def test_both_halves(benchmark: BenchmarkFixture) -> None:
    """Export, pack, pass with a descriptor, take, import; the order coded and decoded: all that both processes do."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client, other = socket.socketpair()
    tls = TLSInfo(version="TLSv1.3", suite="TLS_AES_128_GCM_SHA256", certificate_fingerprint="0" * 64)
    connection = Connection(handoff=1, peer=Endpoint("192.0.2.9", 40_000), tls=tls)

    def hand_over() -> Session:
        session = Session.from_secrets(
            version=0x0304, suite=0x1301, sending_secret=b"s" * 32, receiving_secret=b"r" * 32, sending_sequence=2
        )
        order = encode(Adopt(connection=connection, received=REQUEST))
        fdpass.send(ours, HandoffRecord(HANDOFF_VERSION, 1, session.export(0)), client.fileno())
        record, descriptor = fdpass.receive(theirs)
        decode(order)
        os.close(descriptor)
        return Session.from_export(record.session)

    assert benchmark(hand_over).sending_sequence == 2
    for sock in (ours, theirs, client, other):
        sock.close()


def ask(client: RTSPClient, url: str) -> int:
    client.send_request("DESCRIBE", url)
    return client.read_response().status


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("which", ["first", "second", "other-camera"])
def test_request(benchmark: BenchmarkFixture, server: Server, which: str, tls: bool) -> None:
    """One DESCRIBE and its 401, on a new connection each; `other-camera` moves it from one worker to another."""
    clients: list[RTSPClient] = []

    def connected() -> tuple[tuple[RTSPClient, str], dict[str, object]]:
        client = server.connect("ipc1", tls=tls)
        clients.append(client)
        if which != "first":
            assert ask(client, client.url) == 401
        url = server.bare_url("ipc2" if which == "other-camera" else "ipc1", tls=tls)
        return (client, url), {}

    status = benchmark.pedantic(ask, setup=connected, rounds=100)  # type: ignore[no-untyped-call]  # has no types
    assert status == 401
    for client in clients:
        client.close()
