"""What a client says after its handshake: in any record, moved between any two of them, broken, and at its end."""

import asyncio
import itertools
import ssl
from collections.abc import Callable

import pytest
from camfleet.core.tls import Session
from camfleet.supervisor.listen import Channel
from camfleet.supervisor.tls import ServerContext
from OpenSSL import SSL

from tests.kit.door import (
    ECHO,
    REQUEST,
    connected,
    every_client,
    lines,
    open_door,
    run,
)
from tests.kit.tls_client import BundledClient, Client, SystemClient


async def echo_whole(channel: Channel) -> None:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += await channel.receive()
    await channel.send(b"echo " + received)


@every_client
@pytest.mark.parametrize("sizes", [[len(REQUEST)], [1] * len(REQUEST), [10, 20, len(REQUEST) - 30]])
def test_the_first_request_in_the_segment_of_the_finished(
    context: ServerContext, client: Callable[[], Client], sizes: list[int]
) -> None:
    """Whole, or in many records; in TLS 1.2 the server's Finished comes between, unless the session is resumed."""

    async def test() -> None:
        async with open_door(context, serve=echo_whole) as door, connected(door.port, client()) as peer:
            await peer.handshake()
            rest = REQUEST
            for size in sizes:
                peer.client.write(rest[:size])
                rest = rest[size:]
            await peer.flush()
            assert await peer.read(len(ECHO)) == ECHO

    run(test())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_client_that_always_has_more_lets_the_others_have_their_turn(context: ServerContext, tls: bool) -> None:
    """asyncio's sock_recv does not give way while there are bytes in the socket."""
    turns = itertools.count()
    seen: list[int] = []

    async def serve(channel: Channel) -> None:
        others = asyncio.create_task(take_turns())
        for _ in range(10):
            await channel.receive()
            seen.append(next(turns))
        others.cancel()

    async def take_turns() -> None:
        while True:
            next(turns)
            await asyncio.sleep(0)

    async def test() -> None:
        async with (
            open_door(context, serve=serve, secure=False) as door,
            connected(door.port, SystemClient()) as peer,
        ):
            if tls:
                await peer.handshake()
                for _ in range(12):
                    peer.client.write(b"x" * 16_000)
                await peer.flush()
            else:
                await peer.send_raw(b"x" * 200_000)
            await door.settled()

    run(test())
    assert len(seen) == 10
    assert all(after - before > 1 for before, after in itertools.pairwise(seen))


@every_client
def test_several_requests_in_a_record(context: ServerContext, client: Callable[[], Client]) -> None:
    async def test() -> None:
        async with open_door(context) as door, connected(door.port, client()) as peer:
            await peer.handshake()
            assert await peer.ask(REQUEST * 5, 5 + 5 * len(REQUEST)) == b"echo " + REQUEST * 5

    run(test())


@every_client
def test_handed_over_between_any_two_records(context: ServerContext, client: Callable[[], Client]) -> None:
    """What a worker and a hand-back do: descriptor, export, unread and received bytes, and nothing else."""

    async def move(channel: Channel) -> Channel:
        assert channel.session is not None
        moved = Channel(
            channel.sock.dup(),
            channel.peer,
            channel.lease,
            session=Session.from_export(channel.session.export(0)),
            tls=channel.tls,
            unread=channel.unread,
            received=b"<>",
        )
        channel.detach()
        return moved

    async def serve(channel: Channel) -> None:
        for _ in range(5):
            channel = await move(channel)
            assert await channel.receive() == b"<>"
            await channel.send(b"echo " + await channel.receive())
        await channel.close()

    async def test() -> None:
        async with open_door(context, serve=serve) as door, connected(door.port, client()) as peer:
            await peer.handshake()
            peer.client.write(REQUEST)
            peer.client.write(REQUEST)
            await peer.flush()
            assert await peer.read(2 * len(ECHO)) == 2 * ECHO
            for _ in range(3):
                assert await peer.ask(REQUEST, len(ECHO)) == ECHO
            peer.sock.close()
            await door.settled()

    run(test())


@every_client
def test_a_receive_that_was_cut_short_loses_nothing(context: ServerContext, client: Callable[[], Client]) -> None:
    """The start of a record goes to the next owner as `unread`."""
    halves: asyncio.Event
    seen = []

    async def serve(channel: Channel) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await channel.receive()
        seen.append(len(channel.unread))
        halves.set()
        await channel.send(b"echo " + await channel.receive())

    async def test() -> None:
        nonlocal halves
        halves = asyncio.Event()
        async with open_door(context, serve=serve) as door, connected(door.port, client()) as peer:
            await peer.handshake()
            await peer.flush()
            peer.client.write(REQUEST)
            record = peer.client.output()
            await peer.send_raw(record[:20])
            await halves.wait()
            await peer.send_raw(record[20:])
            assert await peer.read(len(ECHO)) == ECHO

    run(test())
    assert seen == [20]


@every_client
def test_an_orderly_end_of_both_sides(context: ServerContext, client: Callable[[], Client]) -> None:
    """close_notify and FIN even though the client has sent what nobody reads: no RST that would destroy them."""

    async def serve(channel: Channel) -> None:
        await channel.receive()
        await channel.close()

    async def test() -> None:
        async with open_door(context, serve=serve) as door, connected(door.port, client()) as peer:
            await peer.handshake()
            peer.client.write(REQUEST)
            await peer.flush()
            peer.client.write(bytes(30_000))
            await peer.flush()
            while raw := await peer.receive_raw():
                peer.client.feed(raw)
            peer.client.read()
            assert peer.client.closed
            peer.sock.close()
            await door.settled()

    run(test())


