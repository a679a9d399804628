"""Making a session; application data and close_notify both ways (RFC 8446 5-6)."""

from typing import Any

import pytest
from camfleet.core.tls import Session, TLSError
from camfleet.core.tls.session import alert_name, record_size

from tests.kit.tls import connect, octets, split
from tests.reference.tls_record import APPLICATION_DATA, SUITES, TLS_1_2, TLS_1_3, Direction, Suite


@pytest.mark.parametrize(
    ("size", "records"), [(0, 0), (1, 1), (16_384, 1), (16_385, 2), (17_000, 2), (32_768, 2), (100_000, 7)]
)
def test_seal_cuts_at_16_kib(suite: Suite, size: int, records: int) -> None:
    session, peer = connect(suite)
    data = octets("frame", size)
    opened = peer.open(session.seal(data, 0))
    assert [len(content) for _, content in opened[:-1]] == [16_384] * max(records - 1, 0)
    assert len(opened) == records == session.sending_sequence
    assert all(content_type == APPLICATION_DATA for content_type, _ in opened)
    assert b"".join(content for _, content in opened) == data


@pytest.mark.parametrize("size", [1, 15, 16, 17, 50, 16_384])
def test_receive(suite: Suite, size: int) -> None:
    session, peer = connect(suite)
    for number in range(3):
        data = octets(f"request {number}", size)
        assert session.receive(peer.sending.seal(data), 0) == data
        assert session.receiving_sequence == number + 1


@pytest.mark.parametrize("padding", [1, 255, 16_384 - 10])
def test_padding_is_taken_off(padding: int) -> None:
    """RFC 8446 5.4."""
    session, peer = connect(SUITES[0])
    assert session.receive(peer.sending.seal(b"OPTIONS\0\0\0", padding=padding), 0) == b"OPTIONS\0\0\0"


def test_sequences_go_on_where_the_handshake_stopped(suite: Suite) -> None:
    session, peer = connect(suite, sending_sequence=2, receiving_sequence=2**23)
    assert peer.data(session.seal(b"answer", 0)) == b"answer"
    assert session.receive(peer.sending.seal(b"request"), 0) == b"request"
    assert (session.sending_sequence, session.receiving_sequence) == (3, 2**23 + 1)


def test_explicit_nonces_go_on_where_the_handshake_stopped() -> None:
    """RFC 5288 3: OpenSSL starts at a random number; a nonce of ours must never be one that it has used."""
    suite = next(suite for suite in SUITES if suite.iv_size == 4)
    key, iv = octets("key", suite.key_size), octets("salt", 4) + (2**64 - 2).to_bytes(8)
    session = Session.from_secrets(
        version=suite.version,
        suite=suite.number,
        sending_secret=key,
        receiving_secret=key,
        sending_iv=iv,
        receiving_iv=iv[:4],
        sending_sequence=1,
    )
    records = [session.seal(data, 0) for data in (b"first", b"second")]
    assert [record[5:13] for record in records] == [b"\xff" * 8, bytes(8)]
    peer = Direction(suite, key, iv, sequence=1)
    assert [peer.open(record)[1] for record in records] == [b"first", b"second"]


def test_received_nonce_is_the_peers_choice() -> None:
    """RFC 5288 3: nonce_explicit comes with the record; OpenSSL's is not the sequence number."""
    suite = next(suite for suite in SUITES if suite.iv_size == 4)
    session, peer = connect(suite)
    peer.sending.iv = peer.sending.iv[:4] + octets("explicit nonce of OpenSSL", 8)
    assert session.receive(peer.sending.seal(b"PLAY"), 0) == b"PLAY"


def test_close_notify_ends_only_one_direction(suite: Suite) -> None:
    """RFC 8446 6.1: what follows a close_notify is ignored, and we may still send."""
    session, peer = connect(suite)
    assert session.receive(peer.alert(1, 0), 0) is None
    assert session.alert_received == 0
    assert session.receive(peer.sending.seal(b"late"), 0) is None
    assert peer.data(session.seal(b"last words", 0)) == b"last words"
    assert peer.open(session.seal_alert(0)) == [(21, b"\x01\x00")]


