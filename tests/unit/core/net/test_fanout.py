"""The engine over plain TCP: joining, order on the wire, slow readers, leaving (design section 4)."""

import itertools
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from camfleet.core.net.fanout import Closed, Ready, Received, Released

from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.engine import Rig, read_until
from tests.kit.interleaved import Element, InterleavedReader, RTCPPacket, RTPPacket, frames, holes, is_key_frame

REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n"
SENDER_REPORT, SDES, BYE = 200, 202, 203


def packets_of(elements: Sequence[Element]) -> list[RTPPacket]:
    return [element for element in elements if isinstance(element, RTPPacket)]


def last_number(number: int) -> Callable[[Sequence[Element]], bool]:
    """Stop when the frame with this number has ended."""
    mark = b"frame%08d." % number

    def enough(elements: Sequence[Element]) -> bool:
        seen = False
        for packet in packets_of(elements):
            seen = seen or mark in packet.payload
            if seen and packet.marker:
                return True
        return False

    return enough


def play(rig: Rig, client: int, channels: tuple[int, int] = (0, 1)) -> Ready:
    rig.engine.prepare(client, rig.stream, *channels)
    ready = rig.event(Ready)
    assert isinstance(ready, Ready)
    rig.engine.play(client, REPLY)
    return ready


def test_text_reaches_python_and_replies_reach_the_client(rig: Rig) -> None:
    client, sock = rig.connect()
    sock.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
    event = rig.event(Received)
    assert event == Received(client, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
    rig.engine.send(client, REPLY)
    assert sock.recv(1000) == REPLY


def test_a_reader_gets_the_answer_then_a_report_then_the_key_frame(rig: Rig) -> None:
    rig.push(key=True)
    rig.push(count=3)
    client, sock = rig.connect()
    ready = play(rig, client)
    rig.push()
    elements = read_until(sock, InterleavedReader(), last_number(4))
    assert elements[0] == REPLY
    report, names = elements[1], elements[2]
    assert isinstance(report, RTCPPacket)
    assert isinstance(names, RTCPPacket)
    assert (report.channel, report.packet_type, names.packet_type) == (1, SENDER_REPORT, SDES)
    packets = packets_of(elements)
    assert (packets[0].sequence, packets[0].timestamp) == (ready.sequence, ready.rtp_timestamp)
    # The report speaks of the very frame that follows it.
    assert struct.unpack_from("!I", report.body, 16)[0] == packets[0].timestamp
    assert holes(packets) == 0
    grouped = frames(packets)
    assert len(grouped) == 5
    assert [is_key_frame(frame) for frame in grouped] == [True, False, False, False, False]


def test_frames_that_are_pushed_ahead_are_shown_in_their_time_and_not_joined_before(rig: Rig) -> None:
    first_ns = time.monotonic_ns()
    due = {number: first_ns + number * 60_000_000 for number in range(6)}
    for number, due_ns in due.items():
        rig.stream.push((key_access_unit if number in (0, 3) else access_unit)(number), due_ns, due_ns)
    early, sock = rig.connect()
    ready = play(rig, early)
    assert ready.rtp_timestamp == rig.stream.rtp_timestamp(due[0])
    reader, elements = InterleavedReader(), []
    for number, due_ns in due.items():
        elements += read_until(sock, reader, last_number(number))
        assert due_ns <= time.monotonic_ns()
        if number == 3:
            late, _ = rig.connect()
            assert play(rig, late).rtp_timestamp == rig.stream.rtp_timestamp(due[3])
    assert holes(packets_of(elements)) == 0
    rig.until(lambda: next(rig.engine.readers()).frames_sent == len(due))


def test_frames_pushed_ahead_wake_the_engine_once_each(rig: Rig) -> None:
    """One bell for all of them, then its own clock: that is what a camera that passes a film through costs."""
    rig.until(lambda: switches(rig) > 0)
    began_ns, before = time.monotonic_ns(), switches(rig)
    for number in range(8):
        rig.stream.push(key_access_unit(number), 0, began_ns + (number + 1) * 40_000_000)
    rig.until(lambda: time.monotonic_ns() > began_ns + 400_000_000)
    assert 8 <= switches(rig) - before <= 8 + 2


def switches(rig: Rig) -> int:
    """How often the engine's thread has gone to sleep."""
    status = Path(f"/proc/self/task/{rig.thread.native_id}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_an_old_key_frame_is_not_joined_but_a_new_one_wanted(rig: Rig) -> None:
    rig.push(key=True)
    rig.until(lambda: time.monotonic_ns() - rig.stream.counters().last_key_frame_ns > 520_000_000)
    assert not rig.stream.take_key_frame_request()
    client, sock = rig.connect()
    rig.engine.prepare(client, rig.stream, 0, 1)
    rig.until(rig.stream.take_key_frame_request)
    rig.until(rig.stream.take_key_frame_request)  # again, as none has come
    rig.push()
    rig.push(key=True)
    assert rig.event(Ready).client == client
    rig.engine.play(client, REPLY)
    elements = read_until(sock, InterleavedReader(), last_number(2))
    assert b"frame00000000" not in b"".join(packet.payload for packet in packets_of(elements))


@pytest.mark.parametrize(("join", "first"), [("newest", 0), ("live", 2)])
def test_pass_through_joins_at_the_newest_or_the_next_key_frame(
    make_rig: Callable[..., Rig], join: str, first: int
) -> None:
    rig = make_rig(join=join)
    rig.push(key=True)
    rig.until(lambda: time.monotonic_ns() - rig.stream.counters().last_key_frame_ns > 520_000_000)
    rig.push()
    client, sock = rig.connect()
    rig.engine.prepare(client, rig.stream, 0, 1)
    rig.engine.send(client, b"RTSP/1.0 200 OK\r\n\r\n")  # carried out after prepare: the choice is made
    read_until(sock, InterleavedReader(), bool)
    rig.push(key=True)
    rig.event(Ready)
    rig.engine.play(client, REPLY)
    elements = read_until(sock, InterleavedReader(), last_number(2))
    assert b"frame%08d" % first in packets_of(elements)[0].payload + packets_of(elements)[1].payload
    assert not rig.stream.take_key_frame_request()


def test_readers_share_numbers_and_others_channels_are_honoured(rig: Rig) -> None:
    rig.push(key=True)
    first, first_sock = rig.connect()
    second, second_sock = rig.connect()
    assert play(rig, first)[1:] == play(rig, second, (6, 7))[1:]
    rig.push(count=2)
    a = read_until(first_sock, InterleavedReader(), last_number(2))
    b = read_until(second_sock, InterleavedReader(), last_number(2))
    assert {packet.channel for packet in packets_of(b)} == {6}
    assert {element.channel for element in b if isinstance(element, RTCPPacket)} == {7}
    assert [packet[1:] for packet in packets_of(a)] == [packet[1:] for packet in packets_of(b)]


def test_reports_come_every_five_seconds_and_only_joiners_get_the_key_frames(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    play(rig, client)
    began_ns = time.monotonic_ns()
    reader = InterleavedReader()
    elements = read_until(sock, reader, last_number(0))
    for number in range(1, 13):  # a key frame every second, time made up
        rig.stream.push(key_access_unit(number), began_ns + number * 10**9, time.monotonic_ns())
        elements += read_until(sock, reader, last_number(number))
    times = [
        next(later.timestamp for later in elements[index:] if isinstance(later, RTPPacket))
        for index, element in enumerate(elements)
        if isinstance(element, RTCPPacket) and element.packet_type == SENDER_REPORT
    ]
    first = times[0]
    assert [round(((stamp - first) & 0xFFFFFFFF) / 90_000) for stamp in times] == [0, 5, 10]


def test_interleaved_frames_are_the_engines_and_text_is_pythons(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    play(rig, client)
    pli = struct.pack("!BBHII", 0x81, 206, 2, 1, 0xCAFE)
    rig.until(lambda: time.monotonic_ns() - rig.stream.counters().last_key_frame_ns > 520_000_000)
    stray = b"$\x09\x00\x00" + b"$\x01\xff\xff" + bytes(65_535)
    sock.sendall(stray + b"$\x01\x00\x0c" + pli + b"GET_PARAMETER * RTSP/1.0\r\n\r\n")
    rig.until(rig.stream.take_key_frame_request)
    event = rig.event(Received)
    assert isinstance(event, Received)
    assert event.data == b"GET_PARAMETER * RTSP/1.0\r\n\r\n"
    # Not yet at a boundary, as far as the engine knows: a `$` goes to Python too.
    sock.sendall(b"$\x01\x00\x0c" + pli)
    assert rig.event(Received) == Received(client, b"$\x01\x00\x0c" + pli)
    rig.engine.consumed(client, len(event.data) + 16, True)
    received = next(rig.engine.readers()).bytes_received
    for cut in range(1, 16):
        sock.sendall((b"$\x01\x00\x0c" + pli)[:cut])
        rig.until_received(received + cut)
        sock.sendall((b"$\x01\x00\x0c" + pli)[cut:])
        received += 16
        rig.until_received(received)
    sock.sendall(b"OPTIONS")
    assert rig.event(Received) == Received(client, b"OPTIONS")


def test_a_boundary_that_newer_text_has_overtaken_is_none(rig: Rig) -> None:
    client, sock = rig.connect()
    sock.sendall(b"OPTIONS * RTSP/1.0\r\n\r\n")
    first = rig.event(Received)
    assert isinstance(first, Received)
    sock.sendall(b"GET_PARAMETER")
    assert rig.event(Received) == Received(client, b"GET_PARAMETER")
    rig.engine.consumed(client, len(first.data), True)
    sock.sendall(b"$\x00\x00\x00")
    assert rig.event(Received) == Received(client, b"$\x00\x00\x00")


def test_reading_stops_while_python_does_not_parse(rig: Rig) -> None:
    client, sock = rig.connect()
    sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        sock.sendall(bytes(64 * 1024 * 1024))
    held = next(rig.engine.readers()).bytes_received
    assert 16_384 + 65_536 <= held < 16_384 + 2 * 65_536  # the largest request, and one more read
    rig.engine.consumed(client, held, True)
    rig.until(lambda: next(rig.engine.readers()).bytes_received > held)


def test_a_slow_reader_skips_to_a_key_frame_and_delays_nobody(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_lag_s=0.05)
    rig.push(key=True)
    slow, slow_sock = rig.connect(receive_buffer=4096)
    quick, quick_sock = rig.connect()
    play(rig, slow)
    play(rig, quick)
    quick_reader = InterleavedReader()
    quick_elements = []
    for _ in range(40):
        rig.push(key=True, size=120_000)
        rig.push(count=4, size=60_000)
        quick_elements += read_until(quick_sock, quick_reader, last_number(rig.number - 1))
    assert holes(packets_of(quick_elements)) == 0
    assert len(frames(packets_of(quick_elements))) == 201
    by_client = {counters.client: counters for counters in rig.engine.readers()}
    assert by_client[quick].frames_skipped == 0

    # Now it reads again, and sees whole pictures only, each hole followed by a key frame with its report.
    slow_reader = InterleavedReader()
    elements = read_until(slow_sock, slow_reader, last_number(rig.number - 1))
    packets = packets_of(elements)
    assert holes(packets) > 0
    grouped = frames(packets)
    for previous, frame in itertools.pairwise(grouped):
        if (previous[-1].sequence + 1) & 0xFFFF != frame[0].sequence:
            assert is_key_frame(frame)
            at = elements.index(frame[0])
            assert isinstance(elements[at - 1], RTCPPacket)
    skipped = next(counters for counters in rig.engine.readers() if counters.client == slow).frames_skipped
    assert skipped == 201 - len(grouped) > 0


def test_a_frame_is_late_until_its_last_byte_is_in_the_kernel(rig: Rig) -> None:
    """Counted from its capture, once for each reader: at once where there is room, else when the rest has left."""

    def latency() -> tuple[int, int]:
        return rig.stream.latency(time.monotonic_ns())

    rig.push(key=True)
    quick, _quick_sock = rig.connect()
    assert latency() == (0, 0)
    play(rig, quick)
    rig.until(lambda: latency() != (0, 0))
    assert latency()[1] < 5_000_000_000, "of a frame that was captured a moment ago"

    slow, slow_sock = rig.connect(receive_buffer=65_536)
    play(rig, slow)
    rig.engine.pause(quick)
    for captured_s, size in ((20, 6_000_000), (20, 1000), (40, 1000)):
        captured_ns = time.monotonic_ns() - captured_s * 1_000_000_000
        rig.stream.push(access_unit(captured_s, size), captured_ns, time.monotonic_ns())
    rig.until(lambda: any(reader.client == slow and reader.lag_ns for reader in rig.engine.readers()))
    assert latency()[1] < 5_000_000_000, "the socket is full, nothing has wholly left"
    reader = InterleavedReader()
    read_until(slow_sock, reader, last_number(40))
    rig.until(lambda: latency()[1] > 38_000_000_000)
    assert 19_000_000_000 < latency()[0] < 26_000_000_000, "the third of five"


def test_a_reader_that_takes_nothing_is_closed(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stall_timeout_s=0.3, max_lag_s=0.05)
    rig.push(key=True)
    client, sock = rig.connect(receive_buffer=4096)
    play(rig, client)
    rig.push(key=True, size=3_000_000)
    rig.push(count=3, size=3_000_000)
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert (closed.client, closed.reason) == (client, "nothing could be written for too long")
    assert list(rig.engine.readers()) == []
    poll = select.poll()
    poll.register(sock, 0)
    assert poll.poll(5000), "its kernel still keeps what was for it"
    assert poll.poll(0)[0][1] & select.POLLERR, "a FIN behind all that it does not read"


def test_a_reply_never_stands_inside_a_frame(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect(receive_buffer=4096)
    play(rig, client)
    rig.push(size=1_500_000)
    for index in range(5):
        rig.engine.send(client, b"RTSP/1.0 200 OK\r\nCSeq: %d\r\n\r\n" % index)
    rig.push()
    elements = read_until(sock, InterleavedReader(), last_number(2))
    texts = [index for index, element in enumerate(elements) if isinstance(element, bytes)]
    assert len(texts) == 6
    for index in texts[1:]:
        before = elements[index - 1]
        assert isinstance(before, bytes) or (isinstance(before, RTPPacket) and before.marker)


def test_pause_stops_after_a_whole_frame_and_play_goes_on(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    play(rig, client)
    reader = InterleavedReader()
    elements = read_until(sock, reader, last_number(0))
    rig.engine.pause(client)
    rig.engine.send(client, REPLY)
    assert read_until(sock, reader, bool) == [REPLY]
    rig.push(count=3)
    rig.push(key=True)
    play(rig, client)
    later = read_until(sock, reader, last_number(4))
    assert packets_of(later)[0].ssrc == packets_of(elements)[0].ssrc
    assert packets_of(later)[0].sequence > packets_of(elements)[-1].sequence - 65_536


def test_end_says_bye_and_the_connection_stays(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    play(rig, client)
    rig.engine.end(client)
    rig.engine.send(client, REPLY)
    elements = read_until(sock, InterleavedReader(), lambda found: found.count(REPLY) == 2)
    assert [element.packet_type for element in elements if isinstance(element, RTCPPacket)][-1] == BYE
    assert rig.stream.counters().readers == 0
    assert next(rig.engine.readers()).playing is False


def test_close_says_bye_then_fin_and_the_descriptor_is_gone(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    play(rig, client)
    rig.engine.close(client)
    reader = InterleavedReader()
    elements = []
    while data := sock.recv(65_536):
        elements += reader.feed(data)
    assert isinstance(elements[-1], RTCPPacket)
    assert elements[-1].packet_type == BYE
    sock.close()
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert (closed.client, closed.reason, closed.frames_sent) == (client, "closed by the server", 1)


def test_a_peer_that_vanishes_is_reported_and_forgotten(rig: Rig) -> None:
    rig.push(key=True)
    client, sock = rig.connect()
    play(rig, client)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert rig.event(Closed).client == client
    rig.until(lambda: rig.stream.counters().readers == 0)
    rig.engine.send(client, REPLY)  # for one that is gone: ignored
    rig.push()


def test_released_and_adopted_again_loses_nothing(rig: Rig) -> None:
    client, sock = rig.connect()
    sock.sendall(b"$\x00\x00\x10abc")  # the beginning of a frame stays with the text of the next owner
    rig.until(lambda: next(rig.engine.readers()).bytes_received == 7)
    sock.sendall(b"defghijklmnop")
    rig.until(lambda: next(rig.engine.readers()).bytes_received == 20)
    rig.engine.send(client, REPLY)
    rig.engine.release(client)
    released = rig.event(Released)
    assert isinstance(released, Released)
    assert (released.client, released.session, released.unread) == (client, b"", b"")
    sock.sendall(b"DESCRIBE ")
    successor = rig.engine.adopt(released.descriptor)
    assert rig.event(Received) == Received(successor, b"DESCRIBE ")
    assert sock.recv(100) == REPLY


def test_old_ids_name_nobody(rig: Rig) -> None:
    first, sock = rig.connect()
    sock.close()
    rig.event(Closed)
    second, sock = rig.connect()
    assert first != second
    rig.engine.close(first)
    rig.engine.send(second, REPLY)
    assert sock.recv(100) == REPLY


def test_stop_closes_everything() -> None:
    rig = Rig()
    _, sock = rig.connect()
    rig.engine.stop()
    rig.thread.join(5)
    assert sock.recv(10) == b""
    rig.close()
