"""Bad inputs A (request line and framing), B (headers) and what of D and E needs no session, by row.

Each row is sent as the first thing on a connection, when the supervisor reads it, and on an adopted one.
"""

from typing import NamedTuple

import pytest

from tests.hostile.client import CLOSED, OPEN, URL, Client
from tests.hostile.conftest import Ward
from tests.kit.rtsp import request

OPTIONS = request("OPTIONS", "*")
NAMED = request("OPTIONS", URL)  # hands the connection over
LINE = b"OPTIONS * RTSP/1.0\r\n"
CONTROLS = [c for c in range(0x20) if c not in (0x09, 0x0A)] + [0x7F]


class Row(NamedTuple):
    """`pieces` are written one by one."""

    name: str
    pieces: tuple[bytes, ...]
    statuses: list[int]
    end: str = OPEN


def row(name: str, *pieces: bytes, says: list[int] | int, end: str = OPEN) -> Row:
    return Row(name, pieces, [says] if isinstance(says, int) else says, end)


def field(line: bytes) -> bytes:
    return LINE + b"CSeq: 1\r\n" + line + b"\r\n\r\n"


def cseq(value: bytes) -> bytes:
    return LINE + b"CSeq:" + value + b"\r\n\r\n"


def length(*values: bytes, body: bytes = b"") -> bytes:
    return LINE + b"CSeq: 1\r\n" + b"".join(b"Content-Length: %b\r\n" % n for n in values) + b"\r\n" + body


def version(value: bytes) -> bytes:
    return b"OPTIONS * %b\r\nCSeq: 1\r\n\r\n" % value


