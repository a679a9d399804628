"""What a peer must not send (bad-inputs F 63, RFC 8446 5, 5.1-5.4, 6): each row ends the session with its alert."""

from collections.abc import Callable, Iterator

import pytest
from camfleet.core.tls import Session, TLSError

from tests.kit.tls import CLIENT_HELLO, KEY_UPDATE, Peer, connect, handshake, key_update, octets
from tests.reference.tls_record import ALERT, APPLICATION_DATA, HANDSHAKE, SUITES, TLS_1_2, TLS_1_3, Suite

CHANGE_CIPHER_SPEC = 20
CHANGE_CIPHER_SPEC_RECORD = b"\x14\x03\x03\x00\x01\x01"
AES_1_3, AES_1_2 = SUITES[0], SUITES[3]

Records = Callable[[Peer], Iterator[bytes]]


def raw(record: bytes) -> Records:
    """A record that no key has protected."""
    return lambda _: iter([record])


def sealed(content_type: int, *contents: bytes) -> Records:
    """One protected record per content; the session must refuse the last one and none before."""
    return lambda peer: (peer.sending.seal(content, content_type) for content in contents)


def inner(plaintext: bytes) -> Records:
    return lambda peer: iter([peer.sending.seal_inner(plaintext)])


def updates(request: int, count: int) -> Records:
    return lambda peer: (peer.update(request) for _ in range(count))


EVERY_VERSION: list[tuple[str, Records, str]] = [
    ("record of 16,641 bytes", raw(b"\x17\x03\x03\x41\x01" + bytes(16_641)), "record_overflow"),
    ("unknown content type", raw(b"\x18\x03\x03\x00\x20" + bytes(32)), "unexpected_message"),
    ("plain RTSP", raw(b"OPTIONS rtsp://h/ RTSP/1.0\r\n\r\n"), "unexpected_message"),
    ("record of no bytes", raw(b"\x17\x03\x03\x00\x00"), "bad_record_mac"),
    ("shorter than a tag", raw(b"\x17\x03\x03\x00\x0f" + bytes(15)), "bad_record_mac"),
    ("only a tag", raw(b"\x17\x03\x03\x00\x10" + bytes(16)), "bad_record_mac"),
    ("garbage", raw(b"\x17\x03\x03\x01\x00" + octets("garbage", 256)), "bad_record_mac"),
    ("largest garbage", raw(b"\x17\x03\x03\x41\x00" + octets("garbage", 16_640)), "bad_record_mac"),
    ("less than the header says", raw(b"\x17\x03\x03\x01\x00" + bytes(255)), "decode_error"),
    ("more than the header says", raw(b"\x17\x03\x03\x01\x00" + bytes(257)), "decode_error"),
    ("half a header", raw(b"\x17\x03\x03"), "decode_error"),
    ("change_cipher_spec sealed", sealed(CHANGE_CIPHER_SPEC, b"\x01"), "unexpected_message"),
    ("empty alert", sealed(ALERT, b""), "unexpected_message"),
    ("empty handshake", sealed(HANDSHAKE, b""), "unexpected_message"),
    ("alert of one byte", sealed(ALERT, b"\x01"), "decode_error"),
    ("two alerts in a record", sealed(ALERT, b"\x01\x5a\x01\x00"), "decode_error"),
    ("alert of level 3", sealed(ALERT, b"\x03\x00"), "illegal_parameter"),
    ("33 empty records", sealed(APPLICATION_DATA, *[b""] * 33), "unexpected_message"),
    ("5 warnings", sealed(ALERT, *[b"\x01\x5a"] * 5), "unexpected_message"),
    (
        "warnings and empty records in turn",
        lambda peer: (
            peer.sending.seal(content, kind) for _ in range(5) for kind, content in [(23, b""), (ALERT, b"\x01\x5a")]
        ),
        "unexpected_message",
    ),
    ("finished", sealed(HANDSHAKE, handshake(20, bytes(32))), "unexpected_message"),
    ("hello_request", sealed(HANDSHAKE, handshake(0, b"")), "unexpected_message"),
    ("certificate", sealed(HANDSHAKE, handshake(11, b"\x00")), "unexpected_message"),
]

