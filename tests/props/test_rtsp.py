"""Chunking changes nothing; garbage raises nothing and holds no memory."""

from itertools import pairwise
from typing import Any

import pytest
from camfleet.core.rtsp import LoginFailed, OtherCamera
from camfleet.core.rtsp.connection import MAX_BUFFER_SIZE
from camfleet.core.rtsp.reader import MAX_BODY_SIZE, MAX_HEAD_SIZE
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kit.rtsp import (
    SDP,
    START_NS,
    TCP,
    URL,
    answer,
    authenticator,
    connection,
    digest,
    exchange,
    parse_replies,
    request,
)

NONCE = authenticator().challenges("192.0.2.99", START_NS, secure=False)[0].split('"')[3]
SESSION = "5e55101f" * 4

METHODS = ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER")
URLS = (URL, URL + "/", URL + "/trackID=0", URL + "?a=b/trackID=0", "*", "rtsp://h/ipc1", "rtsp://h/ipc1-stream9")
FIELDS = (
    f"Transport: {TCP}",
    f"Session: {SESSION}",
    "Session: wrong",
    "Range: npt=now-",
    "Range: npt=5-2",
    "Require: x",
    "Accept: text/html",
    "Scale: 2",
    "Authorization: Basic x",
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Mostly sensible, mostly with the right password."""
    method, url = draw(st.sampled_from(METHODS)), draw(st.sampled_from(URLS))
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique=True))
    password = draw(st.sampled_from(("secret", "secret", "secret", "wrong", None)))
    if password is not None:
        fields.insert(0, digest(method, url, NONCE, password=password))
    body = draw(st.sampled_from((b"", b"", b"position\r\n\r\n", b"$\x00\x00\x05")))
    return request(method, url, *fields, cseq=draw(st.integers(0, 99)), body=body)


FRAMES = st.builds(
    lambda channel, payload: b"$" + bytes([channel]) + len(payload).to_bytes(2, "big") + payload,
    st.integers(0, 255),
    st.binary(max_size=60),
)
STRAY = st.sampled_from((b"\r\n", b"\n", b"\x80\x81abc\x00", b" \t", b"\r", b"$", b"OPT", b"RTSP/1.0 200 OK\r\n\r\n"))
STREAMS = st.lists(st.one_of(requests(), requests(), FRAMES, STRAY), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 2**16), max_size=20)
SERVERS = st.fixed_dictionaries({"camera": st.sampled_from(("ipc1", "ipc1", None)), "secure": st.booleans()})


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


@pytest.fixture(autouse=True, scope="module")
def known_session_id() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secrets.token_hex", lambda _: SESSION)
        yield


@given(STREAMS, CUTS, SERVERS)
@example(b"\r\n\n", [1, 2], {"camera": "ipc1", "secure": False})
@settings(max_examples=300, deadline=None)
def test_chunking_changes_neither_events_nor_bytes(data: bytes, cuts: list[int], server: dict[str, Any]) -> None:
    whole, pieces = connection(**server), connection(**server)
    events, output = exchange(whole, [data])
    others, other_output = exchange(pieces, cut(data, cuts))

    assert len(others) == len(events)
    for ours, theirs in zip(events, others, strict=True):
        if isinstance(ours, OtherCamera) and isinstance(theirs, OtherCamera):  # less had come by then
            assert (theirs.camera, ours.received[: len(theirs.received)]) == (ours.camera, theirs.received)
        else:
            assert theirs == ours
    assert other_output == output
    assert pieces.should_close == whole.should_close
    if not whole.should_close:
        assert pieces.consumed == whole.consumed
        assert pieces.leftover == whole.leftover
        assert whole.consumed + len(whole.leftover) == len(data)


# Bytes that look like something: hypothesis alone would hardly get past the request line.
WORDS = (
    *(method.encode() for method in METHODS),
    b" ", b"\t", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"$", b":", b";", b",", b"=", b'"', b"\\", b"%", b"/", b"*",
    b"\x00", b"\xff",
    b" rtsp://h/ipc1-stream1/testlive RTSP/1.0\r\n", b" RTSP/1.0\r\n", b"RTSP/2.0", b"rtsp://", b"[::1", b"trackID=",
    b"CSeq: 1\r\n", b"CSeq:", b"Content-Length: 5\r\n", b"Content-Length: ", b"Transport: RTP/AVP/TCP;interleaved=",
    b"Session: ", b"Range: npt=", b"Range: clock=", b"Accept: ", b"Require: ", b"Authorization: Digest ",
    b"Authorization: Basic ", b"username=", b"nonce=", b"uri=", b"response=", b"qop=auth", b"nc=", b"999999999999",
    b"x" * 3000, b" " * 3000, b"\\" * 3000, b"a=b," * 1000, b"$\x00\xff\xff", b"\r\n" * 5,
)  # fmt: skip
GARBAGE = st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), st.binary(max_size=40)), max_size=60)


@given(st.lists(GARBAGE.map(b"".join), max_size=20), SERVERS)
@settings(max_examples=500, deadline=None)
def test_garbage_is_answered_or_closed_and_not_kept(chunks: list[bytes], server: dict[str, Any]) -> None:
    """Never an exception; replies are whole and printable (parse_replies asserts it); one message at most is held."""
    subject = connection(**server)
    for chunk in chunks:
        events, output = exchange(subject, [chunk])
        for reply in parse_replies(output):
            assert reply.status in (200, 400, 401, 403, 404, 405, 413, 414, 454, 455, 501, 505, 551)
        assert all(event.user.isprintable() for event in events if isinstance(event, LoginFailed))
        if subject.should_close:
            assert exchange(subject, [chunk, request("OPTIONS")]) == ([], b"")
            return
        assert len(subject.leftover) < max(MAX_HEAD_SIZE + MAX_BODY_SIZE, 4 + 65535)
    subject.handle_timeout(START_NS + 3600 * 10**9)
    assert subject.should_close


@given(st.lists(st.binary(min_size=1, max_size=5000), min_size=1, max_size=100))
@settings(max_examples=30, deadline=None)
def test_memory_is_bounded_while_an_answer_is_awaited(chunks: list[bytes]) -> None:
    subject = connection()
    subject.receive_data(request("DESCRIBE", URL, digest("DESCRIBE", URL, NONCE)), START_NS)
    event = subject.next_event(START_NS)
    assert event is not None
    for chunk in chunks * 10:
        subject.receive_data(chunk, START_NS)
        assert subject.next_event(START_NS) is None
        assert len(subject.leftover) < MAX_BUFFER_SIZE + 5000
    answer(subject, event)
    assert parse_replies(subject.data_to_send())[0].body == SDP.encode()
