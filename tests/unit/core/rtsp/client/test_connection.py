"""The client's conversation with good, odd and hostile servers, without sockets."""

import hashlib
import re
from collections.abc import Callable

import pytest
from camfleet.core.rtsp.client import Account, ClientConnection, RedirectError, ServerError, UDPPorts

from tests.unit.core.sdp.test_parse import video

URL = "rtsp://192.0.2.7/live/1"
NS_PER_S = 1_000_000_000
ACCOUNT = Account("viewer", "secret", clear=False)


class Talk:
    """Answers in turn; `sent` has the requests."""

    def __init__(
        self, account: Account | None = None, open_ports: Callable[[], UDPPorts] | None = None, url: str = URL
    ) -> None:
        self.connection = ClientConnection(url, account=account, open_ports=open_ports, now_ns=0)
        self.sent: list[str] = []
        self._collect()

    def answer(self, *headers: str, status: str = "200 OK", body: bytes = b"", now_ns: int = 0) -> None:
        cseq = re.search(r"CSeq: (\d+)", self.sent[-1])
        assert cseq is not None
        lines = [f"RTSP/1.0 {status}", f"CSeq: {cseq[1]}", *headers, f"Content-Length: {len(body)}", "", ""]
        self.take("\r\n".join(lines).encode() + body, now_ns)

    def take(self, data: bytes, now_ns: int = 0) -> bytearray:
        buffer = bytearray(data)
        while buffer and self.connection.receive(buffer, now_ns):
            pass
        self._collect()
        return buffer

    def _collect(self) -> None:
        self.sent += [each + "\r\n\r\n" for each in self.connection.data_to_send().decode().split("\r\n\r\n")[:-1]]

    @property
    def lines(self) -> list[str]:
        return [each.partition(" RTSP/1.0\r\n")[0] for each in self.sent]

    def describe(self, *headers: str, control: str = "trackID=0") -> None:
        self.answer("Public: OPTIONS, DESCRIBE, GET_PARAMETER")
        self.answer(*headers, body=video(f"a=control:{control}"))

    def play(self, session: str = "Session: 12345678;timeout=60") -> None:
        self.describe()
        self.answer(session, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        self.answer()


def test_a_whole_conversation() -> None:
    talk = Talk()
    talk.describe("Content-Base: rtsp://192.0.2.7/live/1/")
    talk.answer("Session: ABCDEF;timeout=30", "Transport: RTP/AVP/TCP;unicast;interleaved=4-5;ssrc=12")
    assert talk.connection.media is not None  # some send before they answer PLAY
    assert not talk.connection.is_playing
    talk.answer("RTP-Info: url=rtsp://192.0.2.7/live/1/trackID=0;seq=1")
    assert talk.connection.is_playing
    assert talk.connection.media.channels == (4, 5)
    talk.connection.teardown(0)
    talk._collect()
    assert talk.lines == [
        "OPTIONS rtsp://192.0.2.7/live/1",
        "DESCRIBE rtsp://192.0.2.7/live/1",
        "SETUP rtsp://192.0.2.7/live/1/trackID=0",
        "PLAY rtsp://192.0.2.7/live/1/",
        "TEARDOWN rtsp://192.0.2.7/live/1/",
    ]
    assert "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n" in talk.sent[2]
    assert "Session: ABCDEF\r\n" in talk.sent[3]


@pytest.mark.parametrize(
    ("base", "control", "track"),
    [
        ("", "trackID=0", f"{URL}/trackID=0"),
        ("Content-Base: rtsp://192.0.2.7/live/1/", "t?x=1", f"{URL}/t?x=1"),
        ("Content-Location: rtsp://192.0.2.7/other", "t", "rtsp://192.0.2.7/other/t"),
        ("", "", URL),
        ("", "*", URL),
        ("", "rtsp://10.0.0.1:554/t", "rtsp://10.0.0.1:554/t"),  # behind NAT; only a name in the same connection
        ("", "/live/t", "rtsp://192.0.2.7/live/t"),
        ("Content-Base: /base/", "t", "rtsp://192.0.2.7/base/t"),
        ("", "../../t", f"{URL}/../../t"),
    ],
)
def test_the_track_s_address(base: str, control: str, track: str) -> None:
    talk = Talk()
    talk.describe(*([base] if base else []), control=control)
    assert talk.lines[-1] == f"SETUP {track}"


def test_udp_ports_are_opened_when_they_are_needed() -> None:
    opened = []

    def open_ports() -> UDPPorts:
        opened.append(1)
        return UDPPorts(5000, 5001)

    talk = Talk(open_ports=open_ports)
    assert not opened
    talk.describe()
    assert "Transport: RTP/AVP;unicast;client_port=5000-5001\r\n" in talk.sent[-1]
    talk.answer(
        "Session: 1", "Transport: RTP/AVP/UDP;unicast;client_port=5000-5001;source=6.6.6.6;server_port=7000-7001"
    )
    assert talk.connection.media is not None
    assert talk.connection.media.server_ports == UDPPorts(7000, 7001)


# ------------------------------------------------------------ login


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


DIGEST = 'WWW-Authenticate: Digest realm="r", nonce="n"'


def test_digest_once_and_then_with_every_request() -> None:
    talk = Talk(ACCOUNT)
    talk.answer(status="200 OK")
    talk.answer(DIGEST, status="401 Unauthorized")
    answer = md5(f"{md5('viewer:r:secret')}:n:{md5(f'DESCRIBE:{URL}')}")  # RFC 2069 2.1.2
    assert f'response="{answer}"' in talk.sent[-1]
    assert 'Authorization: Digest username="viewer", realm="r", nonce="n", uri="' + URL in talk.sent[-1]
    talk.answer(body=video("a=control:t"))
    assert f'uri="{URL}/t"' in talk.sent[-1]


@pytest.mark.parametrize(
    ("challenges", "chosen"),
    [
        (['Digest realm="r", nonce="n", qop="auth"'], "qop=auth, nc=00000001"),
        (['Digest realm="r", nonce="n"', 'Digest realm="r", nonce="s", algorithm=SHA-256'], "algorithm=SHA-256"),
        (['Basic realm="b"', 'Digest realm="r",nonce="n",opaque="o"'], 'opaque="o"'),
        (['digest REALM="r", NONCE="n"'], 'nonce="n"'),
    ],
)
def test_the_strongest_challenge_is_taken(challenges: list[str], chosen: str) -> None:
    talk = Talk(ACCOUNT)
    talk.answer(*[f"WWW-Authenticate: {each}" for each in challenges], status="401 Unauthorized")
    assert chosen in talk.sent[-1]
    assert "secret" not in talk.sent[-1]


def test_basic_only_where_nobody_reads_along() -> None:
    with pytest.raises(ServerError, match=r"in clear \(Basic\); use TLS"):
        Talk(ACCOUNT).answer('WWW-Authenticate: Basic realm="b"', status="401 Unauthorized")
    talk = Talk(Account("viewer", "secret", clear=True))
    talk.answer('WWW-Authenticate: Basic realm="b"', status="401 Unauthorized")
    assert "Authorization: Basic dmlld2VyOnNlY3JldA==\r\n" in talk.sent[-1]


def test_a_refusal_is_not_asked_again() -> None:
    talk = Talk(ACCOUNT)
    talk.answer(DIGEST, status="401 Unauthorized")
    with pytest.raises(ServerError, match="refuses the user or the password"):
        talk.answer(DIGEST, status="401 Unauthorized")
    with pytest.raises(ServerError, match="asks for a user"):
        Talk().answer(DIGEST, status="401 Unauthorized")
    for unknown in ('Digest realm="r", nonce="n", algorithm=MD4', "Negotiate x", "", "Digestive biscuits"):
        with pytest.raises(ServerError, match="a kind that is not known"):
            Talk(ACCOUNT).answer(f"WWW-Authenticate: {unknown}", status="401 Unauthorized")


def test_a_stale_nonce_is_renewed_but_not_for_ever() -> None:
    talk = Talk(ACCOUNT)
    talk.answer(DIGEST, status="401 Unauthorized")
    talk.answer('WWW-Authenticate: Digest realm="r", nonce="n2", stale=true', status="401 Unauthorized")
    assert 'nonce="n2"' in talk.sent[-1]
    with pytest.raises(ServerError, match="refuses"):
        talk.answer('WWW-Authenticate: Digest realm="r", nonce="n3", stale=true', status="401 Unauthorized")


# ------------------------------------------------------------ signs of life


@pytest.mark.parametrize(
    ("session", "after_s"),
    [
        ("Session: 1;timeout=60", 30),
        ("Session: 1", 30),
        ("Session: 1;timeout=10", 5),
        ("Session: 1;timeout=0", 30),
        ("Session: 1;timeout=1", 1),
        ("Session: 1;timeout=999999", 30),
        ("Session: 1;timeout=-5", 30),
    ],
)
def test_signs_of_life_in_half_of_the_time(session: str, after_s: int) -> None:
    talk = Talk()
    talk.play(session)
    talk.connection.keep_alive(after_s * NS_PER_S - 1)
    assert not talk.connection.data_to_send()
    talk.connection.keep_alive(after_s * NS_PER_S)
    talk._collect()
    assert talk.lines[-1] == f"GET_PARAMETER {URL}"


def test_a_server_that_lied_about_its_methods_is_asked_for_options() -> None:
    talk = Talk()
    talk.play()
    for method in ("GET_PARAMETER", "OPTIONS"):
        talk.connection.keep_alive(talk.connection.keep_alive_due_ns)
        talk._collect()
        assert talk.lines[-1].startswith(method)
        talk.answer(status="501 Not Implemented", now_ns=talk.connection.keep_alive_due_ns)
    talk.connection.keep_alive(talk.connection.keep_alive_due_ns)
    talk._collect()
    with pytest.raises(ServerError, match="forgotten"):
        talk.answer(status="454 Session Not Found")


def test_questions_of_the_server_are_answered_within_limits() -> None:
    talk = Talk()
    talk.take(b"OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\nREDIRECT * RTSP/1.0\r\nCSeq: x\r\nLocation: rtsp://e/\r\n\r\n")
    assert talk.sent[-2:] == ["RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n", "RTSP/1.0 501 Not Implemented\r\nCSeq: 0\r\n\r\n"]
    with pytest.raises(ServerError, match="without waiting"):
        talk.take(b"OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n" * 10_000)


# ------------------------------------------------------------ what ends it


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    talk = Talk()
    talk.take(
        b"RTSP/1.0 404 Not Found\r\nCSeq: 99\r\n\r\nRTSP/1.0 200 OK\r\n\r\nRTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n"
    )
    assert talk.lines == [f"OPTIONS {URL}"]


@pytest.mark.parametrize("location", ["rtsp://192.0.2.9/x", URL])
def test_a_redirect_is_the_caller_s_to_judge(location: str) -> None:
    talk = Talk()
    talk.answer()
    with pytest.raises(RedirectError) as redirect:
        talk.answer(f"Location: {location}", status="302 Moved")
    assert redirect.value.url == location


@pytest.mark.parametrize(
    "location", ["", "http://169.254.169.254/", "file:///etc/passwd", "rtsp://a b", "rtsp://\x01", "x" * 9000]
)
def test_a_redirect_to_nowhere(location: str) -> None:
    talk = Talk()
    talk.answer()
    with pytest.raises(ServerError, match="no address"):
        talk.answer(f"Location: {location}", status="301 Moved")


@pytest.mark.parametrize(
    ("bytes_", "reason"),
    [
        (b"\x16\x03\x01\x02\x00", "does not speak RTSP"),
        (b"\x00" * 100, "does not speak RTSP"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "does not speak RTSP"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak RTSP"),
        (b"RTSP/1.0 twohundred OK\r\n\r\n", "does not speak RTSP"),
        (b"\r\n" * 100, "blank lines"),
        (b"RTSP/1.0 200 OK\r\nX: " + b"y" * 20_000, "headers of more than 16384"),
        (b"R" * 20_000, "headers of more than 16384"),
        (b"RTSP/1.0 200 OK\r\n" + b"a:b\r\n" * 200 + b"\r\n", "more than 128 headers"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 1000000000\r\n\r\n", "body of more than 65536"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "body of more than 65536"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 0x10\r\n\r\n", "body of more than 65536"),
    ],
)
def test_what_is_no_answer(bytes_: bytes, reason: str) -> None:
    with pytest.raises(ServerError, match=reason):
        Talk().take(bytes_)


def test_no_byte_more_is_needed_to_know_that_headers_are_too_long() -> None:
    head = b"RTSP/1.0 200 OK\r\nX: "
    assert Talk().take(head + b"y" * (16_383 - len(head)))
    with pytest.raises(ServerError, match="16384"):
        Talk().take(head + b"y" * (16_384 - len(head)))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("404 Not Found", "404: there is no such stream"),
        ("461 Unsupported transport", "461: it does not offer this `transport`"),
        ("499 \x1b[31mred \u00ff", r"499: \?\[31mred \?"),
        ("500 " + "x" * 300, "500: x{80}\\.\\.\\.$"),
    ],
)
def test_refusals_are_told(status: str, reason: str) -> None:
    talk = Talk()
    talk.answer()
    with pytest.raises(ServerError, match=f"answers DESCRIBE with {reason}"):
        talk.answer(status=status)


