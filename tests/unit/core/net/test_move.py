"""A client and a stream go from one engine to another as they are; the engines are two processes in real life."""

import functools
import itertools
import os
import struct
import time
from collections.abc import Callable, Sequence

import msgspec
import pytest
from camfleet.core.net.fanout import Closed, Moved, Ready, Received
from camfleet.core.tls.session import record_size
from camfleet.core.wire.succession import ReaderState, StreamNumbers

from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.engine import Rig, read_until
from tests.kit.interleaved import Element, InterleavedReader, RTCPPacket, RTPPacket, frames, holes, is_key_frame
from tests.kit.tls_peer import Peer, frame_count

REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n"
CHANNELS = (0, 1)

MakeRig = Callable[..., Rig]


@pytest.fixture
def old(make_rig: MakeRig) -> Rig:
    return make_rig()


@pytest.fixture
def new(make_rig: MakeRig) -> Rig:
    """Another engine with a stream of its own numbers, which is held."""
    rig = make_rig()
    rig.stream.hold()
    rig.number = 1000
    return rig


def play(rig: Rig, client: int, channels: tuple[int, int] = CHANNELS) -> None:
    rig.engine.prepare(client, rig.stream, *channels)
    rig.event(Ready)
    rig.engine.play(client, REPLY)


def move_out(rig: Rig, client: int) -> Moved:
    rig.engine.move(client)
    moved = rig.event(Moved)
    assert isinstance(moved, Moved)
    assert moved.client == client
    return moved


def adopt(rig: Rig, moved: Moved) -> int:
    return rig.engine.adopt(moved.descriptor, moved.session, moved.unread, False, moved.unsent, moved.state)


def move(old: Rig, new: Rig, client: int, channels: tuple[int, int] = CHANNELS) -> int:
    """A reader that plays, and the stream; `new` goes on with a key frame."""
    numbers = old.stream.hold()
    moved = move_out(old, client)
    new.stream.go_on(numbers)
    new.number = max(new.number, old.number)  # time goes on
    new.push(key=True)
    client = adopt(new, moved)
    new.engine.go_on(client, new.stream, *channels, numbers.sequence)
    return client


def packets_of(elements: Sequence[Element]) -> list[RTPPacket]:
    return [element for element in elements if isinstance(element, RTPPacket)]


def last_number(number: int) -> Callable[[Sequence[Element]], bool]:
    """Stop when the frame with this number has ended."""

    def enough(found: Sequence[Element]) -> bool:
        packets = packets_of(found)
        return bool(packets) and packets[-1].marker and numbers_of(frames(packets)[-1]) == [number]

    return enough


def numbers_of(packets: list[RTPPacket]) -> list[int]:
    """Of the frames, as access_units writes them."""
    found = [int(packet.payload.partition(b"frame")[2][:8] or b"-1") for packet in packets]
    return [number for number, _ in itertools.groupby(number for number in found if number >= 0)]


@pytest.mark.parametrize("channels", [(0, 1), (4, 5)])
def test_a_plain_reader_sees_one_stream(old: Rig, new: Rig, channels: tuple[int, int]) -> None:
    old.push(key=True)
    client, sock = old.connect()
    play(old, client, channels)
    old.push(count=5)
    move(old, new, client, channels)
    new.push(count=3)
    packets = packets_of(read_until(sock, InterleavedReader(), lambda found: len(frames(packets_of(found))) == 10))
    assert holes(packets) == 0
    assert {packet.ssrc for packet in packets} == {0xCAFE}
    assert {packet.channel for packet in packets} == {channels[0]}
    assert numbers_of(packets) == [0, 1, 2, 3, 4, 5, 1000, 1001, 1002, 1003]
    assert is_key_frame(frames(packets)[6])


def test_a_tls_reader_sees_one_stream_in_one_session(old: Rig, new: Rig) -> None:
    old.push(key=True)
    peer = Peer(old)
    play(old, peer.id)
    old.push(count=5)
    for here, there in (old, new), (new, old), (old, new):  # there and back: the old one's streams are held, too
        there.stream.hold()
        peer.id = move(here, there, peer.id)
        there.push(count=2)
    found = peer.read_until(frame_count(6 + 3 * 3))
    assert holes(packets_of(found)) == 0
    assert len(frames(packets_of(found))) == 15
    peer.send(b"OPTIONS")
    assert new.event(Received) == Received(peer.id, b"OPTIONS")


def report_of(elements: Sequence[Element], packet: RTPPacket) -> tuple[int, int, int, int]:
    """NTP (two halves), packets and octets of the sender report in front of a packet."""
    before = elements[: elements.index(packet)]
    report = next(each for each in reversed(before) if isinstance(each, RTCPPacket) and each.packet_type == 200)
    ntp_high, ntp_low, timestamp, packets, octets = struct.unpack_from("!5I", report.body, 8)
    assert timestamp == packet.timestamp
    return ntp_high, ntp_low, packets, octets


