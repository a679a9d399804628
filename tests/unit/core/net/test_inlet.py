"""Media of a client that publishes: whole frames of its channels reach the inlet, in order, whatever comes between."""

import random
import select
import time
from collections.abc import Callable

import pytest
from camfleet.core.net.fanout import Moved, Received
from camfleet.core.net.inlet import Inlet

from tests.kit.engine import Rig, tcp_pair
from tests.kit.tls_peer import Peer
from tests.kit.wait import wait_for

MakeRig = Callable[..., Rig]
TEXT = b"GET_PARAMETER * RTSP/1.0\r\nCSeq: 7\r\n\r\n"


def frame(channel: int, payload: bytes) -> bytes:
    return b"$" + bytes([channel]) + len(payload).to_bytes(2) + payload


def film(count: int, seed: int = 1) -> list[tuple[int, bytes]]:
    """Frames of the video's channels and of others, of all sizes."""
    dice = random.Random(seed)
    sizes = (0, 1, 3, 12, 100, 1400, 2048, 2049, 30_000, 65_535)
    return [(dice.choice((4, 5, 0, 6)), dice.randbytes(dice.choice(sizes))) for _ in range(count)]


def media(frames: list[tuple[int, bytes]]) -> bytes:
    return b"".join(frame(*each) for each in frames if each[0] in (4, 5))


def taken(inlet: Inlet, size: int) -> bytes:
    """All of it, each time whole frames."""
    found = bytearray()

    def enough() -> bool:
        piece = inlet.take()
        at = 0
        while at < len(piece):
            at += 4 + int.from_bytes(piece[at + 2 : at + 4])
        assert at == len(piece)
        found.extend(piece)
        return len(found) >= size

    wait_for(enough, why=lambda: f"{len(found)} of {size} bytes")
    return bytes(found)


@pytest.mark.parametrize("largest", [1, 5, 3000, 200_000])
def test_frames_of_its_channels_at_any_cut(rig: Rig, largest: int) -> None:
    client, sock = rig.connect()
    inlet = Inlet()
    rig.engine.record(client, inlet, 4, 5)
    frames = film(6 if largest < 10 else 60)
    stream = b"".join(frame(*each) for each in frames)
    dice, at = random.Random(largest), 0
    while at < len(stream):
        size = dice.randint(1, largest) if largest > 1 else 1 if at < 3000 else 4096
        sock.sendall(stream[at : at + size])
        at += size
    assert taken(inlet, len(media(frames))) == media(frames)
    assert inlet.take() == b""
    assert inlet.overflows == 0


def test_in_records_of_tls(rig: Rig) -> None:
    peer = Peer(rig)
    inlet = Inlet()
    rig.engine.record(peer.id, inlet, 4, 5)
    frames = film(60)
    stream, dice, at = b"".join(frame(*each) for each in frames), random.Random(5), 0
    while at < len(stream):
        size = dice.choice((1, 2, 5, 700, 16_384))
        peer.send(stream[at : at + size])
        at += size
    assert taken(inlet, len(media(frames))) == media(frames)


def test_text_among_media_goes_to_python_and_what_follows_it_until_python_stands_at_a_boundary(rig: Rig) -> None:
    client, sock = rig.connect()
    inlet = Inlet()
    rig.engine.record(client, inlet, 4, 5)
    sock.sendall(frame(4, b"before") + TEXT + frame(4, b"with it"))
    assert taken(inlet, 10) == frame(4, b"before")
    heard = b""
    while len(heard) < len(TEXT + frame(4, b"with it")):
        event = rig.event(Received)
        assert isinstance(event, Received)
        heard += event.data
    assert heard == TEXT + frame(4, b"with it")
    inlet.put(4, b"with it", time.monotonic_ns())
    rig.engine.consumed(client, len(heard), at_boundary=True)
    sock.sendall(frame(4, b"after"))
    assert taken(inlet, 20) == frame(4, b"with it") + frame(4, b"after")


def test_what_nobody_takes_is_dropped_and_begins_anew_with_a_whole_frame(rig: Rig) -> None:
    client, sock = rig.connect()
    inlet = Inlet()
    rig.engine.record(client, inlet, 4, 5)
    large = frame(4, bytes(65_000))
    for _ in range(300):  # 19 MB
        sock.sendall(large)
    sock.sendall(frame(4, b"last"))
    rig.until_received(300 * len(large) + 8)
    left = inlet.take()
    assert inlet.overflows == 2
    assert left.endswith(frame(4, b"last"))
    assert (len(left) - 8) % len(large) == 0
    assert len(left) < 9 * 1024 * 1024


def test_the_newest_frame_has_a_time(rig: Rig) -> None:
    began_ns = time.monotonic_ns()
    client, sock = rig.connect()
    inlet = Inlet()
    assert inlet.newest_ns >= began_ns
    rig.engine.record(client, inlet, 4, 5)
    before_ns = time.monotonic_ns()
    sock.sendall(frame(4, b"x"))
    taken(inlet, 5)
    assert inlet.newest_ns >= before_ns
    newest_ns = inlet.newest_ns
    sock.sendall(frame(0, b"x"))
    rig.until_received(10)
    assert inlet.newest_ns == newest_ns