@every_client
def test_the_clients_close_notify_is_an_end(context: ServerContext, client: Callable[[], Client]) -> None:
    ends = []

    async def serve(channel: Channel) -> None:
        ends.append(await channel.receive())

    async def test() -> None:
        async with open_door(context, serve=serve) as door, connected(door.port, client()) as peer:
            await peer.handshake()
            await peer.flush()
            if isinstance(peer.client, BundledClient):
                peer.client.handshake()
                peer.client.tls.shutdown()
            elif isinstance(peer.client, SystemClient):
                with pytest.raises(ssl.SSLWantReadError):
                    peer.client.tls.unwrap()
            await peer.flush()
            while raw := await peer.receive_raw():
                peer.client.feed(raw)
            peer.sock.close()
            await door.settled()
            assert ends == [b""]
            assert not door.journal.counts

    run(test())


@every_client
def test_truncation(context: ServerContext, client: Callable[[], Client]) -> None:
    """Bad-input 66: FIN without close_notify."""
    errors = []

    async def serve(channel: Channel) -> None:
        try:
            await channel.receive()
        except ConnectionError as error:
            errors.append(str(error))
            raise

    async def test() -> None:
        async with open_door(context, serve=serve) as door:
            async with connected(door.port, client()) as peer:
                await peer.handshake()
                peer.client.write(REQUEST)
                await peer.send_raw(peer.client.output()[:-1])
            await door.settled()
            assert errors == ["the client closed without a word"]
            assert door.journal.counts == {"gone": 1}

    run(test())


def bad_mac(record: bytes) -> bytes:
    return record[:-1] + bytes((record[-1] ^ 1,))


GARBAGE = [
    ("bad_record_mac", bad_mac),
    ("bad_record_mac", lambda record: record + record),  # a replay has the wrong number
    ("record_overflow", lambda _: b"\x17\x03\x03" + (16_641).to_bytes(2)),
    ("unexpected_message", lambda _: REQUEST),
    ("unexpected_message", lambda _: b"\x18\x03\x03\x00\x01\x00"),
]


@every_client
@pytest.mark.parametrize(("alert", "damage"), GARBAGE)
def test_garbage_records(
    context: ServerContext, client: Callable[[], Client], alert: str, damage: Callable[[bytes], bytes]
) -> None:
    """Bad-input 63, up to the first request: the alert arrives, and says what it was."""

    async def test() -> None:
        async with open_door(context) as door, connected(door.port, client()) as peer:
            await peer.handshake()
            await peer.flush()
            peer.client.write(REQUEST)
            await peer.send_raw(damage(peer.client.output()))
            with pytest.raises((ssl.SSLError, SSL.Error), match=f"(?i){alert.replace('_', '[ _]')}"):
                await peer.read(1 << 20)
            peer.sock.close()
            await door.settled()
            assert door.journal.counts == {f"TLS {alert}": 1}

    run(test())


def test_renegotiation_is_refused(context: ServerContext) -> None:
    """Bad-input 62: answered by a warning, no_renegotiation, at which OpenSSL gives up."""

    async def test() -> None:
        async with open_door(context) as door:
            client = BundledClient(version=SSL.TLS1_2_VERSION)
            async with connected(door.port, client) as peer:
                await peer.handshake()
                assert await peer.ask(REQUEST, len(ECHO)) == ECHO
                client.tls.renegotiate()
                client.handshake()
                hello = client.output()
                assert hello[0] == 22
                await peer.send_raw(hello)
                client.feed(await peer.receive_raw())
                with pytest.raises(SSL.Error, match="no renegotiation"):
                    client.tls.recv(1)
            await door.settled()

    run(test())


@pytest.mark.parametrize("secure", [True, False])
def test_a_client_that_does_not_read(context: ServerContext, monkeypatch: pytest.MonkeyPatch, secure: bool) -> None:
    """Bad-input 13: answers are not waited to be read for ever."""
    monkeypatch.setattr("camfleet.supervisor.listen.channel._SEND_TIMEOUT_S", 0.2)
    errors = []

    async def serve(channel: Channel) -> None:
        try:
            while True:
                await channel.send(bytes(16_384))
        except ConnectionError as error:
            errors.append(str(error))

    async def test() -> None:
        async with open_door(context, secure=secure, serve=serve) as door, connected(door.port, SystemClient()) as peer:
            if secure:
                await peer.handshake()
                await peer.flush()
            else:
                await peer.send_raw(REQUEST)
            await door.settled()
            assert errors == ["the client does not read"]

    run(test())


def test_no_secret_in_a_log(context: ServerContext, caplog: pytest.LogCaptureFixture) -> None:
    secrets = []

    async def serve(channel: Channel) -> None:
        assert channel.session is not None
        secrets.append(channel.session.export(0))
        raise RuntimeError("a traceback is the likeliest leak")

    async def test() -> None:
        async with open_door(context, serve=serve) as door, connected(door.port, SystemClient()) as peer:
            await peer.handshake()
            await peer.flush()
            await peer.receive_raw()
            peer.sock.close()
            await door.settled()

    run(test())
    assert caplog.records
    shown = "".join(lines(caplog))
    (secret,) = secrets
    pieces = [secret[start : start + 16] for start in range(len(secret) - 16)]
    pieces = [piece for piece in pieces if len(set(piece)) > 8]  # keys, not padding
    assert pieces
    for piece in pieces:
        assert piece.hex() not in shown
        assert repr(piece)[2:-1] not in shown