def test_sender_reports_count_and_clock_on(old: Rig, new: Rig) -> None:
    """RFC 3550 6.4.1: totals since the beginning of the transmission; NTP and RTP time stay the same line."""
    old.push(key=True)
    client, sock = old.connect()
    play(old, client)
    old.push(count=5)
    move(old, new, client)
    found = read_until(sock, InterleavedReader(), lambda found: len(frames(packets_of(found))) == 7)
    packets = packets_of(found)
    first, last = packets[0], frames(packets)[-1][0]
    (seconds, fraction, packets_before, octets_before) = report_of(found, first)
    assert (packets_before, octets_before) == (0, 0)
    seconds_now, fraction_now, packets_now, octets_now = report_of(found, last)
    assert packets_now == packets.index(last)
    assert octets_now == sum(len(packet.payload) for packet in packets[:packets_now])
    elapsed_s = seconds_now - seconds + (fraction_now - fraction) / 2**32
    assert elapsed_s == pytest.approx(((last.timestamp - first.timestamp) & 0xFFFFFFFF) / 90_000, abs=1e-4)


def test_frames_of_the_last_moment_leave_before_the_client_does(old: Rig, new: Rig) -> None:
    """The engine has not yet been told of what was pushed."""
    old.push(key=True)
    client, sock = old.connect()
    play(old, client)
    packets: list[RTPPacket] = []
    for _ in range(20):
        old.push(count=2)
        new.stream.hold()
        client = move(old, new, client)
        packets += packets_of(read_until(sock, InterleavedReader(), last_number(new.number - 1)))
        old, new = new, old
    assert len(frames(packets)) == 61
    assert holes(packets) == 0


def test_frames_whose_time_has_not_come_leave_before_the_client_does(old: Rig, new: Rig) -> None:
    old.push(key=True)
    client, sock = old.connect()
    play(old, client)
    for number in range(1, 4):
        later_ns = time.monotonic_ns() + number * 3_600_000_000_000
        old.stream.push(access_unit(number), old.began_ns + number * 33_333_333, later_ns)
    old.number = 4
    move(old, new, client)
    packets = packets_of(read_until(sock, InterleavedReader(), lambda found: len(frames(packets_of(found))) == 5))
    assert numbers_of(packets) == [0, 1, 2, 3, 1000]
    assert holes(packets) == 0


def fill(rig: Rig) -> None:
    """Push until the reader, which reads nothing, is behind, and then some more."""
    rig.until(lambda: next(rig.engine.readers()).playing)
    pushed = next(rig.engine.readers()).frames_sent
    while not next(rig.engine.readers()).lag_ns:
        rig.push(size=60_000)
        pushed += 1
        rig.until(functools.partial(has_been_shown, rig, pushed))
    rig.push(count=3)


def has_been_shown(rig: Rig, count: int) -> bool:
    """All of so many frames to the only reader, or as much as its socket took."""
    reader = next(rig.engine.readers())
    return reader.frames_sent == count or reader.lag_ns > 0


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_what_a_slow_reader_has_not_been_sent_goes_along(old: Rig, new: Rig, tls: bool) -> None:
    """The frame that is cut by the full socket, those behind it, and an answer between them."""
    old.push(key=True)
    if tls:
        peer = Peer(old)
        client, sock = peer.id, peer.sock
    else:
        client, sock = old.connect(receive_buffer=16_384)
    play(old, client)
    fill(old)
    old.engine.send(client, REPLY)
    numbers = old.stream.hold()
    moved = move_out(old, client)
    assert moved.unsent
    assert moved.state.frames_skipped == 0
    sent = moved.state.bytes_sent
    new.stream.go_on(numbers)
    new.push(key=True)
    client = adopt(new, moved)
    new.engine.go_on(client, new.stream, *CHANNELS, numbers.sequence)
    wanted = old.number + 1

    def enough(found: Sequence[Element]) -> bool:
        return frame_count(wanted)(list(found))

    found = peer.read_until(enough) if tls else read_until(sock, InterleavedReader(), enough)
    assert holes(packets_of(found)) == 0
    assert len(frames(packets_of(found))) == wanted
    assert found.count(REPLY) == 2
    new.until(lambda: next(new.engine.readers()).bytes_sent > sent + len(moved.unsent))
    assert next(new.engine.readers()).frames_sent == wanted


