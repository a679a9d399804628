"""An engine that is changed while it runs: streams that go, other limits."""

import gc
import socket
import time
from collections.abc import Callable

from camfleet.core.net.fanout import Closed, live_objects
from camfleet.core.ring.stream import MediaStream

from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.descriptors import descriptors
from tests.kit.engine import Rig, read_until
from tests.kit.interleaved import InterleavedReader, RTCPPacket
from tests.kit.tls_peer import Peer, frame_count
from tests.unit.core.net.test_fanout import BYE, REPLY, last_number, packets_of, play
from tests.unit.core.net.test_fanout_tls import play as play_tls


def second_stream(rig: Rig) -> MediaStream:
    """With a key frame in its window."""
    stream = MediaStream(ntp_offset_ns=10**18, cname=b"camfleet@test", ssrc=0xBEEF)
    rig.engine.add_stream(stream)
    stream.push(key_access_unit(0), rig.began_ns, time.monotonic_ns())
    return stream


def test_a_stream_that_goes_leaves_nothing_and_touches_no_other(rig: Rig) -> None:
    rig.push(key=True)
    stays, stays_sock = rig.connect()
    play(rig, stays)
    read_until(stays_sock, InterleavedReader(), last_number(0))
    objects, opened = live_objects(), descriptors()
    stream = second_stream(rig)
    for _ in range(50):
        stream.push(access_unit(1), time.monotonic_ns(), time.monotonic_ns())
    gone, gone_sock = rig.connect()
    play_of(rig, stream, gone)
    rig.engine.close(gone)
    rig.engine.remove_stream(stream)
    elements = []
    reader = InterleavedReader()
    while data := gone_sock.recv(65_536):
        elements += reader.feed(data)
    assert isinstance(elements[-1], RTCPPacket)
    assert elements[-1].packet_type == BYE
    gone_sock.close()
    assert rig.event(Closed).client == gone
    stream.push(key_access_unit(2), time.monotonic_ns(), time.monotonic_ns())  # its pipeline may be a moment late
    del stream
    rig.until(lambda: rig.engine.events() == [] and live_objects() == objects)
    gc.collect()
    assert descriptors() == opened
    rig.push(count=3)
    read_until(stays_sock, InterleavedReader(), last_number(3))


def play_of(rig: Rig, stream: MediaStream, client: int) -> None:
    first, rig.stream = rig.stream, stream
    play(rig, client)
    rig.stream = first


def test_readers_of_a_stream_that_goes_keep_their_connection(rig: Rig) -> None:
    stream = second_stream(rig)
    clients = [rig.connect() for _ in range(3)]
    for client, _ in clients:
        play_of(rig, stream, client)
    rig.engine.remove_stream(stream)
    for client, sock in clients:
        rig.engine.send(client, b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n")
        elements = read_until(sock, InterleavedReader(), lambda found: b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n" in found)
        assert elements[0] == REPLY
        assert packets_of(elements)
    assert stream.counters().readers == 0
    rig.engine.prepare(clients[0][0], stream, 0, 1)  # no such stream any more: nothing happens
    rig.push(key=True)
    play(rig, clients[0][0])
    read_until(clients[0][1], InterleavedReader(), last_number(0))


def test_in_the_middle_of_a_frame_its_rest_leaves_and_then_the_stream_is_free(rig: Rig) -> None:
    client, sock = rig.connect(receive_buffer=4096)
    opened = descriptors()
    stream = second_stream(rig)
    play_of(rig, stream, client)
    stream.push(access_unit(1, 3_000_000), time.monotonic_ns(), time.monotonic_ns())
    rig.until(lambda: next(rig.engine.readers()).lag_ns > 0)
    rig.engine.remove_stream(stream)
    del stream
    rig.until(lambda: rig.engine.events() == [] and descriptors() == opened)
    rig.engine.send(client, REPLY)
    elements = read_until(sock, InterleavedReader(), lambda found: found.count(REPLY) == 2)
    assert packets_of(elements)[-1].marker
    sock.shutdown(socket.SHUT_WR)
    assert rig.event(Closed).client == client


def test_a_shorter_stall_timeout_counts_for_who_stalls_already(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stall_timeout_s=3600.0, max_lag_s=0.05)
    rig.push(key=True)
    client, _ = rig.connect(receive_buffer=4096)
    play(rig, client)
    rig.push(key=True, size=3_000_000)
    rig.push(count=3, size=3_000_000)
    rig.until(lambda: next(rig.engine.readers()).lag_ns > 0)
    rig.engine.set_limits(0.2, 4_194_304, 10.0)
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert (closed.client, closed.reason) == (client, "nothing could be written for too long")


def test_other_limits_of_tls_keys_count_for_who_is_here_and_who_comes(rig: Rig) -> None:
    rig.push(key=True)
    here = Peer(rig)
    play_tls(rig, here)
    rig.push(count=10)
    here.read_until(frame_count(11))
    assert here.session.receiving_sequence > 11  # each frame a record, all under the first key
    rig.engine.set_limits(10.0, 10, 0.0)
    comes = Peer(rig)
    rig.push(key=True)
    play_tls(rig, comes)
    for _ in range(6):
        rig.push(count=5)
    here.read_until(frame_count(31))
    comes.read_until(frame_count(31))
    assert here.session.receiving_sequence <= 11
    assert comes.session.receiving_sequence <= 11
