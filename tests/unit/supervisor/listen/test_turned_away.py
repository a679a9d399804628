"""Every way of not getting in: what the client is told, what is counted, and what is left afterwards."""

import asyncio
import contextlib
import gc
import resource
import socket
import ssl
import struct
from pathlib import Path

import pytest
from camfleet.supervisor.config import Limits
from camfleet.supervisor.listen import Channel
from camfleet.supervisor.tls import ServerContext
from OpenSSL import SSL

from tests.kit.descriptors import descriptors
from tests.kit.door import (
    ECHO,
    REQUEST,
    TIMEOUT_S,
    OpenDoor,
    connected,
    lines,
    open_door,
    raw_socket,
    refused,
    run,
)
from tests.kit.supervisor import until
from tests.kit.tls_client import BundledClient, SystemClient

CHANGE_CIPHER_SPEC = bytes.fromhex("140303000101")  # for middleboxes, at any time (RFC 8446 5)


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


def test_who_leaves_when_he_has_seen_the_certificate_is_told_of(
    context: ServerContext, caplog: pytest.LogCaptureFixture
) -> None:
    """As GStreamer's rtspsrc does with one that it does not trust."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        client = SystemClient()
        client.handshake()
        async with open_door(context) as door:
            with raw_socket() as sock:
                await loop.sock_connect(sock, ("127.0.0.1", door.port))
                await loop.sock_sendall(sock, client.output())
                assert await loop.sock_recv(sock, 5)
            await door.settled()
            assert door.journal.counts == {"gone in the handshake": 1}

    run(test())
    (line,) = lines(caplog)
    assert 'reason="gone in the handshake" detail="it has seen the certificate' in line


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
                    await asyncio.sleep(0.02)  # the pace of the client
                assert await loop.sock_recv(sock, 1) == b""
                assert 0.15 < loop.time() - start < TIMEOUT_S
            await door.settled()
            assert door.journal.counts == {"timeout": 1}

    run(test())


async def over_limit(door: OpenDoor) -> bool:
    loop = asyncio.get_running_loop()
    with raw_socket() as sock:
        await loop.sock_connect(sock, ("127.0.0.1", door.port))
        try:
            return await loop.sock_recv(sock, 1) == b""
        except ConnectionResetError:
            return True


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


def test_a_place_is_kept_for_a_connection_that_was_handed_over(context: ServerContext) -> None:
    leases = []

    async def serve(channel: Channel) -> None:
        channel.lease.logged_in()
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


def test_resets_leave_no_garbage(context: ServerContext) -> None:
    """Bad-input 65: handshakes that were reset are freed by themselves, and their memory is given back."""

    async def handshakes(door: OpenDoor, count: int) -> None:
        client = SystemClient()
        client.handshake()
        hello = client.output()
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                sock = stack.enter_context(raw_socket())
                await loop.sock_connect(sock, ("127.0.0.1", door.port))
                await loop.sock_sendall(sock, hello)
            await until(lambda: door.budget.connections == count)  # their answers are not read: closing is a reset
        await door.settled()

    async def test() -> None:
        async with open_door(context) as door:
            await handshakes(door, 10)
            before = resident_size()
            gc.disable()
            try:
                for _ in range(3):
                    await handshakes(door, 100)
            finally:
                gc.enable()
            assert resident_size() - before < 100 * 60_000

    run(test())


def resident_size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
