"""KeyUpdate both ways and the limits of a key (RFC 8446 4.6.3, 5.5, 7.2)."""

import itertools
from collections.abc import Callable

import pytest
from camfleet.core.tls import Session, TLSError

from tests.kit.tls import SECOND_NS, Peer, connect, key_update, octets
from tests.reference.tls_record import ALERT, APPLICATION_DATA, HANDSHAKE, SUITES, TLS_1_3, Suite

SUITES_1_3 = [suite for suite in SUITES if suite.version == TLS_1_3]
AES = SUITES[0]
NOT_REQUESTED, REQUESTED = (HANDSHAKE, key_update(0)), (HANDSHAKE, key_update(1))
MEDIA = (APPLICATION_DATA, b"media")


@pytest.mark.parametrize("suite", SUITES_1_3, ids=lambda suite: f"{suite.number:04X}")
def test_many_keys(suite: Suite) -> None:
    """Each suite, each direction, several keys deep, data under every key."""
    session, peer = connect(suite)
    for number in range(5):
        assert session.receive(peer.update(number % 2), number * SECOND_NS) == b""
        assert session.receive(peer.sending.seal(octets(f"{number}", 300)), 0) == octets(f"{number}", 300)
        opened = peer.open(session.seal(b"media", 0))
        assert opened == ([NOT_REQUESTED, MEDIA] if number % 2 else [MEDIA])


@pytest.mark.parametrize("requests", [1, 2, 8])
def test_requests_are_answered_once(requests: int) -> None:
    """However often it is asked for, one KeyUpdate leaves, before the next data: RFC 8446 4.6.3."""
    session, peer = connect(AES)
    for _ in range(requests):
        session.receive(peer.update(1), 0)
        assert session.answer_due
    assert peer.open(session.seal(b"media", 0)) == [NOT_REQUESTED, MEDIA]
    assert not session.answer_due
    assert peer.open(session.seal(b"media", 0)) == [MEDIA]


def test_answer_does_not_wait_for_data() -> None:
    session, peer = connect(AES)
    session.receive(peer.update(1), 0)
    assert peer.open(session.seal(b"", 0)) == [NOT_REQUESTED]
    assert session.seal(b"", 0) == b""


def test_no_request_no_answer() -> None:
    session, peer = connect(AES)
    session.receive(peer.update(0), 0)
    assert not session.answer_due
    assert session.seal(b"", 0) == b""


def test_answer_is_not_spaced() -> None:
    """The RFC leaves no choice: before the next data. The flood limit is what bounds a peer that asks too often."""
    session, peer = connect(AES)
    for second in range(5):
        session.receive(peer.update(1), second * SECOND_NS)
        assert peer.open(session.seal(b"media", second * SECOND_NS)) == [NOT_REQUESTED, MEDIA]


@pytest.mark.parametrize("cuts", [(1,), (2,), (3,), (4,), (1, 2, 3, 4)])
def test_split_over_records(cuts: tuple[int, ...]) -> None:
    session, peer = connect(AES)
    for _ in range(2):
        for start, end in itertools.pairwise((0, *cuts, 5)):
            assert session.receive(peer.sending.seal(key_update(1)[start:end], HANDSHAKE), 0) == b""
        peer.sending.update()
        assert session.receive(peer.sending.seal(b"data"), 0) == b"data"
        assert peer.open(session.seal(b"", 0)) == [NOT_REQUESTED]


def test_records_soft() -> None:
    session, peer = connect(AES)
    session.set_policy(records_soft=4, spacing_s=0)
    for _ in range(3):
        for _ in range(4):
            assert peer.open(session.seal(b"media", 0)) == [MEDIA]
        assert peer.open(session.seal(b"", 0)) == [NOT_REQUESTED]
        assert session.seal(b"", 0) == b""


def test_records_soft_is_seen_between_frames() -> None:
    """A frame is not cut by a KeyUpdate: 4 records go over the 3, and the next frame begins with ours."""
    session, peer = connect(AES)
    session.set_policy(records_soft=3, spacing_s=0)
    assert len(peer.open(session.seal(bytes(4 * 16_384), 0))) == session.sending_sequence == 4
    assert peer.open(session.seal(b"media", 0)) == [NOT_REQUESTED, MEDIA]


