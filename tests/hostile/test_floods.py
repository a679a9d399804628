"""Too much of everything: bad inputs 13, 40, 44, 65 and the like. Others are served meanwhile and afterwards.

Ten thousand wrong passwords are in test_credentials.py, floods of TLS records in test_tls.py.
"""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest

from tests.hostile.client import CLOSED, OPEN, OTHER_URL, TIMEOUT_S, URL, Client
from tests.hostile.conftest import CAMERAS, Ward
from tests.hostile.test_tls import GOOD_HELLO
from tests.kit.rtsp import TCP, request
from tests.kit.wait import wait_for

PENDING = 64
SESSIONS = 20
STALL_S = 1.0
SERVED_WITHIN_S = 2.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close sends RST


@pytest.fixture(scope="module")
def limits() -> str:
    return f"""
pending_per_address = {PENDING}
sessions_per_camera = {SESSIONS}
reader_stall_timeout_s = {STALL_S}
"""


def assert_others_are_served(ward: Ward) -> None:
    began_s = time.monotonic()
    for camera in CAMERAS:
        with ward.server.connect(camera) as client:
            assert client.request("DESCRIBE").status == 200
    assert time.monotonic() - began_s < SERVED_WITHIN_S


@pytest.mark.parametrize("url", [URL, "*"], ids=["camera", "no camera"])
def test_a13_10000_requests_in_a_row(ward: Ward, tls: bool, adopted: bool, url: str) -> None:
    """The supervisor has patience for eight rounds of answers; what they are depends on how the bytes arrive."""
    with ward.client(tls=tls, adopted=adopted) as client:
        client.send(request("OPTIONS", url) * 5_000)
        assert_others_are_served(ward)
        client.send(request("OPTIONS", url) * 5_000)
        statuses, end = client.outcome()
        assert set(statuses) == {200}
        assert (len(statuses), end) == (10_000, OPEN) if adopted or url == URL else end == CLOSED


def test_d40_10000_setups(ward: Ward, tls: bool) -> None:
    with ward.client(tls=tls, adopted=True) as client:
        client.set_up()
        setup = request("SETUP", URL, client.authorization("SETUP"), f"Transport: {TCP}", f"Session: {client.session}")
        for _ in range(5):
            client.send(setup * 2_000)
            assert_others_are_served(ward)
            statuses, end = client.outcome()
            assert (statuses, end) == ([200] * 2_000, OPEN)
            client.replies.clear()
        assert client.ask("PLAY").status == 200
        client.expect_media()


@pytest.mark.parametrize("state", ["first", "adopted", "playing"])
def test_d44_100000_frames(ward: Ward, tls: bool, state: str) -> None:
    frames = b"$\x01\x00\x04abcd" * 1_000
    with ward.client(tls=tls, adopted=state != "first") as client:
        if state == "playing":
            client.play()
        for _ in range(100):
            client.send(frames)
        assert_others_are_served(ward)
        assert client.outcome() == ([], OPEN)
        if state == "playing":
            client.expect_media()


def test_d44_frames_without_end_before_a_camera_is_named(ward: Ward, tls: bool) -> None:
    """Whoever always has more to read is turned away after a while, and does not keep the supervisor from others."""
    frames = b"$\x00\x00\x00" * 4_000

    def flood(client: Client) -> None:
        while client.end == OPEN:
            client.send(frames)

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(ward.client(tls=tls, adopted=False)) for _ in range(4)]
        threads = [threading.Thread(target=flood, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        assert_others_are_served(ward)
        for thread in threads:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()


def fill(client: Client, data: bytes) -> None:
    """Send the same for ever and read nothing, until the server has closed: its buffers take a while to fill."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    poll = select.poll()
    poll.register(client.sock, select.POLLOUT)
    deadline = time.monotonic() + 4 * TIMEOUT_S
    while not (events := poll.poll(TIMEOUT_S * 1000)) or not events[0][1] & (select.POLLHUP | select.POLLERR):
        assert time.monotonic() < deadline, "the server has not closed"
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client.sock.send(client.tls.seal(data) if client.tls else data)


def test_a13_whoever_does_not_read_the_answers(ward: Ward, tls: bool, adopted: bool) -> None:
    """Reading stops, nothing is kept without limit, and after a while the connection ends."""
    with ward.client(tls=tls, adopted=adopted) as client:
        fill(client, request("OPTIONS", "*") * 200)


def test_d44_whoever_does_not_read_the_media(ward: Ward, tls: bool) -> None:
    with ward.client(tls=tls, adopted=True) as client:
        client.play()
        fill(client, request("GET_PARAMETER", URL) * 200)


def test_200_first_requests_at_once(ward: Ward, tls: bool) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(ward.client(tls=tls, adopted=False)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(request("DESCRIBE", (URL, OTHER_URL)[number % 2]))
        assert_others_are_served(ward)
        assert {client.reply().status for client in clients} == {401}


def test_200_connections_that_say_nothing(ward: Ward) -> None:
    """Half of them end by FIN, half by RST."""
    for number in range(200):
        for port in (ward.server.rtsp_port, ward.server.rtsps_port):
            with socket.create_connection(("127.0.0.1", port), TIMEOUT_S, (ward.new_address(), 0)) as sock:
                if number % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    assert_others_are_served(ward)


def test_more_sessions_than_a_camera_has(ward: Ward, tls: bool) -> None:
    """Two seats are the bystanders'. Whoever leaves makes room, however he leaves."""

    def teardown(client: Client) -> None:
        assert client.ask("TEARDOWN").status == 200

    def reset(client: Client) -> None:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    leave: list[Callable[[Client], object]] = [teardown, reset, lambda _: None]
    for way in leave:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(ward.client(tls=tls, adopted=True)) for _ in range(SESSIONS)]
            replies = [client.ask("SETUP", URL, f"Transport: {TCP}") for client in clients]
            assert sorted(reply.status for reply in replies) == [200] * (SESSIONS - 2) + [453] * 2
            for client, reply in zip(clients, replies, strict=True):
                assert client.outcome() == ([], OPEN)
                if reply.status == 200:
                    way(client)
        wait_for(lambda: len(ward.server.camera("ipc1")["readers"]) == 2, why="the seats are not free")


def test_f65_2000_half_handshakes(ward: Ward) -> None:
    """Of one address, more at a time than it may have. Not 10,000: each costs a signature on one of two cores."""
    source = ward.new_address()
    said = (b"", GOOD_HELLO[:1], GOOD_HELLO[:-1], *[GOOD_HELLO] * 5)
    turned_away = 0
    for _ in range(20):
        with contextlib.ExitStack() as stack:
            for number in range(100):
                sock = socket.create_connection(("127.0.0.1", ward.server.rtsps_port), TIMEOUT_S, (source, 0))
                stack.enter_context(sock)
                with contextlib.suppress(ConnectionError):  # one too many
                    sock.sendall(said[number % 8])
                if number % 3:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            turned_away += 100 - PENDING
            wait_until_turned_away(ward, turned_away)
            assert_others_are_served(ward)
        wait_for(lambda: ward.connections() == len(ward.watches), why="places are not free again")
    with ward.client(tls=True, adopted=True, source=source) as client:
        assert client.ask("DESCRIBE").status == 200


def wait_until_turned_away(ward: Ward, count: int) -> None:
    def over_limit() -> int:
        return int(ward.server.status()["supervisor"]["turned_away"].get("over limit", 0))

    wait_for(lambda: over_limit() == count, why=lambda: f"{over_limit()} instead of {count} turned away")
