"""Records other than requests at every point of a connection's life, before and behind each change of its owner.

The client is tests/reference after an OpenSSL handshake. Two readers play all the time and must not notice anything.
"""

import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from camfleet.core.tls.alert import alert_name

from tests.kit.journey import ROUND_TRIP, Ask, Conversation
from tests.kit.server import Server
from tests.kit.tls import handshake, key_update
from tests.kit.tls_layer import CLOSE_NOTIFY, FATAL
from tests.kit.tls_wires import FLAVOURS, FLAVOURS_1_3, WARNING, FatalAlertError, Flavour, Reference
from tests.kit.wait import wait_for
from tests.reference.tls_record import ALERT, HANDSHAKE

Records = Callable[[Reference], bytes]

POSITIONS = range(len(ROUND_TRIP))
V1_3, V1_2 = FLAVOURS[1], FLAVOURS[3]
BOTH = [V1_3, V1_2]
CLIENT_HELLO = 1
NO_RENEGOTIATION = 100


@pytest.fixture(scope="module", autouse=True)
def bystanders(two_cameras: Server) -> Iterator[None]:
    with two_cameras.watch("ipc1") as first, two_cameras.watch("ipc2") as second:
        yield
        for watch in (first, second):
            watch.wait_for_frames(2)
            assert watch.video.holes == 0


@pytest.fixture
def conversation(two_cameras: Server) -> Conversation:
    return Conversation(two_cameras)


def connect(server: Server, conversation: Conversation, flavour: Flavour) -> Reference:
    wire = Reference(server.rtsps_port, flavour)
    conversation.wire = wire
    return wire


def key_updates(wire: Reference, count: int, *, asking: bool = False) -> bytes:
    return b"".join(wire.tls.update(asking) for _ in range(count))


def message(wire: Reference, data: bytes) -> bytes:
    """A handshake message, or some of it, as a record."""
    return wire.tls.sending.seal(data, HANDSHAKE)


def key_update_in_pieces(wire: Reference) -> bytes:
    records = b"".join(message(wire, bytes([octet])) for octet in key_update(1))
    wire.tls.sending.update()
    return records


def empty(wire: Reference, count: int) -> bytes:
    return b"".join(wire.tls.sending.seal(b"") for _ in range(count))


def alert(wire: Reference, level: int, description: int) -> bytes:
    return wire.tls.sending.seal(bytes([level, description]), ALERT)


def warnings(wire: Reference, description: int, count: int) -> bytes:
    return b"".join(alert(wire, WARNING, description) for _ in range(count))


def client_hellos(wire: Reference, count: int) -> bytes:
    return b"".join(message(wire, handshake(CLIENT_HELLO, bytes(300))) for _ in range(count))


# ---------------------------------------------------------------- what a connection survives

SURVIVED: dict[str, tuple[list[Flavour], Records]] = {
    "a KeyUpdate": ([V1_3], lambda wire: key_updates(wire, 1)),
    "a KeyUpdate that asks": (FLAVOURS_1_3, lambda wire: key_updates(wire, 1, asking=True)),
    "8 KeyUpdates that ask": ([V1_3], lambda wire: key_updates(wire, 8, asking=True)),
    "a KeyUpdate in 5 records": ([V1_3], key_update_in_pieces),
    "4 user_canceled": ([V1_3], lambda wire: warnings(wire, 90, 4)),
    "4 warnings": ([V1_2], lambda wire: warnings(wire, NO_RENEGOTIATION, 4)),
    "3 renegotiations": ([V1_2], lambda wire: client_hellos(wire, 3)),
    "32 empty records": (BOTH, lambda wire: empty(wire, 32)),
}
ASKING = {"a KeyUpdate that asks", "8 KeyUpdates that ask", "a KeyUpdate in 5 records"}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("place", ["alone", "before a request", "behind a request"])
@pytest.mark.parametrize(
    ("name", "flavour"),
    [pytest.param(name, each, id=f"{name}-{each.name}") for name in SURVIVED for each in SURVIVED[name][0]],
)
def test_survived(
    two_cameras: Server, conversation: Conversation, name: str, flavour: Flavour, place: str, position: int
) -> None:
    """In a segment of its own, or in one with the request at `position`."""
    records = SURVIVED[name][1]
    asks, ask, rest = ROUND_TRIP[:position], ROUND_TRIP[position], ROUND_TRIP[position + 1 :]
    with connect(two_cameras, conversation, flavour) as wire:
        conversation.travel(asks)
        request = conversation.encode(ask)
        if place == "alone":
            wire.send_bytes(records(wire))
            wire.send(request)
        elif place == "before a request":
            wire.send_bytes(records(wire) + wire.tls.sending.seal(request))
        else:
            wire.send_bytes(wire.tls.sending.seal(request) + records(wire))
        conversation.expect(ask)
        conversation.travel(rest)
        conversation.travel([Ask("OPTIONS", "ipc2")])
        conversation.end()
        assert (wire.tls.key_updates > 0) == (name in ASKING)
        assert wire.tls.alerts[:-1] == ["no_renegotiation"] * (3 if name == "3 renegotiations" else 0)


