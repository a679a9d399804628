"""From the first byte to the first request, over real sockets, in every cut; and every way of not getting there."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from camfleet.core.log import LogfmtFormatter
from camfleet.core.tls import Session
from camfleet.supervisor.config import Limits
from camfleet.supervisor.listen import Channel
from camfleet.supervisor.tls import ServerContext
from OpenSSL import SSL

from tests.kit.door import TIMEOUT_S, OpenDoor, connected, open_door, raw_socket
from tests.kit.supervisor import until
from tests.kit.tls_client import BundledClient, Client, SystemClient

REQUEST = b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"
ECHO = b"echo " + REQUEST
CHANGE_CIPHER_SPEC = bytes.fromhex("140303000101")  # for middleboxes, at any time (RFC 8446 5)

CLIENTS: list[Callable[[], Client]] = [
    BundledClient,
    lambda: BundledClient(version=SSL.TLS1_2_VERSION),
    SystemClient,
    lambda: SystemClient(version=ssl.TLSVersion.TLSv1_2),
]
every_client = pytest.mark.parametrize("client", CLIENTS, ids=["1.3", "1.2", "system-1.3", "system-1.2"])


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log as it is written."""
    return [LogfmtFormatter({}).format(record) for record in caplog.records]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


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
        peers.append((channel.peer.host, channel.local.host, channel.local.port))

    async def test() -> None:
        async with open_door(context, host="::1", serve=serve) as door:
            async with connected(door.port, SystemClient(), "::1") as peer:
                await peer.handshake()
                await peer.flush()
            await door.settled()
            assert peers == [("::1", "::1", door.port)]

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


async def echo_whole(channel: Channel) -> None:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += await channel.receive()
    await channel.send(b"echo " + received)


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


async def refused(door: OpenDoor, *pieces: bytes) -> bytes:
    """All that the server says to these bytes."""
    loop = asyncio.get_running_loop()
    said = b""
    with raw_socket() as sock:
        await loop.sock_connect(sock, ("127.0.0.1", door.port))
        for piece in pieces:
            await loop.sock_sendall(sock, piece)
        async with asyncio.timeout(TIMEOUT_S):
            while data := await loop.sock_recv(sock, 4096):
                said += data
    await door.settled()
    return said


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


def test_plain_rtsp_on_the_tls_port(context: ServerContext) -> None:
    """Bad-input 58."""

    async def test() -> None:
        async with open_door(context) as door:
            assert await refused(door, REQUEST) == b""
            assert door.journal.counts == {"plain text on the TLS port": 1}

    run(test())


def test_tls_when_it_is_off() -> None:
    async def test() -> None:
        async with open_door(None, secure=False) as door:
            client = SystemClient()
            client.handshake()
            assert await refused(door, client.output()) == b""
            assert door.journal.counts == {"TLS is off": 1}

    run(test())


@pytest.mark.parametrize("first", [b"\x05\x01\x00", b"\x00\x00\x00\x85\xffSMB", b"\x16\x02\x00\x00\x01"])
def test_neither(context: ServerContext, first: bytes) -> None:
    """Bad-input 56."""

    async def test() -> None:
        async with open_door(context, secure=False) as door:
            assert await refused(door, first) == b""
            assert door.journal.counts == {"neither TLS nor RTSP": 1}

    run(test())


def test_the_alert_of_a_failed_handshake_arrives(context: ServerContext, caplog: pytest.LogCaptureFixture) -> None:
    """Interop 77: why and from whom, in the log and counted."""

    async def test() -> None:
        async with open_door(context) as door:
            client = BundledClient(version=SSL.TLS1_2_VERSION, suites="AES128-SHA")
            client.handshake()
            farewell = await refused(door, client.output() + bytes(1000))
            assert farewell == bytes.fromhex("15030300020228")
            assert door.journal.counts == {"TLS handshake handshake_failure": 1}

    run(test())
    (line,) = lines(caplog)
    assert 'reason="TLS handshake handshake_failure" detail="no shared cipher"' in line
    assert "peer=127.0.0.1:" in line


