"""Peers that read nothing or late, and peers that send much: what they get, and what it costs the others."""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial

from camfleet.core.net.fanout import Closed, Ready, Received

from tests.kit.engine import Rig, read_until, tcp_pair
from tests.kit.interleaved import Element, InterleavedReader, RTPPacket, frames, holes

REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n"


def shows(mark: bytes, elements: Sequence[Element]) -> bool:
    return any(isinstance(element, RTPPacket) and mark in element.payload for element in elements)


def test_a_listener_lives_by_its_acknowledgements_whatever_the_last_owner_left_in_the_socket(rig: Rig) -> None:
    """Bytes of before the adoption are acknowledged after it; they are none of ours."""
    server, sock = tcp_pair(receive_buffer=4096)
    rig.sockets.append(sock)
    server.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += server.send(bytes(65_536))
    client = rig.engine.adopt(server.detach())
    adopted_ns = time.monotonic_ns()
    rig.until(lambda: time.monotonic_ns() - adopted_ns > 300_000_000)  # the engine has looked at it once
    while sent:
        sent -= len(sock.recv(min(sent, 1 << 20)))
    rig.push(key=True)
    rig.engine.prepare(client, rig.stream, 0, 1)
    rig.event(Ready)
    rig.engine.play(client, REPLY)
    assert sock.recv(65_536)
    rig.until(lambda: next(rig.engine.readers()).last_received_ns > adopted_ns + 300_000_000)


def test_a_reader_with_much_to_catch_up_lets_others_have_their_turn(make_rig: Callable[..., Rig]) -> None:
    """Its own text stands for the others here: it is written when the first turn is over, not when the socket is full.

    The text may come a turn late, as the engine does not wait for it: one reader of many suffices.
    """
    rig = make_rig(join="newest")
    rig.push(key=True)
    rig.push(count=100, size=50_000)
    first_turns: list[int] = []
    while not first_turns or first_turns[-1] >= 256 * 1024 + 2 * 50_000:
        assert len(first_turns) < 50, first_turns
        rig.push()  # the stream lives
        mark = b"frame%08d." % (rig.number - 1)
        client, sock = rig.connect()
        rig.engine.prepare(client, rig.stream, 0, 1)
        rig.event(Ready)
        rig.engine.play(client, REPLY)
        rig.engine.send(client, REPLY)
        elements = read_until(sock, InterleavedReader(), partial(shows, mark))
        texts = [index for index, element in enumerate(elements) if isinstance(element, bytes)]
        assert len(texts) == 2
        packets = [element for element in elements[: texts[1]] if isinstance(element, RTPPacket)]
        first_turns.append(sum(len(packet.payload) for packet in packets))
        assert holes([element for element in elements if isinstance(element, RTPPacket)]) == 0
    assert all(counters.frames_skipped == 0 for counters in rig.engine.readers())


def test_a_peer_that_never_reads_its_answers_is_closed(rig: Rig) -> None:
    client, _sock = rig.connect(receive_buffer=4096)
    for _ in range(100):
        rig.engine.send(client, bytes(100_000))
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert closed.reason == "does not read its replies"


def test_a_peer_that_reads_all_its_answers_late_is_not(rig: Rig) -> None:
    server, sock = tcp_pair(receive_buffer=4096)
    rig.sockets.append(sock)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    client = rig.engine.adopt(server.detach())
    for _ in range(3):
        for _ in range(15):
            rig.engine.send(client, bytes(100_000))
        left = 1_500_000
        while left:
            data = sock.recv(min(left, 65_536))
            assert data, "it was closed"
            left -= len(data)
    rig.engine.send(client, b"done")
    assert sock.recv(4) == b"done"


def test_a_flood_of_interleaved_frames_reaches_nobody_and_the_next_request_somebody(rig: Rig) -> None:
    _, sock = rig.connect()
    for _ in range(100):
        sock.sendall(b"$\x01\x00\x00" * 16_384)
    sock.sendall(b"OPTIONS")
    event = rig.event(Received)
    assert isinstance(event, Received)
    assert event.data == b"OPTIONS"


def test_a_stale_ready_is_told_from_the_one_that_is_waited_for(rig: Rig) -> None:
    rig.push(key=True)
    client, _sock = rig.connect()
    rig.engine.prepare(client, rig.stream, 0, 1)
    first = rig.event(Ready)
    rig.engine.pause(client)
    rig.engine.prepare(client, rig.stream, 0, 1)
    second = rig.event(Ready)
    assert isinstance(first, Ready)
    assert isinstance(second, Ready)
    assert (first.preparation, second.preparation) == (1, 2)


def test_a_window_of_nothing_for_ever_ends_by_the_stall_timeout(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stall_timeout_s=0.3)
    client, _sock = rig.connect(receive_buffer=4096)
    rig.engine.send(client, bytes(2_000_000))
    rig.engine.send(client, bytes(2_000_000))
    rig.engine.send(client, bytes(1_000_000))
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert closed.reason == "nothing could be written for too long"


def test_a_drip_reader_keeps_whole_frames(make_rig: Callable[..., Rig]) -> None:
    """A few bytes at a time, so that every frame is cut at many places."""
    rig = make_rig(max_lag_s=0.05)
    rig.push(key=True)
    client, sock = rig.connect(receive_buffer=4096)
    rig.engine.prepare(client, rig.stream, 6, 7)
    rig.event(Ready)
    rig.engine.play(client, REPLY)
    reader = InterleavedReader()
    elements = []
    for number in range(1, 60):
        rig.push(key=number % 10 == 0, size=100_000)
        for size in (1, 7, 4096, 977):
            elements += reader.feed(sock.recv(size))
    rig.push(key=True)
    elements += read_until(sock, reader, partial(shows, b"frame00000060."))
    packets = [element for element in elements if isinstance(element, RTPPacket)]
    assert {packet.channel for packet in packets} == {6}
    frames(packets)


def test_a_reset_tells_its_errno(rig: Rig) -> None:
    client, sock = rig.connect()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert (closed.client, closed.reason, closed.detail) == (client, "connection lost", "Connection reset by peer")