def test_period_and_spacing() -> None:
    session, peer = connect(AES)
    session.set_policy(period_s=60, spacing_s=10)
    assert session.seal(b"", 60 * SECOND_NS - 1) == b""
    assert peer.open(session.seal(b"", 60 * SECOND_NS)) == [NOT_REQUESTED]
    session.set_policy(period_s=5)
    assert session.seal(b"", 70 * SECOND_NS - 1) == b""
    assert peer.open(session.seal(b"", 70 * SECOND_NS)) == [NOT_REQUESTED]


def test_answer_begins_a_new_spacing() -> None:
    session, peer = connect(AES)
    session.set_policy(period_s=10)
    session.receive(peer.update(1), 9 * SECOND_NS)
    assert peer.open(session.seal(b"", 9 * SECOND_NS)) == [NOT_REQUESTED]
    assert session.seal(b"", 19 * SECOND_NS - 1) == b""
    assert peer.open(session.seal(b"", 19 * SECOND_NS)) == [NOT_REQUESTED]


def test_default_policy() -> None:
    """2^22 records or 6 h, at most one per 10 s; 2^24 records at most."""
    session, peer = connect(AES, sending_sequence=2**22 - 1)
    assert peer.open(session.seal(b"media", 10 * SECOND_NS)) == [MEDIA]
    assert session.seal(b"", 10 * SECOND_NS - 1) == b""
    assert peer.open(session.seal(b"", 10 * SECOND_NS)) == [NOT_REQUESTED]
    six_hours = (10 + 6 * 3600) * SECOND_NS
    assert session.seal(b"", six_hours - 1) == b""
    assert peer.open(session.seal(b"", six_hours)) == [NOT_REQUESTED]
    session, peer = connect(AES, sending_sequence=2**24 - 1)
    assert peer.open(session.seal(b"media", 0)) == [MEDIA]
    with pytest.raises(TLSError, match="limit"):
        session.seal(b"media", 0)


def test_worn_key_of_the_peer_is_asked_for() -> None:
    """The peer's direction wears too; OpenSSL never updates on its own."""
    session, peer = connect(AES)
    session.set_policy(records_soft=2, records_hard=6, spacing_s=10)
    for _ in range(2):
        session.receive(peer.sending.seal(b"data"), 0)
    assert session.seal(b"", 10 * SECOND_NS) == b"", "asked before it must be"
    session.receive(peer.sending.seal(b"data"), 0)
    assert session.seal(b"", 0) == b""
    assert peer.open(session.seal(b"media", 10 * SECOND_NS)) == [REQUESTED, MEDIA]
    assert session.seal(b"", 20 * SECOND_NS - 1) == b""
    assert peer.open(session.seal(b"", 20 * SECOND_NS)) == [REQUESTED]
    session.receive(peer.update(0), 20 * SECOND_NS)
    assert session.receiving_sequence == 0
    assert session.seal(b"", 40 * SECOND_NS) == b""


def test_answer_asks_for_nothing() -> None:
    """Two sides that answer requests with requests would never stop."""
    session, peer = connect(AES)
    session.set_policy(records_soft=1, spacing_s=0)
    session.receive(peer.update(1), 0)
    session.receive(peer.sending.seal(b"data"), 0)
    session.receive(peer.sending.seal(b"data"), 0)
    assert peer.open(session.seal(b"", 0)) == [NOT_REQUESTED]


# Every order of the same events: the peer asks, the peer updates unasked, ours is due, data both ways.
def peer_asks(session: Session, peer: Peer) -> None:
    assert session.receive(peer.update(1), 0) == b""


def peer_updates(session: Session, peer: Peer) -> None:
    assert session.receive(peer.update(0), 0) == b""


def ours_is_due(session: Session, peer: Peer) -> None:
    session.set_policy(period_s=0, spacing_s=0)
    assert peer.open(session.seal(b"", 0)) == [NOT_REQUESTED]
    session.set_policy(period_s=3600, spacing_s=10)


def peer_sends(session: Session, peer: Peer) -> None:
    assert session.receive(peer.sending.seal(b"request"), 0) == b"request"


def we_send(session: Session, peer: Peer) -> None:
    due = session.answer_due
    assert peer.open(session.seal(b"media", 0)) == ([NOT_REQUESTED, MEDIA] if due else [MEDIA])
    assert not session.answer_due


Step = Callable[[Session, Peer], None]


@pytest.mark.parametrize(
    "steps",
    list(itertools.permutations([peer_asks, peer_updates, ours_is_due, peer_sends, we_send])),
    ids=lambda steps: "-".join(step.__name__ for step in steps),
)
def test_every_order(steps: tuple[Step, ...]) -> None:
    session, peer = connect(AES)
    for step in (*steps, peer_sends, we_send):
        step(session, peer)


