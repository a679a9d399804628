"""Bad inputs by group and row: A request line and framing, B headers, C authentication, D transport and session.

Every case: the right error or a clean close, nothing of the input in a reply but printable echoes, the connection goes
on when the framing was kept, and a bystander who shares lock-out and users plays as if nothing had been.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from camfleet.core.rtsp import Lockout, LoginFailed, Setup
from camfleet.core.rtsp.connection import LOGIN_TIMEOUT_S, MAX_BUFFER_SIZE, SESSION_GRACE_S

from tests.kit.rtsp import (
    SDP,
    SECOND,
    SSRC,
    START_NS,
    TCP,
    URL,
    Client,
    authenticator,
    connection,
    digest,
    exchange,
    kinds,
    nonce_of,
    parse_replies,
    request,
    user,
)

OPTIONS = request("OPTIONS")
LINE = b"OPTIONS * RTSP/1.0\r\n"
CONTROLS = [c for c in range(0x20) if c not in (0x09, 0x0A)] + [0x7F]


def with_field(field: bytes) -> bytes:
    return LINE + b"CSeq: 1\r\n" + field + b"\r\n\r\n"


def with_cseq(cseq: bytes) -> bytes:
    return LINE + b"CSeq:" + cseq + b"\r\n\r\n"


def with_length(*lengths: bytes, body: bytes = b"") -> bytes:
    return LINE + b"CSeq: 1\r\n" + b"".join(b"Content-Length: %b\r\n" % n for n in lengths) + b"\r\n" + body


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


@pytest.fixture
def client(secure: bool) -> Iterator[Client]:
    """One with a bystander who shares everything that connections share."""
    shared: dict[str, Any] = {"authenticator": authenticator(), "lockout": Lockout(), "secure": secure}
    yield Client(connection(**shared))
    bystander = Client(connection(**shared, address="192.0.2.98"))
    bystander.play()


# ---------------------------------------------------------------- requests that need no session

# row and what, bytes, statuses, closed. Every case is fed whole and byte by byte.
RAW: list[tuple[str, bytes, list[int], bool]] = [
    ("A1 8 empty lines", b"\r\n" * 8 + OPTIONS, [200], False),
    ("A1 9 empty lines", b"\r\n" * 9 + OPTIONS, [400], True),
    ("A2 leading blanks", b" \t \t" + OPTIONS, [200], False),
    ("A5 method of 8 KB", request("M" * 8192), [501], False),
    ("A6 unknown method", request("FROBNICATE"), [501], False),
    ("A7 lower-case method", request("options"), [501], False),
    ("A8 no URL", b"OPTIONS RTSP/1.0\r\nCSeq: 1\r\n\r\n", [400], False),
    ("A8 no URL, no version", b"OPTIONS\r\nCSeq: 1\r\n\r\n", [400], True),
    *((f"A8 {m} *", request(m, "*"), [401], False) for m in ("DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN")),
    ("A8 GET_PARAMETER *", request("GET_PARAMETER", "*"), [401], False),
    ("A8 only slashes", request("DESCRIBE", "////"), [401], False),
    ("A8 only a track", request("DESCRIBE", "//trackID=1"), [401], False),
    ("A8 other scheme", request("DESCRIBE", "http://h/ipc1"), [400], False),
    ("A9 URL of 64 KB", request("DESCRIBE", URL + "x" * 65536), [414], True),
    ("A9 URL of 4 KB", request("DESCRIBE", URL + "x" * 4096), [414], False),
    *((f"A10 {v}", b"OPTIONS * %b\r\nCSeq: 1\r\n\r\n" % v.encode(), [505], False)
      for v in ("RTSP/0.0", "RTSP/2.0", "RTSP/1.", "RTSP/1.00", "RTSP/")),
    ("A10 HTTP/1.1", b"OPTIONS * HTTP/1.1\r\nCSeq: 1\r\n\r\n", [505], True),
    ("A11 LF only", OPTIONS.replace(b"\r\n", b"\n"), [200], False),
    ("A11 CR only", OPTIONS.replace(b"\r\n", b"\r"), [], False),
    ("A11 mixed", b"OPTIONS * RTSP/1.0\nCSeq: 1\r\nX: y\n\r\n", [200], False),
    *((f"A12 {c:#04x} in the URL", b"OPTIONS rtsp://h/a%cb RTSP/1.0\r\nCSeq: 1\r\n\r\n" % c, [400], False)
      for c in [*CONTROLS, 0x80, 0xFF]),
    *((f"A12 {c:#04x} in a name", with_field(b"A%cB: x" % c), [400], False) for c in [*CONTROLS, 0x09, 0x80, 0xFF]),
    *((f"A12 {c:#04x} in a value", with_field(b"X: a%cb" % c), [400], False) for c in CONTROLS),
    *((f"A12 {c:#04x} in a value", with_field(b"X: a%cb" % c), [200], False) for c in (0x09, 0x80, 0xFF)),
    ("A12 0x80 in the method", b"OPT\x80IONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", [501], False),  # "OPT\x80" is stray
    ("A13 20 pipelined", b"".join(request("OPTIONS", cseq=i) for i in range(20)), [200] * 20, False),
    ("A15 a frame between", OPTIONS + b"$\x01\x00\x04\r\n\r\n" + OPTIONS, [200, 200], False),
    ("B17 10,000 headers", LINE + b"CSeq: 1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", [400], True),
    ("B17 65 headers", LINE + b"CSeq: 1\r\n" + b"A: b\r\n" * 64 + b"\r\n", [400], False),
    ("B17 header of 1 MB", with_field(b"X: " + b"x" * 1_000_000), [400], True),
    ("B18 no colon", with_field(b"nonsense"), [400], False),
    ("B18 empty name", with_field(b": x"), [400], False),
    ("B18 folded", with_field(b"X: a\r\n b"), [200], False),
    ("B19 no CSeq", LINE + b"\r\n", [400], False),
    *((f"B19 CSeq {c!r}", with_cseq(c), [400], False)
      for c in (b"", b" -1", b" 1e9", b" 1%0d%0aX: y", b" 1\rX", b" \x31\xb2", b" 1, 2")),
    *((f"B19 CSeq {c!r}", with_cseq(c), [200], False) for c in (b" 2147483648", b" 18446744073709551616")),
    ("B19 CSeq twice", with_cseq(b" 1\r\nCSeq: 2"), [400], False),
    *((f"B20 Content-Length {n!r}", with_length(n), [400], True) for n in (b"-1", b"", b"+5", b"0x10")),
    *((f"B20 Content-Length {n!r}", with_length(n), [413], True)
      for n in (b"2147483648", b"9223372036854775808", b"99999999999", b"9" * 5000)),
    ("B20 Content-Length twice", with_length(b"1", b"2", body=b"x"), [400], True),
    ("B20 same Content-Length twice", with_length(b"1", b"1", body=b"x"), [200], False),
    ("B20 no body", with_length(b"5"), [], False),
    ("B20 shorter body", with_length(b"5", body=b"abc"), [], False),
    ("B20 longer body, text", with_length(b"1", body=b"abc\r\n\r\n"), [200, 400], True),
    ("B20 longer body, binary", with_length(b"1", body=b"\x00\x01\x02") + OPTIONS, [200, 200], False),
    ("B22 Require with OPTIONS", request("OPTIONS", URL, "Require: implicit-play"), [200], False),
    ("B26 User-Agent of 64 KB", with_field(b"User-Agent: " + b"x" * 65536), [400], True),
    ("B26 terminal escape", with_field(b"User-Agent: \x1b]0;x\x07"), [400], False),
    ("B26 markup", with_field(b"User-Agent: <script>alert(1)</script>"), [200], False),
    ("B27 dates", with_field(b"Date: \xff\r\nIf-Modified-Since: never"), [200], False),
    ("B28 chunked", with_field(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", [400], True),
    ("D41 ANNOUNCE", request("ANNOUNCE", URL, "Content-Type: application/sdp", body=b"v=0\r\n"), [405], False),
    ("D41 RECORD", request("RECORD"), [405], False),
    ("D44 frame before any session", b"$\x07\x00\x03abc" + OPTIONS, [200], False),
    ("D44 frame of length 0", b"$\x00\x00\x00" + OPTIONS, [200], False),
    ("D44 frame cut short", b"$\x00\xff\xff0123456789", [], False),
    ("D45 RTCP garbage", b"".join(b"$\x01\x00\x04" + bytes([v, 200, 255, 255]) for v in range(256)) + OPTIONS,
     [200], False),
    ("D48 ANNOUNCE of 128 KB", request("ANNOUNCE", URL, body=b"m=\r\n" * 32768), [413], True),
    ("E56 SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", [400], True),
    ("E56 HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505], True),
]  # fmt: skip


@pytest.mark.parametrize(("data", "statuses", "closed"), [row[1:] for row in RAW], ids=[row[0] for row in RAW])
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytes"])
def test_raw(client: Client, data: bytes, statuses: list[int], closed: bool, bytewise: bool) -> None:
    server = client.server
    size = len(data) if not bytewise else 1 if len(data) < 70_000 else 999
    replies = client.send(*(data[i : i + size] for i in range(0, len(data), size)))
    assert [reply.status for reply in replies] == statuses
    assert client.events == []
    assert server.should_close is closed
    assert [reply.headers.get("connection") for reply in replies[-1:]] == (
        ["close"] if closed else [None] * len(replies[-1:])
    )
    if closed:
        assert client.send(OPTIONS) == []
    elif server.at_boundary:
        assert [reply.status for reply in client.send(OPTIONS)] == [200]
    else:  # waits for the rest, and not for ever
        server.handle_timeout(START_NS + 10 * SECOND)
        assert server.should_close
        assert [reply.status for reply in parse_replies(server.data_to_send())] == [408]


def test_a3_one_byte_and_silence(client: Client) -> None:
    client.send(b"O")
    deadline = client.server.next_deadline()
    assert deadline == START_NS + 10 * SECOND
    client.server.handle_timeout(deadline - 1)
    assert not client.server.should_close
    client.server.handle_timeout(deadline)
    assert client.server.should_close
    assert parse_replies(client.server.data_to_send())[0].status == 408
    assert client.server.next_deadline() is None


def test_a3_nothing_at_all(client: Client) -> None:
    client.server.handle_timeout(START_NS + 10 * SECOND)
    assert client.server.should_close
    assert client.server.data_to_send() == b""


@pytest.mark.parametrize("first", [b"", OPTIONS], ids=["first request", "second request"])
def test_a4_one_byte_per_second(client: Client, first: bytes) -> None:
    client.send(first)
    for i in range(len(OPTIONS) - 1):
        client.now_ns = START_NS + i * SECOND
        client.server.handle_timeout(client.now_ns)
        if client.server.should_close:
            break
        client.send(OPTIONS[i : i + 1])
    assert client.server.should_close
    assert client.now_ns == START_NS + 10 * SECOND


def test_a12_nothing_of_it_is_echoed(client: Client) -> None:
    """parse_replies refuses controls; here is what must not come back at all."""
    for data in (
        request("DESCRIBE", URL, "User-Agent: MARK", "Require: M\xc4RK", "Session: MARK", 'Authorization: MARK="MARK"'),
        request("MARK"),
        request("DESCRIBE", "rtsp://MARK/..", cseq="MARK"),
    ):
        _, output = exchange(client.server, [data])
        assert output
        assert b"MARK" not in output


def test_a13_pipelined_requests_wait_for_the_answer_and_keep_their_order(client: Client) -> None:
    authorization = client.authorization("DESCRIBE")
    data = b"".join(request("DESCRIBE" if i % 2 else "OPTIONS", URL, authorization, cseq=i) for i in range(20))
    server = client.server
    server.receive_data(data, START_NS)
    answered = 0
    while server.next_event(START_NS) is not None:
        assert server.next_event(START_NS) is None
        answered += 1
        server.describe(SDP)
    assert answered == 10
    assert [reply.cseq for reply in parse_replies(server.data_to_send())] == [str(i) for i in range(20)]


def test_a14_split_at_every_byte(secure: bool) -> None:
    whole = OPTIONS + b"$\x00\x00\x02ab" + request("GET_PARAMETER", URL, cseq=2, body=b"x: y\r\n") + OPTIONS
    _, expected = exchange(connection(secure=secure), [whole])
    for i in range(len(whole)):
        assert exchange(connection(secure=secure), [whole[:i], whole[i:]]) == ([], expected)


@pytest.mark.parametrize("garbage", [b"x", b"\x00", b" ", b"a b", b"\xff$", b"\r"], ids=repr)
def test_a16_10_mb_of_garbage(client: Client, garbage: bytes) -> None:
    chunk = garbage * (65536 // len(garbage))
    largest = 0
    for _ in range(160):
        client.send(chunk)
        largest = max(largest, len(client.server.leftover))
    assert largest <= 65536 + 3
    assert client.server.should_close is (b"$" not in garbage)  # "$" makes frames of it; then only time is limited


# ---------------------------------------------------------------- requests of somebody who has logged in

Act = Callable[[Client], None]


def fresh(client: Client) -> None:
    client.authorization("DESCRIBE")


def ready(client: Client) -> None:
    assert client.ask("SETUP", URL + "/trackID=0", f"Transport: {TCP}").status == 200


def playing(client: Client) -> None:
    client.play()


def torn_down(client: Client) -> None:
    client.play()
    assert client.ask("TEARDOWN").status == 200


LONG = "x" * 15_000
OTHER = URL.replace("stream1/testlive", "stream2/filelive")
# row and what, state before, method, URL, header lines, status
ASKED: list[tuple[str, Act, str, str, list[str], int]] = [
    *((f"A8 {m} *", fresh, m, "*", [], 404) for m in ("DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN")),
    *((f"A8 {m} *", fresh, m, "*", [], 200) for m in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")),
    *((f"A8 {u}", fresh, "DESCRIBE", u, [], 404)
      for u in ("////", "//trackID=1", "/", URL + "/x", URL + "x", "/ipc1-stream9", "/ipc1/../ipc1", "/%69pc1%00")),
    ("B21 Session of 15 KB", ready, "PLAY", URL, [f"Session: {LONG}"], 454),
    ("B21 8-bit Session", ready, "PLAY", URL, ["Session: \xff\xfe"], 454),
    ("B21 empty Session", ready, "PLAY", URL, ["Session:"], 454),
    ("B21 Session of nobody", fresh, "PLAY", URL, ["Session: 0123456789abcdef"], 454),
    ("B21 closed session", torn_down, "PLAY", URL, [], 454),
    ("B21 no session", fresh, "PLAY", URL, [], 455),
    *((f"B22 {f} {m}", fresh, m, URL, [f"{f}: x", f"Transport: {TCP}"], 551)
      for f in ("Require", "Proxy-Require") for m in ("DESCRIBE", "SETUP", "PLAY")),
    ("B22 invalid tag", fresh, "DESCRIBE", URL, ["Require: \xff"], 551),
    *((f"B23 {r[:30]}", ready, "PLAY", URL, [f"Range: {r}"], 457)
      for r in ("npt=::-", "npt=0-A", "npt=5-2", "smpte=0:0:0:-", "clock=-", "clock=00000101T000000Z-0", LONG, "")),
    *((f"B23 {r}", ready, "PLAY", URL, [f"Range: {r}"], 200)
      for r in ("npt=now-", "npt=0.000-", "npt=0-", "clock=20260101T000000Z-")),
    ("B24 Accept text/html", fresh, "DESCRIBE", URL, ["Accept: text/html"], 406),
    ("B24 Accept of 15 KB", fresh, "DESCRIBE", URL, [f"Accept: {LONG}"], 406),
    *((f"B25 {f}", ready, "PLAY", URL, [f], 200)
      for f in ("Scale: 0", "Scale: NaN", "Speed: 1e400", "Blocksize: 0", "Blocksize: 1000000000000")),
    *((f"D36 client_port={p}", fresh, "SETUP", URL, [f"Transport: RTP/AVP;unicast;client_port={p}"], 461)
      for p in ("0-1", "65535-65536", "5-5", "9-2", "0-65535", "")),
    ("D36 no client_port", fresh, "SETUP", URL, ["Transport: RTP/AVP;unicast"], 461),
    ("D36 no Transport", fresh, "SETUP", URL, [], 400),
    *((f"D37 interleaved={c}", fresh, "SETUP", URL, [f"Transport: RTP/AVP/TCP;interleaved={c}"], 200)
      for c in ("255-256", "-1-0", "0-0", "", "=")),
    ("D37 channels used by this session", ready, "SETUP", URL, [f"Transport: {TCP}"], 200),
    *((f"D38 {d}", fresh, "SETUP", URL, [f"Transport: RTP/AVP;unicast;client_port=5000-5001;{d}"], 461)
      for d in ("destination=203.0.113.5", "source=0.0.0.0", "destination=224.0.0.1", "destination=::%0")),
    *((f"D38 TCP {d}", fresh, "SETUP", URL, [f"Transport: RTP/AVP/TCP;unicast;{d}"], 200)
      for d in ("destination=203.0.113.5", "source=0.0.0.0")),
    ("D39 700 alternatives", fresh, "SETUP", URL, ["Transport: " + "RTP/AVP;unicast,"*700], 461),
    ("D39 700 alternatives, then ours", fresh, "SETUP", URL, ["Transport: " + "RTP/AVP;unicast,"*700 + TCP], 200),
    ("D39 TCP multicast", fresh, "SETUP", URL, ["Transport: RTP/AVP/TCP;multicast"], 461),
    ("D39 SAVP", fresh, "SETUP", URL, ["Transport: RTP/SAVP/TCP;unicast"], 461),
    ("D40 SETUP twice", ready, "SETUP", URL, [f"Transport: {TCP}"], 200),
    ("D40 SETUP while playing", playing, "SETUP", URL, [f"Transport: {TCP}"], 455),
    ("D40 SETUP of another stream", ready, "SETUP", OTHER, [f"Transport: {TCP}"], 459),
    *((f"D40 track {t}", fresh, "SETUP", f"{URL}/trackID={t}", [f"Transport: {TCP}"], 404)
      for t in ("999", "-1", "", "1", "00")),
    ("D41 PLAY before SETUP", fresh, "PLAY", URL, [], 455),
    ("D41 PLAY twice", playing, "PLAY", URL, [], 200),
    ("D41 PLAY after TEARDOWN", torn_down, "PLAY", URL, [], 454),
    ("D41 PAUSE before SETUP", fresh, "PAUSE", URL, [], 455),
    ("D41 PAUSE before PLAY", ready, "PAUSE", URL, [], 455),
    ("D41 PLAY of another stream", ready, "PLAY", OTHER, [], 454),
    ("D42 TEARDOWN of the track", playing, "TEARDOWN", URL + "/trackID=0", [], 200),
    ("D42 TEARDOWN *", playing, "TEARDOWN", "*", [], 404),
    ("D42 TEARDOWN twice", torn_down, "TEARDOWN", URL, [], 454),
    ("D42 TEARDOWN of nothing", fresh, "TEARDOWN", URL, [], 200),
    ("D47 KeyMgmt", fresh, "SETUP", URL, ['KeyMgmt: prot=mikey;data="00"', f"Transport: {TCP}"], 200),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "method", "url", "fields", "status"), [row[1:] for row in ASKED], ids=[row[0] for row in ASKED]
)
def test_asked(client: Client, before: Act, method: str, url: str, fields: list[str], status: int) -> None:
    before(client)
    state = client.server.state
    reply = client.ask(method, url, *fields)
    assert reply.status == status
    assert not client.server.should_close
    if status != 200:
        assert client.server.state == state
        assert client.ask("OPTIONS", URL).status == 200
    if status == 551:
        assert reply.headers["unsupported"] in ("x", "invalid")
    if status == 455:
        assert "OPTIONS" in reply.headers["allow"]
        assert method not in reply.headers["allow"].split(", ")
    if status == 200 and "interleaved" in str(fields):
        assert "interleaved=0-1;" in reply.headers["transport"]
    for name in ("Scale", "Speed"):
        assert reply.headers.get(name.lower()) == ("1.0" if name in str(fields) else None)


def test_b21_session_of_another_connection_user_or_camera(client: Client, secure: bool) -> None:
    """C31 and C32 too: it does not help to know the id."""
    client.play()
    session = f"Session: {client.session}"
    thief = Client(connection(secure=secure))
    for method in ("PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER"):
        assert thief.raw(method, URL, session).status == 401
    for method in ("PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SETUP"):
        assert thief.ask(method, URL, session, f"Transport: {TCP}").status == 454
    assert thief.server.session_id is None
    guard = Client(client.server, "guard", "other")
    for method in ("PLAY", "PAUSE", "TEARDOWN", "SETUP"):
        assert guard.ask(method, URL, session, f"Transport: {TCP}").status == 454
        assert guard.ask(method, URL, f"Transport: {TCP}").status == 454
    other = URL.replace("ipc1", "ipc2")
    assert client.ask("PLAY", other).status == 454
    assert client.ask("DESCRIBE", other).status == 454
    assert client.raw("DESCRIBE", other).status == 455
    assert client.server.state == "playing"
    assert client.ask("PLAY").status == 200


# ---------------------------------------------------------------- credentials

NOT_CREDENTIALS = [
    ("C29 empty", ""),
    ("C29 Basic", "Basic"),
    ("C29 Basic =", "Basic ="),
    ("C29 no colon", "Basic " + b64encode(b"viewer").decode()),
    ("C29 invalid base64", "Basic !!!"),
    ("C29 15 KB", "Basic " + "A" * 15_000),
    ("C29 wrong Basic", "Basic " + b64encode(b"viewer:wrong").decode()),
    ("C30 Digest =", "Digest ="),
    ("C30 open quote", 'Digest username="'),
    ("C30 1,000 usernames", "Digest " + ",".join(["username=u"] * 1000)),
    ("C30 no nonce", 'Digest username="viewer", uri="/ipc1", response="00"'),
    ("C30 algorithm", 'Digest username="viewer", nonce="n", uri="/ipc1", response="00", algorithm=MD4'),
    ("C30 auth-int", 'Digest username="viewer", nonce="n", uri="/ipc1", response="00", qop=auth-int'),
    ("C30 8-bit", 'Digest username="viewer", nonce="\xff", uri="\xff", response="\xff"'),
    ("C35 4-byte UTF-8", 'Digest username="\xf0\x9f\x8e\xa5", nonce="n", uri="/ipc1", response="00"'),
    ("C35 name of 15 KB", f'Digest username="{"u" * 15_000}", nonce="n", uri="/ipc1", response="00"'),
    ("C35 SQL", 'Digest username="\' OR 1=1; --", nonce="n", uri="/ipc1", response="00"'),
    ("C35 format", 'Digest username="%s%n{0}<b>", nonce="n", uri="/ipc1", response="00"'),
    ("C35 controls in Basic", "Basic " + b64encode(b"a\x00\x1b[2J\r\nb:c").decode()),
]


@pytest.mark.parametrize("value", [row[1] for row in NOT_CREDENTIALS], ids=[row[0] for row in NOT_CREDENTIALS])
def test_bad_credentials(client: Client, secure: bool, value: str) -> None:
    reply = client.raw("DESCRIBE", URL, f"Authorization: {value}")
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Digest ")
    assert "stale" not in reply.head
    well_formed_basic = value in (NOT_CREDENTIALS[6][1], NOT_CREDENTIALS[-1][1])
    assert len(client.events) == (0 if well_formed_basic and not secure else 1)  # never looked at outside of TLS
    for event in client.events:
        assert isinstance(event, LoginFailed)
        assert event.user.isprintable()
        assert len(event.user) <= 64
    assert client.ask("DESCRIBE").status == 200


def test_c29_authorization_of_64_kb(client: Client) -> None:
    (reply,) = client.send(request("DESCRIBE", URL, "Authorization: Basic " + "A" * 65536))
    assert reply.status == 400
    assert client.server.should_close


def test_c35_nul_in_a_name(client: Client) -> None:
    assert client.raw("DESCRIBE", URL, 'Authorization: Digest username="a\0b"').status == 400


def test_c30_uri_of_another_camera(client: Client) -> None:
    nonce = nonce_of(client.raw("DESCRIBE"))
    other = URL.replace("ipc1", "ipc2")
    assert client.raw("DESCRIBE", URL, digest("DESCRIBE", URL, nonce, uri=other)).status == 401
    assert client.events == [LoginFailed("viewer")]


def test_c30_nonce_of_another_connection(client: Client, secure: bool) -> None:
    """Of the same address it is as good as one's own; of another one the client is told to take a new one."""
    for address, status in (("192.0.2.99", 200), ("192.0.2.97", 401)):
        nonce = nonce_of(Client(connection(address=address, secure=secure)).raw("DESCRIBE"))
        reply = client.raw("DESCRIBE", URL, digest("DESCRIBE", URL, nonce))
        assert reply.status == status
        assert ("stale=true" in reply.head) is (status == 401)
    assert "LoginFailed" not in kinds(client.events)


