"""One table, fed whole, byte by byte and in random chunks, with bytes behind it left untouched."""

import random
from collections.abc import Iterator

import pytest
from camfleet.core.rtsp.errors import RemoteProtocolError
from camfleet.core.rtsp.message import Headers, InterleavedFrame, Request
from camfleet.core.rtsp.reader import (
    MAX_BODY_SIZE,
    MAX_EMPTY_LINES,
    MAX_FIELDS,
    MAX_HEAD_SIZE,
    MAX_STRAY_SIZE,
    MAX_URL_SIZE,
    Reader,
    _parse_cseq,
)

CSEQ = ("CSeq", "1")
OPTIONS = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
PARSED = Request("OPTIONS", "*", "1", Headers([CSEQ]))
GET = b"GET_PARAMETER rtsp://h/a RTSP/1.0\r\nCSeq: 2\r\nContent-Length: 5\r\n\r\nabc\r\n"
GOT = Request("GET_PARAMETER", "rtsp://h/a", "2", Headers([("CSeq", "2"), ("Content-Length", "5")]), b"abc\r\n")

# name, bytes, messages
GOOD = [
    ("one", OPTIONS, [PARSED]),
    ("body", GET, [GOT]),
    ("pipelined", OPTIONS + GET + OPTIONS, [PARSED, GOT, PARSED]),
    ("bare LF", OPTIONS.replace(b"\r\n", b"\n"), [PARSED]),
    ("LF after CRLF", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\n\r\n", [PARSED]),
    ("CRLF after LF", b"OPTIONS * RTSP/1.0\nCSeq: 1\r\n\n", [PARSED]),
    ("empty lines", b"\r\n\n" * (MAX_EMPTY_LINES // 2) + OPTIONS, [PARSED]),
    ("empty lines count from each message", (b"\r\n" * MAX_EMPTY_LINES + OPTIONS) * 3, [PARSED] * 3),
    ("leading blanks", b" \t " + OPTIONS, [PARSED]),
    ("blanks in the request line", b"OPTIONS   *   RTSP/1.0 \r\nCSeq:\t1 \r\n\r\n", [PARSED]),
    ("field name case", b"OPTIONS * RTSP/1.0\r\ncSEQ:1\r\n\r\n", [PARSED]),
    ("same CSeq twice", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nCSeq: 1\r\n\r\n",
     [Request("OPTIONS", "*", "1", Headers([CSEQ, CSEQ]))]),
    ("folded", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: a\r\n\t b\r\n\r\n",
     [Request("OPTIONS", "*", "1", Headers([CSEQ, ("X", "a b")]))]),
    ("8-bit value", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: caf\xe9\r\n\r\n",
     [Request("OPTIONS", "*", "1", Headers([CSEQ, ("X", "caf\xe9")]))]),
    ("no value", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX:\r\n\r\n",
     [Request("OPTIONS", "*", "1", Headers([CSEQ, ("X", "")]))]),
    ("frame", b"$\x01\x00\x03\r\n$", [InterleavedFrame(1, b"\r\n$")]),
    ("empty frame", b"$\xff\x00\x00", [InterleavedFrame(255, b"")]),
    ("largest frame", b"$\x00\xff\xff" + bytes(65535), [InterleavedFrame(0, bytes(65535))]),
    ("frame between requests", OPTIONS + b"$\x00\x00\x02\n\n" + OPTIONS,
     [PARSED, InterleavedFrame(0, b"\n\n"), PARSED]),
    ("stray RTCP rest", b"\x81\xc9\x00\x07abc\x00\x00xy\xff" + OPTIONS, [PARSED]),
    ("stray word before a frame", b"abc$\x00\x00\x01x" + OPTIONS, [InterleavedFrame(0, b"x"), PARSED]),
    ("stray CR", b"\r\r\r\n" + OPTIONS, [PARSED]),
    ("stray bytes count from each message", (b"\x80" * MAX_STRAY_SIZE + OPTIONS) * 2, [PARSED] * 2),
    ("longest URL", b"OPTIONS " + b"u" * MAX_URL_SIZE + b" RTSP/1.0\r\nCSeq: 1\r\n\r\n",
     [Request("OPTIONS", "u" * MAX_URL_SIZE, "1", Headers([CSEQ]))]),
    ("most fields", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n" + b"X: 1\r\n" * (MAX_FIELDS - 1) + b"\r\n",
     [Request("OPTIONS", "*", "1", Headers([CSEQ] + [("X", "1")] * (MAX_FIELDS - 1)))]),
    ("longest head", OPTIONS[:-2] + b"X: " + b"x" * (MAX_HEAD_SIZE - len(OPTIONS) - 5) + b"\r\n\r\n",
     [Request("OPTIONS", "*", "1", Headers([CSEQ, ("X", "x" * (MAX_HEAD_SIZE - len(OPTIONS) - 5))]))]),
    ("longest body",
     b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: %d\r\n\r\n" % MAX_BODY_SIZE + bytes(MAX_BODY_SIZE),
     [Request("OPTIONS", "*", "1", Headers([CSEQ, ("Content-Length", str(MAX_BODY_SIZE))]), bytes(MAX_BODY_SIZE))]),
]  # fmt: skip

LINE = b"OPTIONS * RTSP/1.0\r\n"
# name, bytes, status, framing lost, CSeq
BAD = [
    ("too many empty lines", b"\n" * (MAX_EMPTY_LINES + 1), 400, True, None),
    ("too many stray bytes", b"\x80" * (MAX_STRAY_SIZE + 1), 400, True, None),
    ("head without end", b"OPTIONS * RTSP/1.0\r\nX: " + b"x" * MAX_HEAD_SIZE, 400, True, None),
    ("head one byte too long",
     OPTIONS[:-2] + b"X: " + b"x" * (MAX_HEAD_SIZE - len(OPTIONS) - 4) + b"\r\n\r\n", 400, True, None),
    ("request line without end", b"OPTIONS " + b"x" * MAX_HEAD_SIZE, 414, True, None),
    ("method without end", b"x" * MAX_HEAD_SIZE, 400, True, None),
    ("URL too long", b"OPTIONS " + b"u" * (MAX_URL_SIZE + 1) + b" RTSP/1.0\r\nCSeq: 1\r\n\r\n", 414, False, "1"),
    ("no URL", b"OPTIONS RTSP/1.0\r\nCSeq: 1\r\n\r\n", 400, False, "1"),
    ("blank in the URL", b"OPTIONS rtsp://h/a b RTSP/1.0\r\nCSeq: 1\r\n\r\n", 400, False, "1"),
    ("8-bit in the URL", b"OPTIONS rtsp://h/\xe4 RTSP/1.0\r\nCSeq: 1\r\n\r\n", 400, False, "1"),
    ("control in the URL", b"OPTIONS rtsp://h/\x1b RTSP/1.0\r\nCSeq: 1\r\n\r\n", 400, False, "1"),
    ("no version", b"OPTIONS *\r\nCSeq: 1\r\n\r\n", 400, True, "1"),
    ("only a word", b"OPTIONS\r\nCSeq: 1\r\n\r\n", 400, True, "1"),
    ("RTSP/2.0", b"OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n", 505, False, "1"),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: h\r\nCSeq: 1\r\n\r\n", 505, True, "1"),
    ("a response", b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", 400, True, "1"),
    ("no CSeq", b"OPTIONS * RTSP/1.0\r\n\r\n", 400, False, None),
    ("two CSeq", LINE + b"CSeq: 1\r\nCSeq: 2\r\n\r\n", 400, False, None),
    ("no colon", LINE + b"CSeq: 1\r\nnonsense\r\n\r\n", 400, False, "1"),
    ("no name", LINE + b"CSeq: 1\r\n: x\r\n\r\n", 400, False, "1"),
    ("blank in a name", LINE + b"CSeq: 1\r\nA b: x\r\n\r\n", 400, False, "1"),
    ("fold without a field", LINE + b" x\r\nCSeq: 1\r\n\r\n", 400, False, "1"),
    ("NUL in a value", LINE + b"CSeq: 1\r\nX: \x00\r\n\r\n", 400, False, "1"),
    ("CR in a value", LINE + b"CSeq: 1\r\nX: a\rb\r\n\r\n", 400, False, "1"),
    ("8-bit name", LINE + b"CSeq: 1\r\n\xe4: x\r\n\r\n", 400, False, "1"),
    ("too many fields", LINE + b"CSeq: 1\r\n" + b"X: 1\r\n" * MAX_FIELDS + b"\r\n", 400, False, "1"),
    ("body too long", LINE + b"CSeq: 1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_SIZE + 1), 413, True, "1"),
    ("body length of 5000 digits", LINE + b"CSeq: 1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, True, "1"),
    ("chunked", LINE + b"CSeq: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, True, "1"),
    ("two body lengths", LINE + b"CSeq: 1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, True, "1"),
]  # fmt: skip


def chunkings(data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    if len(data) < 4096:
        yield [data[i : i + 1] for i in range(len(data))]
    for seed in range(8):
        chunks, position, dice = [], 0, random.Random(seed)
        while position < len(data):
            size = dice.choice((1, 2, 3, 7, 100, 5000))
            chunks.append(data[position : position + size])
            position += size
        yield chunks


def drain(reader: Reader) -> Iterator[Request | InterleavedFrame]:
    while (message := reader.next_message()) is not None:
        assert reader.next_message() == message  # until advance
        reader.advance()
        yield message


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
@pytest.mark.parametrize("behind", [b"", b"OPTI", b"$\x00\x00"], ids=["end", "half a request", "half a frame"])
def test_messages(data: bytes, expected: list[object], behind: bytes) -> None:
    for chunks in chunkings(data + behind):
        reader = Reader()
        messages: list[object] = []
        for chunk in chunks:
            reader.receive_data(chunk)
            messages += drain(reader)
        assert messages == expected
        assert reader.leftover == behind
        assert reader.consumed == len(data)


@pytest.mark.parametrize(
    ("data", "status", "framing_lost", "cseq"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_errors(data: bytes, status: int, framing_lost: bool, cseq: str | None) -> None:
    for chunks in chunkings(data):
        reader = Reader()
        raised = []
        for chunk in chunks:
            reader.receive_data(chunk)
            try:
                assert list(drain(reader)) == []
            except RemoteProtocolError as error:
                raised.append(error)
                break
        assert [(e.status, e.framing_lost, e.cseq) for e in raised] == [(status, framing_lost, cseq)]
        assert str(raised[0]).isprintable()
        reader.advance()
        assert len(reader) == 0


@pytest.mark.parametrize("data", [row[1] for row in BAD if not row[3]], ids=[row[0] for row in BAD if not row[3]])
def test_the_next_request_is_read_after_an_error_that_kept_the_framing(data: bytes) -> None:
    reader = Reader()
    reader.receive_data(data + OPTIONS)
    with pytest.raises(RemoteProtocolError):
        reader.next_message()
    reader.advance()
    assert list(drain(reader)) == [PARSED]


def test_a_bad_request_takes_its_body_along() -> None:
    reader = Reader()
    reader.receive_data(b"OPTIONS RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 7\r\n\r\nOPTIONS" + OPTIONS)
    with pytest.raises(RemoteProtocolError):
        reader.next_message()
    reader.advance()
    assert list(drain(reader)) == [PARSED]


@pytest.mark.parametrize(
    "cseq", ["", "-1", "1e9", "+1", "0x1", "1 2", "\u0661", "1" * 21], ids=lambda text: ascii(text)
)
def test_a_cseq_that_is_no_number_is_not_echoed(cseq: str) -> None:
    reader = Reader()
    reader.receive_data(f"OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\nX: y\r\n\r\n".encode())
    with pytest.raises(RemoteProtocolError) as raised:
        reader.next_message()
    assert (raised.value.status, raised.value.cseq) == (400, None)


@pytest.mark.parametrize("cseq", ["0", "2147483648", "18446744073709551616", "00012"])
def test_any_digits_are_a_cseq_and_kept_exactly(cseq: str) -> None:
    reader = Reader()
    reader.receive_data(request := f"OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n".encode())
    (message,) = drain(reader)
    assert isinstance(message, Request)
    assert message.cseq == cseq
    assert reader.consumed == len(request)


@pytest.mark.parametrize(
    "length", ["-1", "", "+5", "0x10", "1_0", "\u0661", "1 1", "1,1"], ids=lambda text: ascii(text)
)
def test_a_body_length_that_is_no_number_loses_the_framing(length: str) -> None:
    reader = Reader()
    reader.receive_data(f"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {length}\r\n\r\n".encode())
    with pytest.raises(RemoteProtocolError) as raised:
        reader.next_message()
    assert (raised.value.status, raised.value.framing_lost, raised.value.cseq) == (400, True, "1")


def test_a_slow_body_does_not_have_its_head_parsed_for_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = 0

    def counted(head: str) -> str | None:
        nonlocal parsed
        parsed += 1
        return _parse_cseq(head)

    monkeypatch.setattr("camfleet.core.rtsp.reader._parse_cseq", counted)
    reader = Reader()
    for byte in LINE + b"CSeq: 1\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
        assert reader.next_message() is None
        reader.receive_data(bytes([byte]))
    assert isinstance(reader.next_message(), Request)
    assert parsed == 2  # for its length, then whole