def test_no_track_no_session_no_transport() -> None:
    talk = Talk()
    talk.answer()
    with pytest.raises(ServerError, match="sends a description that has no video"):
        talk.answer(body=b"v=0\r\n")
    for session in ("", "Session: ", "Session: " + "x" * 300, "Session: \u00e9"):
        talk = Talk()
        talk.describe()
        with pytest.raises(ServerError, match="opens no session"):
            talk.answer(session, "Transport: RTP/AVP/TCP;interleaved=0-1")
    for transport in (
        "RTP/AVP;unicast;client_port=1-2",
        "",
        "RTP/AVP/TCP;multicast",
        "RTP/AVP/TCP;interleaved=255-256",
    ):
        talk = Talk()
        talk.describe()
        with pytest.raises(ServerError, match=r"transport|channels"):
            talk.answer("Session: 1", f"Transport: {transport}")


def test_a_control_address_cannot_leave_its_line() -> None:
    talk = Talk()
    talk.answer()
    with pytest.raises(ServerError, match="base address that is none"):
        talk.answer("Content-Base: rtsp://192.0.2.7/ x", body=video("a=control:t"))
    for control in ("http://192.0.2.7/t", "rtsp://192.0.2.7/" + "x" * 3000, "t\u00e9"):
        talk = Talk()
        talk.answer()
        with pytest.raises(ServerError, match="track's address that is none"):
            talk.answer(body=video(f"a=control:{control}"))