def test_a_client_that_refuses_the_certificate(context: ServerContext) -> None:
    async def test() -> None:
        async with open_door(context) as door:
            client = SystemClient(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            async with connected(door.port, client) as peer:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await peer.handshake()
                await peer.flush()
            await door.settled()
            assert door.journal.counts == {"TLS handshake unknown_ca": 1}

    run(test())


def test_an_alert_before_a_reset_is_read(context: ServerContext) -> None:
    """As gnutls-cli ends: change_cipher_spec, alert and RST at once."""

    async def test() -> None:
        async with open_door(context) as door:
            client = SystemClient(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            async with connected(door.port, client) as peer:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await peer.handshake()
                await peer.send_raw(CHANGE_CIPHER_SPEC + peer.client.output())
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await door.settled()
            assert door.journal.counts == {"TLS handshake unknown_ca": 1}

    run(test())


@pytest.mark.parametrize("said", [0, 1, 5, 8])
def test_one_deadline_for_the_whole_handshake(context: ServerContext, said: int) -> None:
    """Bad-input 3 and 59: some bytes of a ClientHello and then silence; a byte now and then does not move it."""

    async def test() -> None:
        client = SystemClient()
        client.handshake()
        hello = client.output()
        async with open_door(context, handshake_timeout_s=0.2) as door:
            loop = asyncio.get_running_loop()
            with raw_socket() as sock:
                await loop.sock_connect(sock, ("127.0.0.1", door.port))
                start = loop.time()
                for value in hello[:said]:
                    await loop.sock_sendall(sock, bytes((value,)))
                    await asyncio.sleep(0.02)
                assert await loop.sock_recv(sock, 1) == b""
                assert 0.15 < loop.time() - start < 2
            await door.settled()
            assert door.journal.counts == {"timeout": 1}

    run(test())


def test_limits_of_an_address(context: ServerContext) -> None:
    """Over them a connection ends at once; those before are served, and places come free."""

    async def test() -> None:
        limits = Limits(connections_per_address=3, pending_per_address=3)
        async with open_door(context, limits=limits) as door:
            async with (
                connected(door.port, SystemClient()) as first,
                connected(door.port, SystemClient()) as second,
                connected(door.port, SystemClient()) as third,
            ):
                for peer in (first, second, third):
                    await peer.handshake()
                    assert await peer.ask(REQUEST, len(ECHO)) == ECHO
                assert await over_limit(door)
                assert door.journal.counts == {"over limit": 1}
                assert await first.ask(REQUEST, len(ECHO)) == ECHO
            await door.settled()
            async with connected(door.port, SystemClient()) as peer:
                await peer.handshake()
                assert await peer.ask(REQUEST, len(ECHO)) == ECHO

    run(test())


async def over_limit(door: OpenDoor) -> bool:
    loop = asyncio.get_running_loop()
    with raw_socket() as sock:
        await loop.sock_connect(sock, ("127.0.0.1", door.port))
        try:
            return await loop.sock_recv(sock, 1) == b""
        except ConnectionResetError:
            return True


def test_a_place_is_kept_for_a_connection_that_was_handed_over(context: ServerContext) -> None:
    leases = []

    async def serve(channel: Channel) -> None:
        channel.lease.arrived()
        leases.append(channel.lease)
        channel.detach()

    async def test() -> None:
        limits = Limits(connections_per_address=1)
        async with (
            open_door(context, serve=serve, limits=limits) as door,
            connected(door.port, SystemClient()) as peer,
        ):
            await peer.handshake()
            await peer.flush()
            await until(lambda: leases)
            assert await over_limit(door)
            leases[0].release()
            assert door.budget.connections == 0

    run(test())


def test_many_half_handshakes(context: ServerContext) -> None:
    """Bad-input 65: all of them end, and take nothing with them."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with open_door(context, handshake_timeout_s=0.5) as door:
            before = descriptors()
            sockets = []
            for n in range(100):
                client = SystemClient()
                client.handshake()
                hello = client.output()
                sock = raw_socket()
                sockets.append(sock)
                entered = sock.__enter__()
                await loop.sock_connect(entered, ("127.0.0.1", door.port))
                await loop.sock_sendall(entered, hello if n % 2 else hello[: n + 1])
            await door.settled()
            assert door.journal.counts == {"timeout": 100}
            for sock in sockets:
                sock.__exit__(None, None, None)
            assert descriptors() == before
            async with connected(door.port, SystemClient()) as peer:
                await peer.handshake()
                assert await peer.ask(REQUEST, len(ECHO)) == ECHO

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


def test_a_reset_in_the_middle_is_no_news(context: ServerContext, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with open_door(context) as door:
            with raw_socket() as sock:
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", door.port))
                await asyncio.get_running_loop().sock_sendall(sock, b"\x16\x03")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close sends RST
            await door.settled()
            assert door.journal.counts == {"gone": 1}

    run(test())
    assert not caplog.records


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