@pytest.mark.parametrize("cut", [1, 4, 5, 6, -1])
@pytest.mark.parametrize("flavour", BOTH, ids=lambda flavour: flavour.name)
def test_the_beginning_of_a_record_goes_back_with_the_connection(
    two_cameras: Server, conversation: Conversation, flavour: Flavour, cut: int
) -> None:
    """ipc1's worker has read it; the rest comes to the supervisor, or to ipc2's worker."""
    for camera, status in (("nowhere", 404), ("ipc2", 200)):
        with connect(two_cameras, conversation, flavour) as wire:
            conversation.travel([Ask("DESCRIBE", "ipc1")])
            asks = [Ask("DESCRIBE", camera, status), Ask("OPTIONS", camera)]
            first, second = (wire.tls.sending.seal(conversation.encode(ask)) for ask in asks)
            wire.send_bytes(first + second[:cut])
            conversation.expect(asks[0])
            wire.send_bytes(second[cut:])
            conversation.expect(asks[1])
            conversation.end()
        conversation = Conversation(two_cameras)


@pytest.mark.parametrize("pieces", range(1, 5))
def test_half_a_key_update_goes_back_with_the_connection(
    two_cameras: Server, conversation: Conversation, pieces: int
) -> None:
    """The handshake message is in five records; ipc1's worker has opened the first `pieces` of them."""
    with connect(two_cameras, conversation, V1_3) as wire:
        conversation.travel([Ask("DESCRIBE", "ipc1")])
        records = [wire.tls.sending.seal(conversation.encode(Ask("DESCRIBE", "nowhere", 404)))]
        records += [message(wire, bytes([octet])) for octet in key_update(1)]
        wire.tls.sending.update()
        wire.send_bytes(b"".join(records[: 1 + pieces]))
        conversation.expect(Ask("DESCRIBE", "nowhere", 404))
        wire.send_bytes(b"".join(records[1 + pieces :]))
        conversation.travel([Ask("DESCRIBE", "ipc2")])
        assert wire.tls.key_updates == 1
        conversation.end()


def test_renegotiations_are_counted_from_owner_to_owner(two_cameras: Server, conversation: Conversation) -> None:
    """Two at the supervisor, one at the worker; a fourth one is too many, wherever."""
    with connect(two_cameras, conversation, V1_2) as wire:
        wire.send_bytes(client_hellos(wire, 2))
        conversation.travel([Ask("DESCRIBE", "ipc1")])
        wire.send_bytes(client_hellos(wire, 1))
        conversation.travel([Ask("DESCRIBE", "nowhere", 404)])
        wire.send_bytes(client_hellos(wire, 1))
        expect_alert(wire, conversation, "unexpected_message")


# ---------------------------------------------------------------- what ends it


def damaged(wire: Reference) -> bytes:
    record = wire.tls.sending.seal(b"OPTIONS * RTSP/1.0\r\nCSeq: 99\r\n\r\n")
    return record[:-1] + bytes([record[-1] ^ 1])


def replayed(wire: Reference) -> bytes:
    return 2 * wire.tls.sending.seal(b"")


def record_missing(wire: Reference) -> bytes:
    wire.tls.sending.seal(b"")
    return wire.tls.sending.seal(b"")


def data_inside_a_message(wire: Reference) -> bytes:
    return message(wire, key_update(0)[:3]) + wire.tls.sending.seal(b"OPTIONS")


HEADER = b"\x17\x03\x03"
ENDINGS: dict[str, tuple[list[Flavour], Records, str]] = {
    "bad MAC": (FLAVOURS, damaged, "bad_record_mac"),
    "a record twice": (BOTH, replayed, "bad_record_mac"),
    "a record missing": (BOTH, record_missing, "bad_record_mac"),
    "length of 16641": (BOTH, lambda _: HEADER + (16_641).to_bytes(2), "record_overflow"),
    "16385 bytes": (BOTH, lambda wire: wire.tls.sending.seal(bytes(16_385)), "record_overflow"),
    "content type 99": (BOTH, lambda _: b"\x63\x03\x03\0\x20" + bytes(32), "unexpected_message"),
    "plain text": (BOTH, lambda _: b"OPTIONS * RTSP/1.0\r\n\r\n", "unexpected_message"),
    "an alert in the clear": ([V1_3], lambda _: b"\x15\x03\x03\0\2\1\0", "unexpected_message"),
    "ChangeCipherSpec": ([V1_3], lambda _: b"\x14\x03\x03\0\1\1", "unexpected_message"),
    "no content type": ([V1_3], lambda wire: wire.tls.sending.seal_inner(bytes(10)), "unexpected_message"),
    "another handshake": (
        BOTH,
        lambda wire: wire.tls.sending.seal(handshake(20, b""), HANDSHAKE),
        "unexpected_message",
    ),
    "data inside a message": ([V1_3], data_inside_a_message, "unexpected_message"),
    "a KeyUpdate of 2": ([V1_3], lambda wire: message(wire, key_update(2)), "illegal_parameter"),
    "a long KeyUpdate": ([V1_3], lambda wire: message(wire, handshake(24, b"\0\0")), "decode_error"),
    "2 KeyUpdates in 1": (
        [V1_3],
        lambda wire: message(wire, 2 * key_update(0)),
        "unexpected_message",
    ),
    "a KeyUpdate in 1.2": ([V1_2], lambda wire: message(wire, key_update(0)), "unexpected_message"),
    "9 KeyUpdates": ([V1_3], lambda wire: key_updates(wire, 9), "unexpected_message"),
    "4 renegotiations": ([V1_2], lambda wire: client_hellos(wire, 4), "unexpected_message"),
    "33 empty records": (BOTH, lambda wire: empty(wire, 33), "unexpected_message"),
    "5 user_canceled": ([V1_3], lambda wire: warnings(wire, 90, 5), "unexpected_message"),
    "5 warnings": ([V1_2], lambda wire: warnings(wire, NO_RENEGOTIATION, 5), "unexpected_message"),
    "half an alert": (BOTH, lambda wire: wire.tls.sending.seal(b"\1", ALERT), "decode_error"),
    "an alert of level 3": (BOTH, lambda wire: alert(wire, 3, 0), "illegal_parameter"),
}


