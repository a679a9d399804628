"""The way in over real sockets: TLS and plain text, on either port, in every cut; and the end of all of it."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable

import pytest
from camfleet.core.log import Log
from camfleet.supervisor.config import Limits
from camfleet.supervisor.listen import Budget, Channel, Door, Journal, bind
from camfleet.supervisor.tls import Driver, ServerContext

from tests.kit.descriptors import descriptors
from tests.kit.door import (
    ECHO,
    REQUEST,
    connected,
    echo,
    every_client,
    open_door,
    raw_socket,
    refused,
    run,
)
from tests.kit.tls_client import Client, SystemClient


@every_client
@pytest.mark.parametrize("secure", [True, False])
def test_tls_on_either_port(context: ServerContext, client: Callable[[], Client], secure: bool) -> None:
    async def test() -> None:
        async with open_door(context, secure=secure) as door, connected(door.port, client()) as peer:
            await peer.handshake()
            assert await peer.ask(REQUEST, len(ECHO)) == ECHO
            assert await peer.ask(REQUEST, len(ECHO)) == ECHO

    run(test())


def test_ipv6(context: ServerContext) -> None:
    peers = []

    async def serve(channel: Channel) -> None:
        peers.append((channel.peer.host, channel.sock.getsockname()[:2]))

    async def test() -> None:
        async with open_door(context, host="::1", serve=serve) as door:
            async with connected(door.port, SystemClient(), "::1") as peer:
                await peer.handshake()
                await peer.flush()
            await door.settled()
            assert peers == [("::1", ("::1", door.port))]

    run(test())


@every_client
def test_one_byte_a_segment(context: ServerContext, client: Callable[[], Client]) -> None:
    """Bad-input 59."""

    async def test() -> None:
        async with open_door(context) as door, connected(door.port, client()) as peer:
            await peer.handshake(flush=lambda data: [data[i : i + 1] for i in range(len(data))])
            peer.client.write(REQUEST)
            for value in peer.client.output():
                await peer.send_raw(bytes((value,)))
            assert await peer.read(len(ECHO)) == ECHO

    run(test())


def test_a_handshake_in_many_records_lets_the_others_have_their_turn(
    context: ServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 KB may come in records of one byte, each a call of the library."""
    turns = itertools.count()
    seen: list[int] = []
    receive_record = Driver.receive_record

    def receive(driver: Driver, record: bytes) -> None:
        seen.append(next(turns))
        receive_record(driver, record)

    async def test() -> None:
        client = SystemClient()
        client.handshake()
        hello = client.output()[5:]
        async with open_door(context) as door, connected(door.port, client) as peer:
            await peer.send_raw(b"".join(b"\x16\x03\x01\x00\x01" + hello[i : i + 1] for i in range(100)))
            while len(seen) < 100:
                next(turns)
                await asyncio.sleep(0)
            assert all(later - earlier > 1 for earlier, later in itertools.pairwise(seen))

    monkeypatch.setattr(Driver, "receive_record", receive)
    run(test())


def test_plain_rtsp(context: ServerContext) -> None:
    async def test() -> None:
        received = bytearray()

        async def serve(channel: Channel) -> None:
            assert (channel.session, channel.tls, channel.unread) == (None, None, b"")
            while len(received) < len(REQUEST):
                received.extend(await channel.receive())
            await channel.send(b"RTSP/1.0 200 OK\r\n\r\n")

        async with open_door(context, secure=False, serve=serve) as door:
            for pieces in ([REQUEST], [REQUEST[i : i + 1] for i in range(len(REQUEST))]):
                received.clear()
                assert await refused(door, *pieces) == b"RTSP/1.0 200 OK\r\n\r\n"
                assert received == REQUEST
            assert not door.journal.counts

    run(test())


def test_closing_the_door_ends_what_is_inside(context: ServerContext) -> None:
    async def test() -> None:
        before = descriptors()
        async with open_door(context) as door:
            with raw_socket() as idle:
                await asyncio.get_running_loop().sock_connect(idle, ("127.0.0.1", door.port))
                async with connected(door.port, SystemClient()) as peer:
                    await peer.handshake()
                    assert await peer.ask(REQUEST, len(ECHO)) == ECHO
                    closing = asyncio.create_task(door.door.close())
                    peer.client.feed(await peer.receive_raw())
                    assert peer.client.read() == b""
                    assert peer.client.closed
                    assert await peer.receive_raw() == b""
                    peer.sock.close()
                    await closing
            await door.settled()
        assert descriptors() == before

    run(test())


def test_an_error_of_ours_ends_one_connection(context: ServerContext, caplog: pytest.LogCaptureFixture) -> None:
    async def serve(_: Channel) -> None:
        raise RuntimeError("a mistake")

    async def test() -> None:
        async with open_door(context, serve=serve, secure=False) as door:
            assert await refused(door, REQUEST) == b""
            assert await refused(door, REQUEST) == b""

    run(test())
    assert [record.getMessage() for record in caplog.records] == ["serve_failed", "serve_failed"]


def test_a_rush_lets_those_who_are_inside_have_their_turn() -> None:
    """asyncio's sock_accept does not give way while the backlog has connections."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            (listener,) = bind(["127.0.0.1"], 0, secure=False)
            stack.callback(listener.close)
            for _ in range(50):
                sock = stack.enter_context(raw_socket())
                await loop.sock_connect(sock, ("127.0.0.1", listener.address.port))
            journal = Journal(Log("listen"))
            door = Door(echo, Budget(Limits(connections=1)), journal, lambda: None)
            running = asyncio.create_task(door.run(listener))
            for _ in range(10):
                await asyncio.sleep(0)
            assert 0 < journal.counts["over limit"] < 40
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await door.close()

    run(test())
