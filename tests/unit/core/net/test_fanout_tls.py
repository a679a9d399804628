"""The engine inside TLS: records of up to 16 KiB, KeyUpdate, alerts, and the move of a live session."""

import contextlib
from collections.abc import Callable

import pytest
from camfleet.core.net.fanout import Closed, Ready, Received, Released
from camfleet.core.tls import Session, TLSError

from tests.kit.access_units import h265_key_access_unit
from tests.kit.engine import Rig, tcp_pair
from tests.kit.interleaved import RTCPPacket, RTPPacket, frames, holes
from tests.kit.tls_peer import TLS_1_3, Peer, frame_count

REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n"
TLS_1_2 = 0x0303
# version, suite, size of secret, size of IV
SUITES = [
    pytest.param(TLS_1_3, 0x1301, 32, 0, id="1.3-AES128"),
    pytest.param(TLS_1_3, 0x1302, 48, 0, id="1.3-AES256"),
    pytest.param(TLS_1_3, 0x1303, 32, 0, id="1.3-CHACHA20"),
    pytest.param(TLS_1_2, 0xC02F, 16, 4, id="1.2-AES128"),
    pytest.param(TLS_1_2, 0xC030, 32, 4, id="1.2-AES256"),
    pytest.param(TLS_1_2, 0xCCA8, 32, 12, id="1.2-CHACHA20"),
]


def play(rig: Rig, peer: Peer) -> None:
    rig.engine.prepare(peer.id, rig.stream, 0, 1)
    rig.event(Ready)
    rig.engine.play(peer.id, REPLY)


