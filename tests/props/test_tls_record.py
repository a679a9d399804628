"""core.tls and the plain record layer of tests/reference agree for any suite, size, sequence number and content."""

from ctypes import POINTER, byref, c_int, c_int64, c_size_t, c_uint8, c_uint16, c_uint64, c_void_p, string_at

import pytest
from camfleet.core.tls import Session, TLSError
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.capi import buffer, c_function
from tests.kit.tls import CLIENT_HELLO, SECOND_NS, Peer, connect, handshake, key_update
from tests.reference.tls_record import HANDSHAKE, SUITES, TLS_1_3, Direction, Suite

pytestmark = pytest.mark.usefixtures("both_gcm_libraries")

traffic_init = c_function(
    "camfleet.core.tls.traffic",
    "traffic_init",
    c_int,
    *(c_void_p, c_uint16, c_uint16, c_void_p, c_size_t, c_void_p, c_size_t, c_uint64, c_int),
)
traffic_update = c_function("camfleet.core.tls.traffic", "traffic_update", c_int, c_void_p)
traffic_wipe = c_function("camfleet.core.tls.traffic", "traffic_wipe", None, c_void_p)
seal_record = c_function(
    "camfleet.core.tls.record", "seal_record", c_int64, c_void_p, c_uint8, c_void_p, c_size_t, c_void_p, c_size_t
)
open_record = c_function(
    "camfleet.core.tls.record",
    "open_record",
    c_int64,
    c_void_p,
    c_void_p,
    c_size_t,
    POINTER(c_uint8),
    POINTER(c_void_p),
)

suites = st.sampled_from(SUITES)
sequences = st.one_of(st.integers(0, 2**64 - 3), st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 3]))
# Sizes around blocks and records; the bytes come from a seed, as drawing 16 KiB one by one is slow.
sizes = st.one_of(st.integers(0, 300), st.integers(16_300, 16_384), st.integers(0, 16_384))
content_types = st.sampled_from([20, 21, 22, 23, 24, 255])


