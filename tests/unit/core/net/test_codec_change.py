"""Another codec in a stream: who was told the old one gets a goodbye and no byte of the new; nobody else notices."""

import socket
import time
from collections.abc import Callable, Sequence

import pytest
from camfleet.core.net.fanout import Closed, Moved, Ready
from camfleet.core.ring.stream import MediaStream

from tests.kit.access_units import access_unit, h265_access_unit, h265_key_access_unit
from tests.kit.engine import Rig, read_until
from tests.kit.interleaved import Element, InterleavedReader, RTCPPacket, RTPPacket, frames, is_key_frame

REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n"
BYE = 203
REASON = "the stream has another codec now"


def play(rig: Rig, client: int, codec: str = "", stream: MediaStream | None = None) -> None:
    rig.engine.prepare(client, stream or rig.stream, 0, 1, codec)
    assert rig.event(Ready).client == client
    rig.engine.play(client, REPLY)


def push_h265(rig: Rig, count: int = 1) -> None:
    """A key frame and what follows it."""
    rig.stream.codec = "h265"
    for index in range(count):
        make = h265_access_unit if index else h265_key_access_unit
        rig.stream.push(make(rig.number), rig.began_ns + rig.number * 33_333_333, time.monotonic_ns())
        rig.number += 1


def turn_over(rig: Rig, client: int, sock: socket.socket) -> None:
    """Commands come before frames in a turn of the engine: what it has heard so far is done before the next command."""
    rig.engine.send(client, b"RTSP/1.0 200 OK\r\n\r\n")
    read_until(sock, InterleavedReader(), bool)


def read_to_end(sock: socket.socket, reader: InterleavedReader) -> list[Element]:
    found: list[Element] = []
    while data := sock.recv(65_536):
        found += reader.feed(data)
    return found


def packets_of(elements: Sequence[Element]) -> list[RTPPacket]:
    return [element for element in elements if isinstance(element, RTPPacket)]


def frame_count(elements: Sequence[Element]) -> int:
    return sum(packet.marker for packet in packets_of(elements))


@pytest.mark.parametrize("told", ["h264", ""])
def test_a_reader_of_the_old_codec_gets_bye_and_none_of_the_new(rig: Rig, told: str) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    play(rig, client, told)
    rig.push(count=3)
    reader = InterleavedReader()
    elements = read_until(sock, reader, lambda found: frame_count(found) == 4)
    push_h265(rig, 2)
    elements += read_to_end(sock, reader)
    assert isinstance(elements[-1], RTCPPacket)
    assert elements[-1].packet_type == BYE
    assert [is_key_frame(frame) for frame in frames(packets_of(elements))] == [True, False, False, False]
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert (closed.client, closed.reason, closed.frames_skipped) == (client, REASON, 0)


def test_who_knows_the_new_codec_waits_for_it(rig: Rig) -> None:
    """The description changes before the first access unit of the new codec comes."""
    rig.push(key=True)
    rig.stream.codec = "h265"
    client, sock = rig.connect()
    rig.engine.prepare(client, rig.stream, 0, 1, "h265")
    push_h265(rig, 2)
    ready = rig.event(Ready)
    assert isinstance(ready, Ready)
    rig.engine.play(client, REPLY)
    elements = read_until(sock, InterleavedReader(), lambda found: frame_count(found) == 2)
    grouped = frames(packets_of(elements))
    assert grouped[0][0].sequence == ready.sequence
    assert [is_key_frame(frame, "h265") for frame in grouped] == [True, False]


def test_who_knows_the_new_codec_waits_while_the_old_still_comes(rig: Rig) -> None:
    """What was pushed ahead of its time is shown after the description has changed."""
    rig.push(key=True)
    early, watcher = rig.connect()
    play(rig, early, "h264")
    reader = InterleavedReader()
    read_until(watcher, reader, lambda found: frame_count(found) == 1)
    due_ns = time.monotonic_ns() + 200_000_000
    rig.stream.push(access_unit(rig.number), rig.began_ns + rig.number * 33_333_333, due_ns)
    rig.number += 1
    rig.stream.codec = "h265"
    client, sock = rig.connect()
    rig.engine.prepare(client, rig.stream, 0, 1, "h265")
    turn_over(rig, client, sock)
    assert time.monotonic_ns() < due_ns, "too slow a machine to say anything"
    read_until(watcher, reader, lambda found: frame_count(found) == 1)
    push_h265(rig)
    ready = rig.event(Ready)
    assert isinstance(ready, Ready)
    assert ready.client == client
    rig.engine.play(client, REPLY)
    elements = read_until(sock, InterleavedReader(), lambda found: frame_count(found) == 1)
    assert is_key_frame(packets_of(elements), "h265")