def test_c30_expired_nonce(client: Client) -> None:
    assert client.ask("DESCRIBE").status == 200
    client.now_ns += 301 * SECOND
    reply = client.ask("DESCRIBE")
    assert reply.status == 401
    assert "stale=true" in reply.head
    assert "LoginFailed" not in kinds(client.events)
    client.nonce = nonce_of(reply)
    assert client.ask("DESCRIBE").status == 200


def test_c30_replay(client: Client) -> None:
    nonce = nonce_of(client.raw("DESCRIBE"))
    assert client.raw("DESCRIBE", URL, digest("DESCRIBE", URL, nonce, nc=2)).status == 200
    for nc in (2, 1):
        reply = client.raw("DESCRIBE", URL, digest("DESCRIBE", URL, nonce, nc=nc))
        assert reply.status == 401
        assert "stale=true" in reply.head
    assert client.raw("DESCRIBE", URL, digest("DESCRIBE", URL, nonce, nc=3)).status == 200


def test_c33_setup_and_play_without_describe_are_checked(client: Client) -> None:
    assert client.raw("SETUP", URL, f"Transport: {TCP}").status == 401
    ready(client)
    assert client.raw("PLAY").status == 401
    assert client.ask("PLAY").status == 200
    assert "Describe" not in kinds(client.events)