def test_crossing_requests_settle() -> None:
    """Both ask at the same time: one KeyUpdate each answers both, as ours went out after the peer's last data."""
    session, peer = connect(AES)
    session.set_policy(records_hard=2, spacing_s=0)
    session.receive(peer.sending.seal(b"data"), 0)
    ours = session.seal(b"", 0)
    assert session.receive(peer.update(1), 0) == b""
    assert peer.open(ours) == [REQUESTED]
    assert peer.open(session.seal(b"", 0)) == [NOT_REQUESTED]
    assert session.receive(peer.update(0), 0) == b""
    assert session.seal(b"", 0) == b""


def test_flood_window() -> None:
    """8 per second are borne for ever, 9 are not."""
    session, peer = connect(AES)
    now_ns = 0
    for _ in range(5):
        now_ns += SECOND_NS + 1
        for _ in range(8):
            assert session.receive(peer.update(1), now_ns) == b""
    with pytest.raises(TLSError) as error:
        session.receive(peer.update(1), now_ns + SECOND_NS)
    assert error.value.name == "unexpected_message"


def test_hard_limit_without_key_update(suite: Suite) -> None:
    """Spacing forbids a KeyUpdate (TLS 1.2 has none): at the hard limit the session ends with a close_notify."""
    session, peer = connect(suite)
    session.set_policy(records_soft=2, records_hard=3, spacing_s=3600)
    for _ in range(3):
        assert peer.open(session.seal(b"media", 0)) == [MEDIA]
    with pytest.raises(TLSError, match="limit") as error:
        session.seal(b"media", 0)
    assert (error.value.alert, error.value.name) == (0, "close_notify")
    assert peer.open(session.seal_alert(0)) == [(ALERT, b"\x01\x00")]


def test_hard_limit_is_seen_before_the_first_record(suite: Suite) -> None:
    session, peer = connect(suite)
    session.set_policy(records_hard=3)
    peer.open(session.seal(b"media", 0))
    with pytest.raises(TLSError, match="limit"):
        session.seal(bytes(2 * 16_384 + 1), 0)
    assert session.sending_sequence == 1


def test_next_key_must_suffice_too() -> None:
    session, peer = connect(AES)
    session.set_policy(records_hard=3)
    session.receive(peer.update(1), 0)
    with pytest.raises(TLSError, match="limit"):
        session.seal(bytes(4 * 16_384), 0)
    assert session.sending_sequence == 0


def test_key_update_at_the_hard_limit_comes_too_late() -> None:
    session, peer = connect(AES)
    session.set_policy(records_hard=3)
    for _ in range(3):
        peer.open(session.seal(b"media", 0))
    session.receive(peer.update(1), 0)
    with pytest.raises(TLSError, match="limit"):
        session.seal(b"", 0)


def test_key_update_just_before_the_hard_limit() -> None:
    session, peer = connect(AES)
    session.set_policy(records_hard=3)
    for _ in range(2):
        peer.open(session.seal(b"media", 0))
    session.receive(peer.update(1), 0)
    assert len(peer.open(session.seal(bytes(3 * 16_384), 0))) == 4
    assert session.sending_sequence == 3


def test_hard_limit_of_the_peers_key(suite: Suite) -> None:
    session, peer = connect(suite)
    session.set_policy(records_hard=3)
    for _ in range(3):
        assert session.receive(peer.sending.seal(b"data"), 0) == b"data"
    with pytest.raises(TLSError, match="limit") as error:
        session.receive(peer.sending.seal(b"data"), 0)
    assert error.value.alert == 0


def test_sequence_number_never_wraps(suite: Suite) -> None:
    """RFC 8446 5.3: even with no other limit."""
    last = 2**64 - 1
    session, peer = connect(suite, sending_sequence=last - 1, receiving_sequence=last - 1)
    session.set_policy(records_soft=last, records_hard=last)
    assert peer.data(session.seal(b"media", 0)) == b"media"
    assert session.receive(peer.sending.seal(b"data"), 0) == b"data"
    record = peer.sending.seal(b"data")
    with pytest.raises(TLSError):
        session.receive(record, 0)
    session, _ = connect(suite, sending_sequence=last)
    session.set_policy(records_soft=last, records_hard=last)
    with pytest.raises(TLSError):
        session.seal(b"media", 0)
    assert session.sending_sequence == last
