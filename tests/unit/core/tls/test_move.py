"""Export and import: a moved session goes on as if it had not moved (design section 3, point 10)."""

import pytest
from camfleet.core.tls import Session, TLSError

from tests.kit.tls import CLIENT_HELLO, SECOND_NS, connect, handshake, key_update, octets
from tests.reference.tls_record import ALERT, HANDSHAKE, SUITES, TLS_1_3, Suite

AES_1_3, AES_1_2 = SUITES[0], SUITES[3]
EXPORT_MAX = 300  # what core.wire.handoff counts on


def move(session: Session, now_ns: int = 0, clock_ns: int = 0) -> Session:
    """The session after a move to a process whose clock is ahead by `clock_ns`."""
    return Session.from_export(session.export(now_ns), now_ns + clock_ns)


def test_export_ends_the_original(suite: Suite) -> None:
    """One writer per connection: a second one would use a nonce twice."""
    session, peer = connect(suite)
    exported = session.export(0)
    assert len(exported) <= EXPORT_MAX
    with pytest.raises(TLSError, match="over"):
        session.seal(b"media", 0)
    with pytest.raises(TLSError, match="over"):
        session.seal_alert(0)
    with pytest.raises(TLSError, match="over"):
        session.export(0)
    assert peer.data(Session.from_export(exported, 0).seal(b"media", 0)) == b"media"


def test_same_bytes_with_and_without_moves(suite: Suite) -> None:
    """The same script on a session that stays and on one that moves before every step."""

    def script(moves: bool) -> list[bytes]:
        session, peer = connect(suite, sending_sequence=2, receiving_sequence=1)
        session.set_policy(records_soft=6, spacing_s=3)
        out = []
        for second in range(12):
            now_ns = second * SECOND_NS
            steps = [peer.sending.seal(octets(f"{second}", 100))]
            if second % 3 == 0 and suite.version == TLS_1_3:
                steps += [peer.sending.seal(part, HANDSHAKE) for part in (key_update(1)[:2], key_update(1)[2:])]
                peer.sending.update()
            if second in (4, 8) and suite.version != TLS_1_3:
                hello = handshake(CLIENT_HELLO, bytes(40))
                steps += [peer.sending.seal(part, HANDSHAKE) for part in (hello[:3], hello[3:9], hello[9:])]
            for record in steps:
                if moves:
                    session = move(session, now_ns)
                session.receive(record, now_ns)
            if moves:
                session = move(session, now_ns)
            out.append(session.seal(octets("frame", 20_000), now_ns))
        assert session.receive(peer.alert(1, 0), 0) is None
        if moves:
            session = move(session)
        assert session.receive(b"ignored now", 0) is None
        out.append(session.seal_alert(0))
        return out

    assert script(moves=True) == script(moves=False)


@pytest.mark.parametrize("clock_ns", [0, 10**15, -(10**15)])
def test_ages_move_and_clocks_do_not(clock_ns: int) -> None:
    session, peer = connect(AES_1_3)
    session.set_policy(period_s=60)
    session = move(session, 50 * SECOND_NS, clock_ns)
    assert session.seal(b"", 60 * SECOND_NS - 1 + clock_ns) == b""
    assert peer.open(session.seal(b"", 60 * SECOND_NS + clock_ns)) == [(HANDSHAKE, key_update(0))]


def test_flood_counts_on() -> None:
    session, peer = connect(AES_1_3)
    for number in range(8):
        session.receive(peer.update(0), number)
        session = move(session, number)
    with pytest.raises(TLSError) as error:
        session.receive(peer.update(0), 8)
    assert error.value.name == "unexpected_message"


@pytest.mark.parametrize(
    ("bound", "content_type", "content"),
    [(32, 23, b""), (4, ALERT, b"\x01\x5a"), (3, HANDSHAKE, handshake(CLIENT_HELLO, bytes(8)))],
    ids=["empty records", "warnings", "renegotiations"],
)
def test_patience_does_not_grow_by_moving(bound: int, content_type: int, content: bytes) -> None:
    session, peer = connect(AES_1_2)
    for _ in range(bound):
        assert session.receive(peer.sending.seal(content, content_type), 0) == b""
        session = move(session)
    with pytest.raises(TLSError) as error:
        session.receive(peer.sending.seal(content, content_type), 0)
    assert error.value.name == "unexpected_message"


def test_explicit_nonce_moves() -> None:
    key, iv = octets("key", 16), octets("salt and nonce of the Finished", 12)
    session = Session.from_secrets(
        version=AES_1_2.version,
        suite=AES_1_2.number,
        sending_secret=key,
        receiving_secret=key,
        sending_iv=iv,
        receiving_iv=iv[:4],
        sending_sequence=1,
    )
    first = session.seal(b"media", 0)
    second = move(session).seal(b"media", 0)
    assert int.from_bytes(second[5:13]) == int.from_bytes(first[5:13]) + 1 == int.from_bytes(iv[4:]) + 2


@pytest.mark.parametrize("end", ["forged record", "close_notify sent", "fatal alert received"])
def test_what_is_over_does_not_move(end: str) -> None:
    session, peer = connect(AES_1_3)
    if end == "close_notify sent":
        session.seal_alert(0)
    else:
        with pytest.raises(TLSError):
            session.receive(peer.alert(2, 40) if end == "fatal alert received" else b"\x17\x03\x03\0\0", 0)
    with pytest.raises(TLSError, match="over"):
        session.export(0)


def test_only_an_export_is_imported(suite: Suite) -> None:
    exported = connect(suite)[0].export(0)
    Session.from_export(exported)
    for data in (
        b"",
        exported[:-1],
        exported + b"\0",
        b"\0" + exported[1:],  # another layout
        exported[:1] + b"\x01\x03" + exported[3:],  # TLS 1.0
        exported[:3] + b"\x04\x13" + exported[5:],  # TLS_AES_128_CCM_SHA256
        exported[:53] + b"\xff" + exported[54:],  # the size of the secret
    ):
        with pytest.raises(ValueError, match="not a session"):
            Session.from_export(data)