@pytest.mark.parametrize("told", ["h265", ""])
def test_nobody_starts_at_a_key_frame_of_the_old_codec(make_rig: Callable[..., Rig], told: str) -> None:
    rig = make_rig(join="newest")
    rig.push(key=True)
    rig.stream.codec = "h265"
    rig.stream.push(h265_access_unit(1), rig.began_ns, time.monotonic_ns())
    client, sock = rig.connect()
    turn_over(rig, client, sock)
    rig.engine.prepare(client, rig.stream, 0, 1, told)
    turn_over(rig, client, sock)
    push_h265(rig)
    rig.event(Ready)
    rig.engine.play(client, REPLY)
    elements = read_until(sock, InterleavedReader(), lambda found: frame_count(found) == 1)
    assert is_key_frame(packets_of(elements), "h265")


def test_a_joiner_that_was_told_the_old_codec_is_sent_away(rig: Rig) -> None:
    push_h265(rig)
    client, sock = rig.connect()
    turn_over(rig, client, sock)
    rig.engine.prepare(client, rig.stream, 0, 1, "h264")
    turn_over(rig, client, sock)
    push_h265(rig)
    assert read_to_end(sock, InterleavedReader()) == []
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert closed.reason == REASON
    assert not any(isinstance(event, Ready) for event in rig.kept)


def test_one_that_is_about_to_play_is_sent_away(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    rig.engine.prepare(client, rig.stream, 0, 1, "h264")
    rig.event(Ready)
    push_h265(rig)
    rig.event(Closed)
    rig.engine.play(client, REPLY)
    assert read_to_end(sock, InterleavedReader()) == []


def test_a_slow_reader_goes_too(make_rig: Callable[..., Rig]) -> None:
    """What it has in its socket comes to its end whole, with the goodbye behind it."""
    rig = make_rig()
    client, sock = rig.connect(receive_buffer=4096)
    rig.push(key=True, size=500_000)
    play(rig, client, "h264")
    rig.push(count=20, size=200_000)
    rig.until(lambda: next(rig.engine.readers()).lag_ns > 0)
    push_h265(rig)
    elements = read_to_end(sock, InterleavedReader())
    assert isinstance(elements[-1], RTCPPacket)
    assert elements[-1].packet_type == BYE
    frames(packets_of(elements[:-1]))  # each but perhaps the last one whole
    assert packets_of(elements)[-1].marker


def test_another_stream_goes_on(rig: Rig) -> None:
    other = MediaStream(ntp_offset_ns=10**18, cname=b"camfleet@test", ssrc=0xBEEF)
    rig.engine.add_stream(other)
    rig.push(key=True)
    other.codec = "h265"
    other.push(h265_key_access_unit(0), rig.began_ns, time.monotonic_ns())
    client, sock = rig.connect()
    play(rig, client, "h265", other)
    leaving, _ = rig.connect()
    play(rig, leaving, "h264")
    push_h265(rig)
    assert rig.event(Closed).client == leaving
    other.push(h265_access_unit(1), rig.began_ns + 33_333_333, time.monotonic_ns())
    elements = read_until(sock, InterleavedReader(), lambda found: frame_count(found) == 2)
    assert {packet.ssrc for packet in packets_of(elements)} == {0xBEEF}


def test_the_same_codec_again_is_no_change(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    play(rig, client, "h264")
    rig.stream.codec = "h265"
    rig.stream.codec = "h264"
    rig.push(count=2)
    read_until(sock, InterleavedReader(), lambda found: frame_count(found) == 3)


@pytest.mark.parametrize("codec", ["", "hevc", "av1"])
def test_a_codec_that_there_is_not(rig: Rig, codec: str) -> None:
    with pytest.raises(ValueError, match="codec"):
        rig.stream.codec = codec
    with pytest.raises(ValueError, match="codec"):
        MediaStream(ntp_offset_ns=0, cname=b"c", codec=codec)
    assert rig.stream.codec == "h264"


@pytest.mark.parametrize("first", ["before", "after"])
def test_a_reader_from_another_engine_counts_on_what_comes_first(make_rig: Callable[..., Rig], first: str) -> None:
    """Which codec it was told is not among what moves; whether the first frame comes before it or after."""
    old, new = make_rig(), make_rig()
    old.push(key=True)
    client, sock = old.connect()
    play(old, client, "h264")
    reader = InterleavedReader()
    read_until(sock, reader, lambda found: frame_count(found) == 1)
    numbers = old.stream.hold()
    old.engine.move(client)
    moved = old.event(Moved)
    assert isinstance(moved, Moved)
    new.stream.hold()
    new.stream.go_on(numbers)
    new.number = old.number
    if first == "before":
        new.push(key=True)
    adopted = new.engine.adopt(moved.descriptor, moved.session, moved.unread, False, moved.unsent, moved.state)
    new.engine.go_on(adopted, new.stream, 0, 1, numbers.sequence)
    if first == "after":
        turn_over(new, adopted, sock)
        new.push(key=True)
    read_until(sock, reader, lambda found: frame_count(found) == 1)
    push_h265(new)
    goodbye = read_to_end(sock, reader)
    assert [element.packet_type for element in goodbye if isinstance(element, RTCPPacket)][-1] == BYE
    assert packets_of(goodbye) == []