@pytest.mark.parametrize("description", [0, 80])
def test_nothing_leaves_after_the_last_word(suite: Suite, description: int) -> None:
    session, peer = connect(suite)
    level = 1 if description == 0 else 2
    assert peer.open(session.seal_alert(description)) == [(21, bytes([level, description]))]
    with pytest.raises(TLSError, match="over"):
        session.seal(b"more", 0)
    with pytest.raises(TLSError, match="over"):
        session.seal(b"", 0)
    with pytest.raises(TLSError, match="over"):
        session.seal_alert(0)
    assert session.receive(peer.sending.seal(b"still heard"), 0) == b"still heard"


def test_wiped_session_is_over(suite: Suite) -> None:
    session, peer = connect(suite)
    session.wipe()
    session.wipe()
    with pytest.raises(TLSError, match="over"):
        session.seal(b"data", 0)
    with pytest.raises(TLSError, match="over"):
        session.seal_alert(0)
    with pytest.raises(TLSError, match="over"):
        session.receive(peer.sending.seal(b"data"), 0)
    with pytest.raises(TLSError, match="over"):
        session.export(0)


GOOD: dict[str, Any] = {"version": TLS_1_3, "suite": 0x1301, "sending_secret": bytes(32), "receiving_secret": bytes(32)}
GOOD_1_2: dict[str, Any] = {
    "version": TLS_1_2,
    "suite": 0xC02B,
    "sending_secret": bytes(16),
    "receiving_secret": bytes(16),
    "sending_iv": bytes(4),
    "receiving_iv": bytes(4),
}


@pytest.mark.parametrize(
    "arguments",
    [
        GOOD | {"version": 0x0301},
        GOOD | {"version": 0x0305},
        GOOD | {"version": TLS_1_2},
        GOOD | {"suite": 0x1304},  # TLS_AES_128_CCM_SHA256
        GOOD | {"suite": 0xC02B},
        GOOD | {"suite": 0x1302},  # has secrets of 48 bytes
        GOOD | {"sending_secret": bytes(31)},
        GOOD | {"receiving_secret": bytes(48)},
        GOOD | {"sending_iv": bytes(12)},
        GOOD_1_2 | {"suite": 0x1301},
        GOOD_1_2 | {"suite": 0x009C},  # TLS_RSA_WITH_AES_128_GCM_SHA256
        GOOD_1_2 | {"suite": 0xC02C},  # has keys of 32 bytes
        GOOD_1_2 | {"sending_iv": b""},
        GOOD_1_2 | {"sending_iv": bytes(8)},
        GOOD_1_2 | {"receiving_iv": bytes(3)},
        GOOD_1_2 | {"suite": 0xCCA9, "sending_secret": bytes(32), "receiving_secret": bytes(32)},  # has IVs of 12
    ],
)
def test_what_does_not_belong_together_is_refused(arguments: dict[str, Any]) -> None:
    Session.from_secrets(**GOOD)
    Session.from_secrets(**GOOD_1_2)
    with pytest.raises(ValueError, match="suite"):
        Session.from_secrets(**arguments)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 0),
        (b"\x17\x03\x03\x00", 0),
        (b"\x17\x03\x03\x00\x00", 5),
        (b"\x15\x03\x03\x00\x1a", 31),
        (b"\x17\x03\x01\x00\x11", 22),  # legacy_record_version is ignored (RFC 8446 5.1)
        (b"\x17\x03\x03\x41\x00" + b"more", 16_645),
    ],
)
def test_record_size(data: bytes, size: int) -> None:
    assert record_size(data) == size


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x17\x03\x03\x41\x01", "record_overflow"),
        (b"\x17\x03\x03\xff\xff", "record_overflow"),
        (b"\x13\x03\x03\x00\x20", "unexpected_message"),
        (b"\x18\x03\x03\x00\x20", "unexpected_message"),  # heartbeat
        (b"OPTIONS rtsp://", "unexpected_message"),
    ],
)
def test_not_a_record(data: bytes, name: str) -> None:
    """The same bytes given to a session end it with the same alert."""
    session, _ = connect(SUITES[0])
    for judge in (lambda: record_size(data), lambda: session.receive(data, 0)):
        with pytest.raises(TLSError) as error:
            judge()
        assert (error.value.name, alert_name(error.value.alert)) == (name, name)


def test_alert_names() -> None:
    assert alert_name(0) == "close_notify"
    assert alert_name(20) == "bad_record_mac"
    assert alert_name(200) == "alert_200"


def test_split_is_strict() -> None:
    with pytest.raises(AssertionError, match="partial"):
        split(b"\x17\x03\x03\x00\x20")