def expect_alert(wire: Reference, conversation: Conversation, name: str, answers: int = 0) -> None:
    """And the end of the connection right behind it."""
    with pytest.raises(FatalAlertError, match=f"^{name}$"):
        conversation.read_to_end(answers)
    expect_silence(wire)


# In one segment with the request at `position`, which may then still be answered.
BEHIND = pytest.mark.parametrize("behind", [False, True], ids=["alone", "behind"])


def next_request(wire: Reference, conversation: Conversation, position: int) -> bytes:
    return wire.tls.seal(conversation.encode(ROUND_TRIP[position]))


def expect_silence(wire: Reference) -> None:
    with pytest.raises(EOFError):
        wire.receive_bytes()


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(
    ("name", "flavour"),
    [pytest.param(name, each, id=f"{name}-{each.name}") for name in ENDINGS for each in ENDINGS[name][0]],
)
@BEHIND
def test_ended_by_an_alert(
    two_cameras: Server, conversation: Conversation, name: str, flavour: Flavour, behind: bool, position: int
) -> None:
    _, records, expected = ENDINGS[name]
    with connect(two_cameras, conversation, flavour) as wire:
        conversation.travel(ROUND_TRIP[:position])
        request = next_request(wire, conversation, position) if behind else b""
        wire.send_bytes(request + records(wire))
        expect_alert(wire, conversation, expected, answers=int(behind))


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda flavour: flavour.name)
@BEHIND
def test_close_notify_is_answered(
    two_cameras: Server, conversation: Conversation, flavour: Flavour, behind: bool, position: int
) -> None:
    with connect(two_cameras, conversation, flavour) as wire:
        conversation.travel(ROUND_TRIP[:position])
        request = next_request(wire, conversation, position) if behind else b""
        wire.send_bytes(request + alert(wire, WARNING, CLOSE_NOTIFY))
        conversation.read_to_end(answers=int(behind))
        expect_silence(wire)


# Each time another one, and none of ours: the supervisor logs each only once a second.
ALERTS = {
    V1_3.version: (21, 30, 40, 41, 42, 43, 44, 45, 46, 48, 49, 51),
    V1_2.version: (60, 70, 71, 80, 86, 109, 110, 111, 112, 113, 115, 116),
}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("flavour", BOTH, ids=lambda flavour: flavour.name)
def test_an_alert_of_the_client_is_logged_by_its_name_and_not_answered(
    two_cameras: Server, conversation: Conversation, flavour: Flavour, position: int
) -> None:
    description = ALERTS[flavour.version][position]
    name = alert_name(description)
    with connect(two_cameras, conversation, flavour) as wire:
        conversation.travel(ROUND_TRIP[:position])
        seen = len(two_cameras.log_text())
        wire.send_bytes(alert(wire, FATAL, description))
        with pytest.raises(EOFError):
            conversation.read_to_end()
    wait_for(lambda: name in two_cameras.log_text()[seen:], why=f"{name} is not in the log")


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("flavour", BOTH, ids=lambda flavour: flavour.name)
@pytest.mark.parametrize("half", ["", "half a record, "])
def test_truncation(
    two_cameras: Server, conversation: Conversation, flavour: Flavour, half: str, position: int
) -> None:
    """Bad input 66: FIN without close_notify. What is left is counted when all tests are done."""
    with connect(two_cameras, conversation, flavour) as wire:
        conversation.travel(ROUND_TRIP[:position])
        if half:
            wire.send_bytes(next_request(wire, conversation, position)[:-1])
        wire.sock.shutdown(socket.SHUT_WR)
        try:
            conversation.read_to_end()
        except EOFError:
            pass
        else:
            expect_silence(wire)


@pytest.mark.parametrize("position", POSITIONS)
def test_reset(two_cameras: Server, conversation: Conversation, position: int) -> None:
    with connect(two_cameras, conversation, V1_3) as wire:
        conversation.travel(ROUND_TRIP[:position])
        wire.send(conversation.encode(ROUND_TRIP[position]))
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