@pytest.mark.parametrize("command", ["pause", "end"])
def test_a_recording_ends_in_the_middle_of_a_frame(rig: Rig, command: str) -> None:
    client, sock = rig.connect()
    inlet, second = Inlet(), Inlet()
    rig.engine.record(client, inlet, 4, 5)
    sock.sendall(frame(4, b"whole") + frame(4, bytes(1000))[:500])
    rig.until_received(509)
    getattr(rig.engine, command)(client)
    rig.engine.record(client, second, 4, 5)
    rig.engine.send(client, b"done")
    assert sock.recv(4) == b"done"
    sock.sendall(bytes(504) + frame(4, b"next"))
    assert taken(second, 8) == frame(4, b"next")
    assert inlet.take() == frame(4, b"whole")


def test_a_client_moves_in_the_middle_of_a_frame(make_rig: MakeRig) -> None:
    old, new = make_rig(), make_rig()
    client, sock = old.connect()
    first, second = Inlet(), Inlet()
    old.engine.record(client, first, 4, 5)
    sock.sendall(frame(4, b"whole") + frame(4, bytes(1000))[:500])
    old.until_received(509)
    old.engine.move(client)
    moved = old.event(Moved)
    assert isinstance(moved, Moved)
    client = new.engine.adopt(moved.descriptor, moved.session, moved.unread, False, moved.unsent, moved.state)
    new.engine.record(client, second, 4, 5)
    sock.sendall(bytes(504) + frame(4, b"next"))
    assert taken(second, 8) == frame(4, b"next")
    assert first.take() == frame(4, b"whole")


@pytest.mark.parametrize("begun", [1, 4, 5, 504, 2051])
def test_a_frame_that_has_begun_before_the_recording_is_whole(rig: Rig, begun: int) -> None:
    client, sock = rig.connect()
    inlet = Inlet()
    first, second = frame(4, bytes(range(256)) * 8), frame(4, b"next")
    sock.sendall(first[:begun])
    rig.until_received(begun)
    rig.engine.record(client, inlet, 4, 5)
    rig.engine.send(client, b"done")
    assert sock.recv(4) == b"done"
    sock.sendall(first[begun:] + second)
    assert taken(inlet, len(first + second)) == first + second


def test_a_client_that_moves_loses_no_frame_though_the_recording_comes_late(make_rig: MakeRig) -> None:
    """Until then its media goes the way of text."""
    old, new = make_rig(), make_rig()
    client, sock = old.connect()
    old.engine.move(client)
    moved = old.event(Moved)
    assert isinstance(moved, Moved)
    early, late = [b"".join(frame(4, bytes([n]) * 1400) for n in range(at, at + 20)) for at in (0, 20)]
    cut = 10 * 1404 + 700
    sock.sendall(early[:cut])
    client = new.engine.adopt(moved.descriptor, moved.session, moved.unread, True, moved.unsent, moved.state)
    new.until_received(cut)
    inlet = Inlet()
    new.engine.record(client, inlet, 4, 5)
    sock.sendall(early[cut:])
    heard = b""
    while len(heard) < len(early):
        event = new.event(Received)
        assert isinstance(event, Received)
        heard += event.data
    assert heard == early
    new.engine.consumed(client, len(heard), at_boundary=True)
    new.engine.send(client, b"done")
    assert sock.recv(4) == b"done"
    sock.sendall(late)
    assert taken(inlet, len(late)) == late


def test_who_waits_is_woken_for_each_whole_frame_after_he_has_taken_all(rig: Rig) -> None:
    client, sock = rig.connect()
    inlet = Inlet()
    rig.engine.record(client, inlet, 4, 5)
    poll = select.poll()
    poll.register(inlet.fd, select.POLLIN)
    sent = 0
    for _ in range(3):
        sock.sendall(frame(4, b"whole")[:5])
        rig.until_received(sent + 5)
        assert not poll.poll(0)
        sock.sendall(frame(4, b"whole")[5:])
        sent += 9
        assert poll.poll(5000)
        assert inlet.take() == frame(4, b"whole")
        assert not poll.poll(0)


def test_a_frame_that_python_puts_has_a_limit() -> None:
    inlet = Inlet()
    inlet.put(4, bytes(65_535), 1)
    with pytest.raises(ValueError, match="65536"):
        inlet.put(4, bytes(65_536), 1)
    assert len(inlet.take()) == 65_539
    inlet.put(5, b"", 2)
    assert inlet.take() == b"$\x05\0\0"


def test_a_recording_of_a_client_that_has_gone_holds_nothing(rig: Rig) -> None:
    server, client = tcp_pair()
    number = rig.engine.adopt(server.detach())
    client.close()
    rig.until(lambda: not list(rig.engine.readers()))
    rig.engine.record(number, Inlet(), 4, 5)
    rig.engine.record(99, Inlet(), 4, 5)