def contents(size: int, seed: int) -> bytes:
    return (seed.to_bytes(7) * (size // 7 + 1))[:size]


@st.composite
def directions(draw: st.DrawFn) -> tuple[Suite, bytes, bytes, int]:
    """Suite, secret, IV, first sequence number."""
    suite = draw(suites)
    iv_size = suite.iv_size
    if iv_size == 4:
        iv_size = draw(st.sampled_from([4, 12]))
    secret = draw(st.binary(min_size=suite.secret_size, max_size=suite.secret_size))
    return suite, secret, draw(st.binary(min_size=iv_size, max_size=iv_size)), draw(sequences)


class Traffic:
    """A TrafficState; closed by `with`."""

    def __init__(self, suite: Suite, secret: bytes, iv: bytes, sequence: int, *, sealing: bool) -> None:
        self._state = bytearray(256)
        arguments = (suite.version, suite.number, secret, len(secret), iv, len(iv), sequence, sealing)
        assert traffic_init(buffer(self._state), *arguments) == 0

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *_: object) -> None:
        traffic_wipe(buffer(self._state))

    def update(self) -> None:
        assert traffic_update(buffer(self._state)) == 0

    def seal(self, content_type: int, content: bytes) -> bytes:
        out = bytearray(len(content) + 64)
        written = seal_record(buffer(self._state), content_type, content, len(content), buffer(out), len(out))
        assert written > 0
        return bytes(out[:written])

    def open(self, record: bytes) -> tuple[int, bytes]:
        place = bytearray(record)
        content_type, plaintext = c_uint8(), c_void_p()
        size = open_record(buffer(self._state), buffer(place), len(place), byref(content_type), byref(plaintext))
        assert size >= 0
        assert plaintext.value is not None
        return content_type.value, string_at(plaintext.value, size)


@given(directions(), st.lists(st.tuples(content_types, sizes, st.integers(0, 2**56 - 1)), min_size=1, max_size=2))
def test_seal(direction: tuple[Suite, bytes, bytes, int], records: list[tuple[int, int, int]]) -> None:
    suite, secret, iv, sequence = direction
    reference = Direction(suite, secret, iv + bytes(8) if len(iv) == 4 else iv, sequence)
    with Traffic(suite, secret, iv, sequence, sealing=True) as traffic:
        for content_type, size, seed in records:
            content = contents(size, seed)
            assert traffic.seal(content_type, content) == reference.seal(content, content_type)


@given(
    directions(),
    st.lists(
        st.tuples(content_types, sizes, st.integers(0, 2**56 - 1), st.integers(0, 16_384)), min_size=1, max_size=2
    ),
)
def test_open(direction: tuple[Suite, bytes, bytes, int], records: list[tuple[int, int, int, int]]) -> None:
    suite, secret, iv, sequence = direction
    reference = Direction(suite, secret, iv + bytes(8) if len(iv) == 4 else iv, sequence)
    with Traffic(suite, secret, iv, sequence, sealing=False) as traffic:
        for content_type, size, seed, padding in records:
            content = contents(size, seed)
            padding = min(padding, 16_384 - size)
            assert traffic.open(reference.seal(content, content_type, padding)) == (content_type, content)


@given(directions(), st.integers(1, 4))
def test_update(direction: tuple[Suite, bytes, bytes, int], updates: int) -> None:
    suite, secret, iv, sequence = direction
    if suite.version != TLS_1_3:
        return
    reference = Direction(suite, secret, iv, sequence)
    with Traffic(suite, secret, iv, sequence, sealing=True) as traffic:
        for _ in range(updates):
            reference.update()
            traffic.update()
            assert traffic.seal(23, b"media") == reference.seal(b"media")


@given(suites, st.integers(0, 2**22), st.integers(0, 60_000))
def test_session_seals_records_of_16_kib(suite: Suite, sequence: int, size: int) -> None:
    session, peer = connect(suite, sending_sequence=sequence)
    data = contents(size, size)
    expected = [peer.receiving.seal(data[start : start + 16_384]) for start in range(0, size, 16_384)]
    assert session.seal(data, 0) == b"".join(expected)


@given(suites, st.binary(max_size=400), st.integers(20, 23), st.booleans())
def test_forged_records_end_the_session(suite: Suite, body: bytes, content_type: int, whole: bool) -> None:
    """No input that the peer's key has not made is delivered, whatever it looks like."""
    session, peer = connect(suite)
    size = len(body) if whole else len(body) + 1
    with pytest.raises(TLSError):
        session.receive(bytes([content_type]) + b"\x03\x03" + size.to_bytes(2) + body, 0)
    with pytest.raises(TLSError, match="over"):
        session.receive(peer.sending.seal(b"data"), 0)


@given(suites, st.binary(min_size=1, max_size=200), st.data())
def test_changed_records_end_the_session(suite: Suite, content: bytes, data: st.DataObject) -> None:
    session, peer = connect(suite)
    record = bytearray(peer.sending.seal(content))
    place = data.draw(st.integers(0, len(record) - 1))
    record[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TLSError):
        session.receive(bytes(record), 0)


# One event of a connection: what the peer does, or "seal" with a size.
events = st.one_of(
    st.tuples(st.just("seal"), st.integers(0, 40_000)),
    st.tuples(st.just("data"), st.integers(0, 1000)),
    st.tuples(st.just("update"), st.integers(0, 1)),
    st.tuples(st.just("update in two"), st.integers(1, 4)),
    st.tuples(st.just("hello in two"), st.integers(1, 43)),
    st.tuples(st.just("warning"), st.just(90)),
)


@given(suites, st.lists(st.tuples(events, st.integers(0, 3)), max_size=12), st.sets(st.integers(0, 30)))
def test_moves_change_no_byte(suite: Suite, script: list[tuple[tuple[str, int], int]], moves: set[int]) -> None:
    """A session that moves at some steps and one that stays say and deliver the same; the peer understands both."""
    stays, peer = connect(suite)
    goes, other = connect(suite)
    delivered = b""
    step = now_ns = 0
    for session in (stays, goes):
        session.set_policy(records_soft=4, spacing_s=1)
    for (event, value), seconds in script:
        now_ns += seconds * SECOND_NS
        records = _records_of(peer, event, value)
        assert _records_of(other, event, value) == records
        for record in records or [b""]:
            if step in moves:
                goes = Session.from_export(goes.export(now_ns), now_ns)
            step += 1
            results = [_outcome(session, record, value, now_ns) for session in (stays, goes)]
            assert results[0] == results[1]
            if isinstance(results[0], str):
                return
            if record:
                delivered += results[0]
            else:
                assert peer.data(results[0]) == contents(value, 1)
    assert (stays.sending_sequence, stays.receiving_sequence) == (goes.sending_sequence, goes.receiving_sequence)
    assert len(delivered) == sum(value for (event, value), _ in script if event == "data")


def _outcome(session: Session, record: bytes, size: int, now_ns: int) -> bytes | str:
    """Bytes sealed or delivered, or why the session ended."""
    try:
        received = session.receive(record, now_ns) if record else session.seal(contents(size, 1), now_ns)
    except TLSError as error:
        return error.name
    assert received is not None
    return received


def _records_of(peer: Peer, event: str, value: int) -> list[bytes]:
    """What the peer sends at this event; nothing for "seal"."""
    is_1_3 = peer.sending.suite.version == TLS_1_3
    if event == "data":
        return [peer.sending.seal(contents(value, 2))]
    if event == "warning":
        return [peer.alert(1, value)]
    if event == "update" and is_1_3:
        return [peer.update(value)]
    if event == "update in two" and is_1_3:
        message = key_update(1)
        records = [peer.sending.seal(part, HANDSHAKE) for part in (message[:value], message[value:])]
        peer.sending.update()
        return records
    if event == "hello in two" and not is_1_3:
        message = handshake(CLIENT_HELLO, bytes(40))
        return [peer.sending.seal(part, HANDSHAKE) for part in (message[:value], message[value:])]
    return []