TLS_1_3_ONLY: list[tuple[str, Records, str]] = [
    ("change_cipher_spec", raw(CHANGE_CIPHER_SPEC_RECORD), "unexpected_message"),
    ("alert in the clear", raw(b"\x15\x03\x03\x00\x02\x02\x28"), "unexpected_message"),
    ("handshake in the clear", raw(b"\x16\x03\x03\x00\x05" + key_update(0)), "unexpected_message"),
    ("inner plaintext empty", inner(b""), "unexpected_message"),
    ("inner plaintext all zero", inner(bytes(100)), "unexpected_message"),
    ("inner plaintext of 2^14 + 2", inner(bytes(16_384) + b"\x17\x00"), "record_overflow"),
    ("content of 2^14 + 1", inner(bytes(16_385) + b"\x17"), "record_overflow"),
    ("inner type 0x18", inner(b"beat\x18"), "unexpected_message"),
    ("client_hello", sealed(HANDSHAKE, handshake(CLIENT_HELLO, bytes(64))), "unexpected_message"),
    ("new_session_ticket", sealed(HANDSHAKE, handshake(4, bytes(16))), "unexpected_message"),
    ("key_update without body", sealed(HANDSHAKE, handshake(KEY_UPDATE, b"")), "decode_error"),
    ("key_update of two bytes", sealed(HANDSHAKE, handshake(KEY_UPDATE, b"\x00\x00")), "decode_error"),
    ("key_update of 16 MB", sealed(HANDSHAKE, b"\x18\xff\xff\xff\x00"), "decode_error"),
    ("key_update with request 2", sealed(HANDSHAKE, key_update(2)), "illegal_parameter"),
    ("two key_updates in a record", sealed(HANDSHAKE, key_update(0) + key_update(0)), "unexpected_message"),
    ("key_update not the last byte", sealed(HANDSHAKE, key_update(1) + b"\x18"), "unexpected_message"),
    (
        "data within a key_update",
        lambda peer: iter([peer.sending.seal(key_update(0)[:3], HANDSHAKE), peer.sending.seal(b"data")]),
        "unexpected_message",
    ),
    (
        "alert within a key_update",
        lambda peer: iter([peer.sending.seal(key_update(0)[:1], HANDSHAKE), peer.alert(1, 0)]),
        "unexpected_message",
    ),
    ("9 key_updates at once", updates(0, 9), "unexpected_message"),
    ("9 requested key_updates at once", updates(1, 9), "unexpected_message"),
]

TLS_1_2_ONLY: list[tuple[str, Records, str]] = [
    ("change_cipher_spec in the clear", raw(CHANGE_CIPHER_SPEC_RECORD), "bad_record_mac"),
    ("plaintext of 2^14 + 1", sealed(APPLICATION_DATA, bytes(16_385)), "record_overflow"),
    ("key_update", sealed(HANDSHAKE, key_update(0)), "unexpected_message"),
    ("fourth renegotiation", sealed(HANDSHAKE, *[handshake(CLIENT_HELLO, bytes(64))] * 4), "unexpected_message"),
    (
        "data within a client_hello",
        lambda peer: iter([peer.sending.seal(b"\x01\x00\x00\x40" + bytes(8), HANDSHAKE), peer.sending.seal(b"data")]),
        "unexpected_message",
    ),
]

ROWS = [
    pytest.param(suite, records, alert, id=f"{suite.number:04X}-{name}")
    for suites, table in (
        ((AES_1_3, SUITES[2], AES_1_2, SUITES[7]), EVERY_VERSION),
        ((AES_1_3,), TLS_1_3_ONLY),
        ((AES_1_2,), TLS_1_2_ONLY),
    )
    for suite in suites
    for name, records, alert in table
]


def ended_by(session: Session, records: list[bytes]) -> TLSError:
    """The error of the last record; none before may raise or deliver anything."""
    for record in records[:-1]:
        assert session.receive(record, 0) == b""
    with pytest.raises(TLSError) as error:
        session.receive(records[-1], 0)
    return error.value


@pytest.mark.parametrize(("suite", "records", "alert"), ROWS)
def test_rule_broken(suite: Suite, records: Records, alert: str) -> None:
    session, peer = connect(suite)
    sequence = peer.receiving.sequence
    error = ended_by(session, list(records(peer)))
    assert error.name == alert
    # The session is over but for the alert; no data leaves, and nothing more is opened.
    with pytest.raises(TLSError, match="over"):
        session.seal(b"media", 0)
    with pytest.raises(TLSError, match="over"):
        session.receive(peer.sending.seal(b"more"), 0)
    with pytest.raises(TLSError, match="over"):
        session.export(0)
    assert peer.receiving.sequence == sequence
    assert peer.open(session.seal_alert(error.alert)) == [(ALERT, bytes([2, error.alert]))]
    with pytest.raises(TLSError, match="over"):
        session.seal_alert(error.alert)