def test_a_backlog_that_is_too_large_is_given_up_and_the_picture_begins_with_the_key_frame(old: Rig, new: Rig) -> None:
    old.push(key=True)
    client, sock = old.connect(receive_buffer=16_384)
    play(old, client)
    fill(old)
    old.push(count=4, size=900_000)
    numbers = old.stream.hold()
    moved = move_out(old, client)
    assert len(moved.unsent) < 400_000
    assert moved.state.frames_skipped > 0
    new.stream.go_on(numbers)
    new.push(key=True)
    client = adopt(new, moved)
    new.engine.go_on(client, new.stream, *CHANNELS, numbers.sequence)
    packets = packets_of(
        read_until(sock, InterleavedReader(), lambda found: 1000 in numbers_of(packets_of(found)[-30:]))
    )
    assert holes(packets) == 1
    (hole,) = (at for at, (a, b) in enumerate(itertools.pairwise(packets), 1) if (b.sequence - a.sequence) % 65536 != 1)
    assert packets[hole - 1].marker
    assert is_key_frame(frames(packets[hole:])[0])


def test_a_held_stream_says_nothing_and_goes_on_with_a_later_key_frame(old: Rig) -> None:
    old.push(key=True)
    client, sock = old.connect()
    play(old, client)
    old.push(count=2)
    numbers = old.stream.hold()
    assert old.stream.push(key_access_unit(9), time.monotonic_ns(), time.monotonic_ns()) == 0
    assert old.stream.hold() == numbers
    old.stream.take_key_frame_request()
    old.stream.go_on()
    assert old.stream.take_key_frame_request()
    late = old.began_ns + 10 * 33_333_333
    assert old.stream.push(access_unit(10), late, late) == 0
    assert old.stream.take_key_frame_request()  # an encoder that had already begun is asked again
    assert old.stream.push(key_access_unit(11), numbers.newest_capture_ns + 999_999, late) == 0  # the same RTP time
    assert old.stream.push(key_access_unit(12), numbers.newest_capture_ns + 1_000_000, late) > 0
    assert old.stream.push(access_unit(13), late, late) > 0
    packets = packets_of(read_until(sock, InterleavedReader(), lambda found: len(frames(packets_of(found))) == 5))
    assert holes(packets) == 0
    assert numbers_of(packets) == [0, 1, 2, 12, 13]


def test_numbers_are_only_for_a_held_stream(old: Rig) -> None:
    with pytest.raises(ValueError, match="held"):
        old.stream.go_on(numbers())


def numbers(sequence: int = 0) -> StreamNumbers:
    return StreamNumbers(
        ssrc=1, sequence=sequence, timestamp_base=0, ntp_offset_ns=0, packets=0, octets=0, last_report_ns=0,
        newest_capture_ns=0,
    )  # fmt: skip


def test_readers_that_come_back_miss_nothing(old: Rig) -> None:
    """The successor has failed: they go on where they were, whether the key frame is there already or not."""
    old.push(key=True)
    clients = [old.connect() for _ in range(3)]
    for client, _ in clients:
        play(old, client)
    old.push(count=2)
    numbers = old.stream.hold()
    moved = [move_out(old, client) for client, _ in clients]
    again = [adopt(old, each) for each in moved]
    old.engine.go_on(again[0], old.stream, *CHANNELS, numbers.sequence)
    old.stream.go_on()
    old.push(key=True)
    old.engine.go_on(again[1], old.stream, *CHANNELS, numbers.sequence)
    old.push(count=3)
    old.engine.go_on(again[2], old.stream, *CHANNELS, numbers.sequence)
    for _, sock in clients:
        packets = packets_of(read_until(sock, InterleavedReader(), lambda found: len(frames(packets_of(found))) == 7))
        assert holes(packets) == 0


def test_who_comes_when_the_key_frame_is_no_longer_kept_begins_with_a_newer_one(make_rig: MakeRig, old: Rig) -> None:
    new = make_rig(max_lag_s=0.0)
    new.stream.hold()
    old.push(key=True)
    client, sock = old.connect()
    play(old, client)
    numbers = old.stream.hold()
    moved = move_out(old, client)
    new.stream.go_on(numbers)
    new.number = 1000
    new.push(key=True, count=2)
    new.push()
    new.until(lambda: new.stream.counters().frames == numbers.frames + 3)
    client = adopt(new, moved)
    new.engine.go_on(client, new.stream, *CHANNELS, numbers.sequence)
    packets = packets_of(read_until(sock, InterleavedReader(), lambda found: 1002 in numbers_of(packets_of(found))))
    assert numbers_of(packets) == [0, 1001, 1002]