def test_c33_play_after_the_user_was_revoked() -> None:
    auth = authenticator()
    client = Client(connection(authenticator=auth))
    ready(client)
    auth.set_users([user("guard", "other")])
    assert client.ask("PLAY").status == 401
    assert client.server.state == "ready"


def test_c34_10000_wrong_passwords() -> None:
    """Limited per user and address over all connections; another address is not locked out."""
    lockout = Lockout(user_failures=10, address_failures=50)
    shared: dict[str, Any] = {"authenticator": authenticator(), "lockout": lockout}
    statuses = []
    failed = 0
    for _ in range(1000):
        attacker = Client(connection(**shared), password="wrong")
        for _ in range(10):
            if attacker.server.should_close:
                break
            statuses.append(attacker.ask("DESCRIBE").status)
        failed += kinds(attacker.events).count("LoginFailed")
    assert statuses.count(401) == failed == 10
    assert statuses[10:] == [403] * 999
    assert len(lockout) == 2
    victim = Client(connection(**shared))
    assert victim.raw("DESCRIBE").status == 401  # a challenge is for everybody
    assert victim.ask("DESCRIBE").status == 403
    Client(connection(**shared, address="192.0.2.98")).play()
    Client(connection(**shared), "guard", "other").play()
    later = Client(connection(**shared))
    later.now_ns += 61 * SECOND
    assert later.ask("DESCRIBE").status == 200