@pytest.mark.parametrize("suite", [AES_1_3, SUITES[2], AES_1_2, SUITES[7]], ids=lambda suite: f"{suite.number:04X}")
def test_any_flipped_bit(suite: Suite) -> None:
    """No bit of a record can change unnoticed; one in the length is a framing error."""
    _, peer = connect(suite)
    record = peer.sending.seal(octets("SETUP", 40))
    for bit in range(8 * len(record)):
        flipped = bytearray(record)
        flipped[bit // 8] ^= 1 << bit % 8
        session, other = connect(suite)
        with pytest.raises(TLSError) as error:
            session.receive(bytes(flipped), 0)
        expected = {"bad_record_mac"}
        if bit < 8:  # content type
            expected = {"bad_record_mac", "unexpected_message"}
        elif 24 <= bit < 40:  # length
            expected = {"decode_error", "record_overflow"}
        assert error.value.name in expected, f"bit {bit}"
        assert session.receiving_sequence == 0
        with pytest.raises(TLSError, match="over"):
            session.receive(record, 0)
        assert other.open(session.seal_alert(error.value.alert))[0][0] == ALERT


def test_a_record_comes_once_and_in_order(suite: Suite) -> None:
    """Replayed, skipped or swapped records fail authentication (RFC 8446 5.3)."""
    for order in ([0, 0], [1], [0, 2]):
        session, peer = connect(suite)
        records = [peer.sending.seal(octets(f"{number}", 20)) for number in range(3)]
        for number in order[:-1]:
            assert session.receive(records[number], 0) == octets(f"{number}", 20)
        with pytest.raises(TLSError) as error:
            session.receive(records[order[-1]], 0)
        assert error.value.name == "bad_record_mac"


def test_what_is_just_within_the_bounds(suite: Suite) -> None:
    session, peer = connect(suite)
    for _ in range(3):
        for _ in range(32):
            assert session.receive(peer.sending.seal(b""), 0) == b""
        for _ in range(4):
            assert session.receive(peer.alert(1, 90), 0) == b""
        assert session.receive(peer.sending.seal(bytes(16_384)), 0) == bytes(16_384)


def test_largest_inner_plaintext() -> None:
    """2^14 of content and padding beside the type octet: RFC 8446 5.2."""
    session, peer = connect(AES_1_3)
    assert session.receive(peer.sending.seal(b"x", padding=16_383), 0) == b"x"
    assert session.receive(peer.sending.seal(b"", padding=16_384), 0) == b""


@pytest.mark.parametrize(
    ("version", "level", "description", "ends"),
    [
        # TLS 1.3: whatever the level says, all but close_notify and user_canceled is an error (RFC 8446 6).
        (TLS_1_3, 1, 90, False),
        (TLS_1_3, 2, 90, False),
        (TLS_1_3, 1, 100, True),
        (TLS_1_3, 1, 42, True),
        (TLS_1_3, 1, 200, True),
        (TLS_1_3, 2, 48, True),
        # TLS 1.2: the level decides (RFC 5246 7.2).
        (TLS_1_2, 1, 90, False),
        (TLS_1_2, 1, 112, False),
        (TLS_1_2, 1, 200, False),
        (TLS_1_2, 2, 90, True),
        (TLS_1_2, 2, 40, True),
    ],
)
def test_alerts_of_the_peer(version: int, level: int, description: int, ends: bool) -> None:
    session, peer = connect(AES_1_3 if version == TLS_1_3 else AES_1_2)
    record = peer.alert(level, description)
    if not ends:
        assert session.receive(record, 0) == b""
        assert session.alert_received == description
        assert peer.data(session.seal(b"media", 0)) == b"media"
        return
    with pytest.raises(TLSError) as error:
        session.receive(record, 0)
    assert (session.alert_received, error.value.alert) == (description, 0)
    # A fatal alert is not answered (RFC 8446 6.2).
    with pytest.raises(TLSError, match="over"):
        session.seal_alert(0)


@pytest.mark.parametrize("pieces", [1, 2, 5, 68])
def test_renegotiation_is_refused_with_a_warning(pieces: int) -> None:
    """RFC 5246 7.2.2; the ClientHello may be split over records. The connection goes on."""
    session, peer = connect(AES_1_2)
    hello = handshake(CLIENT_HELLO, octets("hello", 64))
    for count in range(1, 4):
        size = -(-len(hello) // pieces)
        for start in range(0, len(hello), size):
            assert session.receive(peer.sending.seal(hello[start : start + size], HANDSHAKE), 0) == b""
        assert session.answer_due
        assert peer.open(session.seal(b"media" if count == 2 else b"", 0)) == [
            (ALERT, b"\x01\x64"),
            *([(APPLICATION_DATA, b"media")] if count == 2 else []),
        ]
        assert not session.answer_due
        assert session.receive(peer.sending.seal(b"GET_PARAMETER"), 0) == b"GET_PARAMETER"