@pytest.mark.parametrize("size", [1, 3, 4, 20])
def test_a_cut_interleaved_frame_of_the_client_is_whole_again(old: Rig, new: Rig, size: int) -> None:
    """Its receiver report, cut anywhere: what follows is understood."""
    report = struct.pack("!BBHIIBBHIIII", 0x81, 201, 7, 1, 0xCAFE, 77, 0, 0, 0, 0, 0, 0)
    frame = b"$\x01" + struct.pack("!H", len(report)) + report
    old.push(key=True)
    client, sock = old.connect()
    play(old, client)
    sock.sendall(frame[:size])
    old.until_received(size)
    client = move(old, new, client)
    sock.sendall(frame[size:] + b"OPTIONS * RTSP/1.0")
    assert new.event(Received) == Received(client, b"OPTIONS * RTSP/1.0")
    assert next(new.engine.readers()).fraction_lost == 77


def test_a_large_interleaved_frame_of_the_client_is_skipped_to_its_end(old: Rig, new: Rig) -> None:
    client, sock = old.connect()
    sock.sendall(b"$\x09\x80\x00" + bytes(1000))
    old.until_received(1004)
    client = adopt(new, move_out(old, client))
    sock.sendall(bytes(0x8000 - 1000) + b"OPTIONS")
    assert new.event(Received) == Received(client, b"OPTIONS")


def test_a_cut_record_of_the_client_is_whole_again(old: Rig, new: Rig) -> None:
    peer = Peer(old)
    record = peer.session.seal(b"OPTIONS", 0)
    peer.sock.sendall(record[:9])
    old.until_received(9)
    moved = move_out(old, peer.id)
    assert moved.unread == record[:9]
    client = adopt(new, moved)
    peer.sock.sendall(record[9:])
    assert new.event(Received) == Received(client, b"OPTIONS")


def test_counters_and_times_go_along(make_rig: MakeRig, old: Rig, new: Rig) -> None:
    peer = Peer(make_rig(key_update_records=5, key_update_spacing_s=0.0))
    peer.sock.close()
    old.push(key=True)
    client, sock = old.connect()
    play(old, client)
    sock.sendall(b"$\x05\x00\x00")
    old.until_received(4)
    read_until(sock, InterleavedReader(), lambda found: len(frames(packets_of(found))) == 1)
    before = next(old.engine.readers())
    client = adopt(new, move_out(old, client))
    after = next(new.engine.readers())
    assert after._replace(client=0, playing=True) == before._replace(client=0)


def test_key_updates_are_counted_on(make_rig: MakeRig, new: Rig) -> None:
    old = make_rig(key_update_records=3, key_update_spacing_s=0.0)
    old.push(key=True)
    peer = Peer(old)
    play(old, peer.id)
    old.push(count=20)
    peer.read_until(frame_count(21))
    count = next(old.engine.readers()).key_updates
    assert count > 0
    peer.id = move(old, new, peer.id)
    assert next(new.engine.readers()).key_updates == count
    peer.read_until(frame_count(1))


def test_who_has_taken_nothing_for_too_long_is_closed_wherever_he_is(make_rig: MakeRig, new: Rig) -> None:
    """A replacement does not give a dead reader more time."""
    old = make_rig()
    old.push(key=True)
    client, _ = old.connect(receive_buffer=16_384)
    play(old, client)
    fill(old)
    moved = move_out(old, client)
    stalled = msgspec.structs.replace(moved.state, last_progress_ns=moved.state.last_progress_ns - 11 * 10**9)
    adopt(new, moved._replace(state=stalled))
    closed = new.event(Closed)
    assert isinstance(closed, Closed)
    assert closed.reason == "nothing could be written for too long"


def test_who_is_being_closed_or_given_back_does_not_move(old: Rig) -> None:
    client, sock = old.connect()
    old.engine.close(client, REPLY)
    old.engine.move(client)
    assert sock.recv(1000) == REPLY
    sock.close()
    assert old.event(Closed).client == client


def test_a_moved_connection_that_nobody_took_is_closed_with_the_engine(old: Rig) -> None:
    client, sock = old.connect()
    old.engine.move(client)
    old.until(lambda: list(old.engine.readers()) == [])
    old.sockets.clear()
    old.close()
    assert sock.recv(1) == b""
    sock.close()


def test_a_state_that_cannot_be_leaves_the_descriptor_with_the_caller(old: Rig, new: Rig) -> None:
    client, sock = old.connect()
    moved = move_out(old, client)
    with pytest.raises(ValueError, match="interleaved frame"):
        adopt(new, moved._replace(state=ReaderState(frame=bytes(5000))))
    os.close(moved.descriptor)
    assert sock.recv(1) == b""


def test_a_session_sealed_by_both_never_repeats_a_record_number(old: Rig, new: Rig) -> None:
    """What waits is sealed already, and its numbers are used up."""
    old.push(key=True)
    peer = Peer(old)
    play(old, peer.id)
    old.push(count=3)
    peer.read_until(frame_count(4))
    before = peer.session.receiving_sequence
    peer.id = move(old, new, peer.id)
    peer.read_until(frame_count(1))
    assert peer.session.receiving_sequence > before
    assert record_size(peer.buffer) == 0