# ---------------------------------------------------------------- the rest of D


def test_d40_10000_setups_on_one_connection() -> None:
    client = Client(connection())
    ready(client)
    line = client.authorization("SETUP")
    for _ in range(20):
        replies = client.send(request("SETUP", URL, line, f"Transport: {TCP}") * 500)
        assert [reply.status for reply in replies] == [200] * 500
    assert len({reply.headers["session"] for reply in replies}) == 1
    assert client.server.at_boundary


def test_d44_100000_frames(client: Client) -> None:
    client.play()
    for _ in range(100):
        assert client.send(b"$\x01\x00\x04abcd" * 1000) == []
    assert client.server.at_boundary
    assert client.ask("GET_PARAMETER").status == 200


def test_a_client_that_does_not_stop_while_an_answer_is_awaited(client: Client) -> None:
    """The caller should have stopped reading; memory stays bounded all the same."""
    line = client.authorization("DESCRIBE")
    server = client.server
    server.receive_data(request("DESCRIBE", URL, line), START_NS)
    assert server.next_event(START_NS) is not None
    for _ in range(100):
        server.receive_data(OPTIONS * 100, START_NS)
    assert len(server.leftover) < MAX_BUFFER_SIZE + 100 * len(OPTIONS)
    assert not server.should_close
    server.describe(SDP)
    assert server.should_close
    assert server.next_event(START_NS) is None
    assert [reply.status for reply in parse_replies(server.data_to_send())] == [200]


def test_an_unauthenticated_connection_has_a_limit(client: Client) -> None:
    """Whatever it sends."""
    for second in range(LOGIN_TIMEOUT_S):
        client.now_ns = START_NS + second * SECOND
        client.send(OPTIONS)
        client.server.handle_timeout(client.now_ns)
        assert not client.server.should_close
    client.server.handle_timeout(START_NS + LOGIN_TIMEOUT_S * SECOND)
    assert client.server.should_close


def test_a_silent_session_ends(client: Client) -> None:
    client.play()
    deadline = START_NS + (60 + SESSION_GRACE_S) * SECOND
    assert client.server.next_deadline() == deadline
    client.server.handle_timeout(deadline)
    assert client.server.should_close
    assert client.server.data_to_send() == b""


def test_ssrc_and_channels_are_returned(client: Client) -> None:
    reply = client.ask("SETUP", URL, "Transport: RTP/AVP/TCP;unicast;interleaved=4-5")
    assert reply.headers["transport"] == f"RTP/AVP/TCP;unicast;interleaved=4-5;ssrc={SSRC:08X}"
    (setup,) = (event for event in client.events if isinstance(event, Setup))
    assert setup.transport.channels == (4, 5)