@pytest.mark.parametrize(("version", "suite", "secret", "iv"), SUITES)
def test_media_leaves_in_large_records(rig: Rig, version: int, suite: int, secret: int, iv: int) -> None:
    rig.push(key=True, size=200_000)
    peer = Peer(rig, version, suite, secret, iv)
    play(rig, peer)
    rig.push(count=3, size=17_000)
    elements = peer.read_until(frame_count(4))
    packets = [element for element in elements if isinstance(element, RTPPacket)]
    assert elements[0] == REPLY
    assert holes(packets) == 0
    assert len(frames(packets)) == 4
    payload = sum(len(packet.payload) + 16 for packet in packets)
    # One record for the answer, then as few as 16 KiB allow: 13 for the key frame and 2 for each other frame.
    assert len(peer.sizes) <= 1 + -(-206_000 // 16_384) + 3 * 2
    assert sum(peer.sizes) < payload + 1500


@pytest.mark.parametrize(("version", "suite", "secret", "iv"), SUITES)
def test_requests_split_over_records_and_many_in_one(rig: Rig, version: int, suite: int, secret: int, iv: int) -> None:
    peer = Peer(rig, version, suite, secret, iv)
    text = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 3
    for byte in text:
        peer.send(bytes([byte]))
    peer.send(text)
    heard = b""
    while len(heard) < 2 * len(text):
        event = rig.event(Received)
        assert isinstance(event, Received)
        heard += event.data
    assert heard == 2 * text


def test_records_cut_anywhere_by_the_network(rig: Rig) -> None:
    peer = Peer(rig)
    record = peer.session.seal(b"DESCRIBE", 0)
    for index, byte in enumerate(record):
        peer.sock.sendall(bytes([byte]))
        rig.until_received(index + 1)
    assert rig.event(Received) == Received(peer.id, b"DESCRIBE")


def test_key_updates_both_ways_while_media_flows(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(key_update_records=10, key_update_spacing_s=0.0)
    rig.push(key=True)
    peer = Peer(rig)
    play(rig, peer)
    for _ in range(30):
        rig.push(count=5)
    elements = peer.read_until(frame_count(151))
    assert holes([element for element in elements if isinstance(element, RTPPacket)]) == 0
    # Ours were sent: the sequence number of the current key is far below the number of records.
    assert peer.session.receiving_sequence <= 11
    assert len(peer.sizes) > 150
    peer.send(b"still here")
    assert rig.event(Received).client == peer.id


def test_close_notify_is_said_and_answered(rig: Rig) -> None:
    rig.push(key=True)
    peer = Peer(rig)
    play(rig, peer)
    peer.read_until(frame_count(1))
    rig.engine.close(peer.id)
    data = peer.receive()
    assert data is not None
    bye = peer.reader.feed(data)[-1]
    assert isinstance(bye, RTCPPacket)
    assert bye.packet_type == 203
    assert peer.receive() is None
    assert peer.sock.recv(1) == b""

    peer = Peer(rig)
    peer.sock.sendall(peer.session.seal_alert(0))
    assert peer.receive() is None
    peer.sock.close()
    reasons = {event.reason for event in (rig.event(Closed), rig.event(Closed)) if isinstance(event, Closed)}
    assert reasons == {"closed by the server", "close_notify"}


@pytest.mark.parametrize(
    ("record", "alert"),
    [
        pytest.param(b"\x17\x03\x03\x00\x20" + bytes(32), "bad_record_mac", id="bad MAC"),
        pytest.param(b"\x17\x03\x03\x41\x01" + bytes(16_641), "record_overflow", id="16,641 bytes"),
        pytest.param(b"OPTIONS * RTSP/1.0\r\n\r\n", "unexpected_message", id="plain RTSP"),
    ],
)
def test_a_bad_record_ends_the_session_with_an_alert_and_nobody_else(rig: Rig, record: bytes, alert: str) -> None:
    rig.push(key=True)
    bystander = Peer(rig)
    play(rig, bystander)
    peer = Peer(rig)
    peer.sock.sendall(record)
    with pytest.raises(TLSError):
        peer.receive()
    assert peer.session.alert_received is not None
    peer.sock.close()
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert (closed.client, closed.reason, closed.detail) == (peer.id, "TLS error", alert)
    rig.push(count=5)
    bystander.read_until(frame_count(6))


def test_a_flood_of_key_updates_is_closed(rig: Rig) -> None:
    peer = Peer(rig)
    peer.session.set_policy(records_soft=1, spacing_s=0.0)
    with contextlib.suppress(OSError):
        for _ in range(100):
            peer.send(b"x")
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.detail) == ("TLS error", "unexpected_message")


@pytest.mark.parametrize(("version", "suite", "secret", "iv"), SUITES)
def test_a_live_session_moves_with_half_a_record_unread(
    rig: Rig, version: int, suite: int, secret: int, iv: int
) -> None:
    rig.push(key=True)
    peer = Peer(rig, version, suite, secret, iv)
    play(rig, peer)
    peer.read_until(frame_count(1))
    record = peer.session.seal(b"DESCRIBE rtsp://other\r\n\r\n", 0)
    peer.sock.sendall(record[:17])
    rig.until_received(17)
    rig.engine.release(peer.id)
    released = rig.event(Released)
    assert isinstance(released, Released)
    assert released.unread == record[:17]
    peer.sock.sendall(record[17:])
    successor = rig.engine.adopt(released.descriptor, released.session, released.unread)
    assert rig.event(Received) == Received(successor, b"DESCRIBE rtsp://other\r\n\r\n")
    rig.engine.send(successor, REPLY)
    assert peer.read_until(bool)[-1] == REPLY


def test_the_peers_last_word_moves_with_the_session(rig: Rig) -> None:
    peer = Peer(rig)
    peer.sock.sendall(peer.session.seal(b"DESCRIBE rtsp://other\r\n\r\n", 0) + peer.session.seal_alert(0))
    assert rig.event(Received) == Received(peer.id, b"DESCRIBE rtsp://other\r\n\r\n")
    assert rig.event(Received) == Received(peer.id, b"")
    rig.engine.release(peer.id)
    released = rig.event(Released)
    assert isinstance(released, Released)
    assert Session.from_export(released.session).close_received
    successor = rig.engine.adopt(released.descriptor, released.session)
    assert rig.event(Received) == Received(successor, b"")
    rig.engine.close(successor, REPLY)
    assert peer.receive() == REPLY
    assert peer.receive() is None


def test_a_live_session_moves_with_most_of_a_large_record_unread(rig: Rig) -> None:
    """Far more than the exported session itself."""
    peer = Peer(rig)
    record = peer.session.seal(bytes(16_384), 0)
    peer.sock.sendall(record[:-1])
    rig.until_received(len(record) - 1)
    rig.engine.release(peer.id)
    released = rig.event(Released)
    assert isinstance(released, Released)
    assert released.unread == record[:-1]
    peer.sock.sendall(record[-1:])
    successor = rig.engine.adopt(released.descriptor, released.session, released.unread)
    assert rig.event(Received) == Received(successor, bytes(16_384))


def test_replies_to_a_reader_that_is_still_taking_a_large_frame(rig: Rig) -> None:
    """What is left of a frame of several megabytes is not text that it fails to read."""
    rig.push(key=True)
    peer = Peer(rig)
    play(rig, peer)
    rig.push(size=12_000_000)
    rig.until(lambda: next(rig.engine.readers()).lag_ns > 0)
    for _ in range(3):
        rig.engine.send(peer.id, REPLY)
    elements = peer.read_until(lambda found: found.count(REPLY) == 4)
    assert isinstance(elements[-4], RTPPacket)
    assert elements[-4].marker


def test_many_key_updates_while_the_socket_is_full_get_one_answer(rig: Rig) -> None:
    """Before the next data, RFC 8446 4.6.3; an answer to each would be memory that only the peer can free."""
    rig.push(key=True)
    peer = Peer(rig)
    play(rig, peer)
    peer.read_until(frame_count(1))
    rig.push(size=12_000_000)
    rig.until(lambda: next(rig.engine.readers()).lag_ns > 0)
    # A peer whose own receiving key is worn asks for an update, with each of its own.
    peer.session.set_policy(records_hard=peer.session.receiving_sequence, period_s=0.0, spacing_s=0.0)
    asked = b"".join(peer.session.seal(b"", peer.now_ns) for _ in range(6))
    peer.session.set_policy(records_hard=1 << 24, period_s=1e9)
    received = next(rig.engine.readers()).bytes_received
    peer.sock.sendall(asked)
    rig.until_received(received + len(asked))
    assert next(rig.engine.readers()).key_updates == 0
    rig.push()
    peer.read_until(frame_count(2))
    rig.until(lambda: next(rig.engine.readers()).key_updates == 1)
    assert len(asked) == 6 * (5 + 5 + 1 + 16)


def test_a_session_that_is_none_leaves_the_descriptor_with_the_caller(rig: Rig) -> None:
    server, client = tcp_pair()
    with server, client:
        with pytest.raises(ValueError, match="cannot be imported"):
            rig.engine.adopt(server.fileno(), b"not a session")
        server.sendall(b"x")
        assert client.recv(1) == b"x"


def test_a_slow_tls_reader_gets_whole_pictures(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_lag_s=0.05)
    rig.push(key=True)
    peer = Peer(rig)
    play(rig, peer)
    for _ in range(60):
        rig.push(key=True, size=150_000)
        rig.push(count=3, size=80_000)
    rig.until(lambda: next(rig.engine.readers()).lag_ns > 50_000_000)
    rig.push(key=True)
    elements = peer.read_until(
        lambda found: any(isinstance(e, RTPPacket) and b"frame%08d" % (rig.number - 1) in e.payload for e in found)
    )
    packets = [element for element in elements if isinstance(element, RTPPacket)]
    assert holes(packets) > 0
    frames(packets)
    assert next(rig.engine.readers()).frames_skipped > 0


def test_readers_of_another_codec_leave_with_bye_and_close_notify(rig: Rig) -> None:
    rig.push(key=True)
    peer = Peer(rig)
    play(rig, peer)
    peer.read_until(frame_count(1))
    rig.stream.codec = "h265"
    rig.stream.push(h265_key_access_unit(1), rig.began_ns, 0)
    goodbye = peer.read_until(bool)
    assert [element.packet_type for element in goodbye if isinstance(element, RTCPPacket)][-1] == 203
    assert peer.receive() is None