ROWS = [
    row("A1 8 empty lines", b"\r\n" * 8 + OPTIONS, says=200),
    row("A1 9 empty lines", b"\r\n" * 9 + OPTIONS, says=400, end=CLOSED),
    row("A2 leading blanks", b" \t \t" + OPTIONS, says=200),
    row("A5 method of 8 KB", request("M" * 8192), says=501),
    row("A6 unknown method", request("FROBNICATE"), says=501),
    row("A7 lower-case method", request("options"), says=501),
    row("A8 no URL", b"OPTIONS RTSP/1.0\r\nCSeq: 1\r\n\r\n", says=400),
    row("A8 no URL, no version", b"OPTIONS\r\nCSeq: 1\r\n\r\n", says=400, end=CLOSED),
    *(row(f"A8 {m} *", request(m, "*"), says=401)
      for m in ("DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER")),
    *(row(f"A8 {u}", request("DESCRIBE", u), says=401) for u in ("////", "//trackID=1", "/")),
    row("A8 other scheme", request("DESCRIBE", "http://h/ipc1"), says=400),
    row("A9 URL of 4 KB", request("DESCRIBE", URL + "x" * 4096), says=414),
    row("A9 URL of 64 KB", request("DESCRIBE", URL + "x" * 65_536), says=414, end=CLOSED),
    *(row(f"A10 {v.decode()}", version(v), says=505) for v in (b"RTSP/0.0", b"RTSP/2.0", b"RTSP/1.", b"RTSP/")),
    row("A10 HTTP/1.1", version(b"HTTP/1.1"), says=505, end=CLOSED),
    row("A11 LF only", OPTIONS.replace(b"\r\n", b"\n"), says=200),
    row("A11 CR only, then a request", OPTIONS.replace(b"\r\n", b"\r") + OPTIONS, says=400),
    row("A11 mixed", b"OPTIONS * RTSP/1.0\nCSeq: 1\r\nX: y\n\r\n", says=200),
    *(row(f"A12 {c:#04x} in the URL", b"OPTIONS rtsp://h/a%cb RTSP/1.0\r\nCSeq: 1\r\n\r\n" % c, says=400)
      for c in (*CONTROLS, 0x80, 0xFF)),
    *(row(f"A12 {c:#04x} in a name", field(b"A%cB: x" % c), says=400) for c in (*CONTROLS, 0x09, 0x80, 0xFF)),
    *(row(f"A12 {c:#04x} in a value", field(b"X: a%cb" % c), says=400) for c in CONTROLS),
    *(row(f"A12 {c:#04x} in a value", field(b"X: a%cb" % c), says=200) for c in (0x09, 0x80, 0xFF)),
    row("A13 20 pipelined", b"".join(request("OPTIONS", "*", cseq=n) for n in range(20)), says=[200] * 20),
    row("A13 20 for a camera", b"".join(request("OPTIONS", URL, cseq=n) for n in range(20)), says=[200] * 20),
    row("A14 a byte a segment", *(bytes((c,)) for c in NAMED), says=200),
    row("A15 a frame between", NAMED + b"$\x01\x00\x04\r\n\r\n" + NAMED, says=[200, 200]),
    row("A15 a frame in front", b"$\x01\x00\x04\r\n\r\n" + NAMED, says=200),
    *(row(f"A16 10 MB of {g!r}", *[g * (65_536 // len(g))] * 160, says=says, end=CLOSED)
      for g, says in ((b"x", 400), (b" ", 400), (b"a b", 414), (b"\r", 400))),
    row("B17 65 headers", LINE + b"CSeq: 1\r\n" + b"A: b\r\n" * 64 + b"\r\n", says=400),
    row("B17 10,000 headers", LINE + b"CSeq: 1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", says=400, end=CLOSED),
    row("B17 header of 1 MB", field(b"X: " + b"x" * 1_000_000), says=400, end=CLOSED),
    row("B18 no colon", field(b"nonsense"), says=400),
    row("B18 empty name", field(b": x"), says=400),
    row("B18 folded", field(b"X: a\r\n b"), says=200),
    row("B19 no CSeq", LINE + b"\r\n", says=400),
    *(row(f"B19 CSeq {c!r}", cseq(c), says=400)
      for c in (b"", b" -1", b" 1e9", b" 1%0d%0aX: y", b" 1\rX", b" 1\xb2", b" 1, 2", b" 1\r\nCSeq: 2")),
    *(row(f"B19 CSeq {c.decode()}", cseq(c), says=200) for c in (b" 2147483648", b" 18446744073709551616")),
    *(row(f"B20 length {n!r}", length(n), says=400, end=CLOSED) for n in (b"-1", b"", b"+5", b"0x10")),
    *(row(f"B20 length {n[:20].decode()}", length(n), says=413, end=CLOSED)
      for n in (b"65537", b"2147483648", b"9223372036854775808", b"99999999999", b"9" * 5000)),
    row("B20 twice", length(b"1", b"2", body=b"x"), says=400, end=CLOSED),
    row("B20 the same twice", length(b"1", b"1", body=b"x"), says=200),
    row("B20 the body later", length(b"5"), b"ab", b"cde", says=200),
    row("B20 the largest body", length(b"65536", body=bytes(65_536)), says=200),
    row("B20 the largest body for a camera", NAMED[:-2] + b"Content-Length: 65536\r\n\r\n" + bytes(65_536), says=200),
    row("B20 longer body, text", length(b"1", body=b"abc\r\n\r\n"), says=[200, 400], end=CLOSED),
    row("B20 longer body, binary", length(b"1", body=b"\x00\x01\x02") + OPTIONS, says=[200, 200]),
    row("B24 Accept of 1 MB", field(b"Accept: " + b"x" * 1_000_000), says=400, end=CLOSED),
    row("B26 User-Agent of 64 KB", field(b"User-Agent: " + b"x" * 65_536), says=400, end=CLOSED),
    row("B26 terminal escape", field(b"User-Agent: \x1b]0;x\x07"), says=400),
    row("B26 markup", field(b"User-Agent: <script>alert(1)</script>"), says=200),
    row("B27 dates", field(b"Date: \xff\r\nIf-Modified-Since: never"), says=200),
    row("B28 chunked", field(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", says=400, end=CLOSED),
    row("C29 Authorization of 64 KB", field(b"Authorization: Basic " + b"A" * 65_536), says=400, end=CLOSED),
    row("D41 ANNOUNCE", request("ANNOUNCE", "*", "Content-Type: application/sdp", body=b"v=0\r\n"), says=405),
    row("D41 RECORD", request("RECORD", "*"), says=405),
    row("D44 frame before any session", b"$\x07\x00\x03abc" + OPTIONS, says=200),
    row("D44 frame of length 0", b"$\x00\x00\x00" + OPTIONS, says=200),
    row("D44 frame of length 65535", b"$\x00\xff\xff0123456789", bytes(65_525), says=[]),
    row("D44 frame of length 65535 behind a request", NAMED + b"$\x00\xff\xff" + bytes(65_535), says=200),
    row("D45 RTCP garbage", b"".join(b"$\x01\x00\x04" + bytes((v, 200, 255, 255)) for v in range(256)), says=[]),
    row("D48 ANNOUNCE of 128 KB", request("ANNOUNCE", "*", body=b"m=\r\n" * 32_768), says=413, end=CLOSED),
    row("E55 outside", b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", says=505, end=CLOSED),
    row("E56 SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", says=400, end=CLOSED),
    row("E56 HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", says=505, end=CLOSED),
]  # fmt: skip


@pytest.mark.parametrize("case", ROWS, ids=[case.name for case in ROWS])
def test_row(client: Client, case: Row) -> None:
    client.send(*case.pieces)
    assert client.outcome() == (case.statuses, case.end)


# What cannot begin a request is no RTSP at all as the first bytes of a plain connection, and stray bytes elsewhere.
STRAY = [
    ("A12 NUL", b"\x00" + OPTIONS, [200]),
    ("A12 0x80 in the method", b"\x80OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", [200]),
    ("E56 SOCKS", b"\x05\x01\x00", []),
    ("E56 SMB", b"\x00\x00\x00\x85\xffSMB\x72\x00", []),
    ("E56 TLS 1.0 alert", b"\x15\x03\x01\x00\x02\x01\x00", []),
]


@pytest.mark.parametrize(("data", "statuses"), [case[1:] for case in STRAY], ids=[case[0] for case in STRAY])
def test_stray_bytes(client: Client, tls: bool, adopted: bool, data: bytes, statuses: list[int]) -> None:
    client.send(data)
    assert client.outcome() == ((statuses, OPEN) if tls or adopted else ([], CLOSED))


def test_a12_b26_nothing_is_echoed_or_logged(ward: Ward, client: Client) -> None:
    client.send(
        request("MARK", "*"),
        request("DESCRIBE", "rtsp://MARK/..", cseq="MARK"),
        request("DESCRIBE", "*", "User-Agent: MARK\x1b[2J", "Require: MARK"),
        request("DESCRIBE", "*", "User-Agent: MARK", "Require: M\xc4RK", "Session: MARK", 'Authorization: MARK="MARK"'),
    )
    assert client.outcome() == ([501, 400, 400, 401], OPEN)
    assert b"MARK" not in client.received
    assert "MARK" not in ward.read_log()


def test_a13_the_answers_have_the_order_of_the_requests(client: Client) -> None:
    client.send(b"".join(request("OPTIONS", URL if n % 3 else "*", cseq=n) for n in range(20)))
    assert [client.reply().cseq for _ in range(20)] == [str(n) for n in range(20)]


def test_a14_cut_at_every_byte(ward: Ward, tls: bool) -> None:
    """On one adopted connection; in TLS each part is a record."""
    whole = b"$\x00\x00\x02ab" + request("GET_PARAMETER", URL, cseq=2, body=b"x: y\r\n")
    with ward.client(tls=tls, adopted=True) as client:
        for at in range(1, len(whole)):
            client.send(whole[:at], whole[at:])
            assert client.reply().status == 401
        assert client.outcome() == ([], OPEN)
