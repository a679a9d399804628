import pytest
from camfleet.bench.load.rtsp import Authorization, RefusedError, Session, StreamURL, Track, parse_answer, parse_tracks

URL = "rtsps://user:p%40ss@[::1]:8322/ipc1-stream1/testlive?x=1"
SDP = """v=0
s=x
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=control:trackID=0
m=application 0 RTP/AVP 107
a=control:trackID=7
m=audio 0 RTP/AVP 0
a=control:rtsp://elsewhere/audio
m=audio 0 RTP/AVP 97
a=rtpmap:97 MPEG4-GENERIC/48000/2
"""


def answer(session: Session, *fields: str, status: str = "200 OK", body: str = "") -> bytes:
    lines = [f"RTSP/1.0 {status}", f"CSeq: {session.sequence}", *fields]
    return session.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


def head(request: bytes) -> tuple[str, dict[str, str]]:
    line, *fields = request.decode().rstrip("\r\n").split("\r\n")
    return line, dict(field.split(": ", 1) for field in fields)


def test_url() -> None:
    url = StreamURL.parse(URL)
    assert (url.host, url.port, url.tls, url.user, url.password) == ("::1", 8322, True, "user", "p@ss")
    assert url.text == "rtsps://[::1]:8322/ipc1-stream1/testlive?x=1"
    assert url.is_address
    assert not StreamURL.parse("rtsp://localhost/a").is_address
    assert [StreamURL.parse(f"{scheme}://h/a").port for scheme in ("rtsp", "rtsps")] == [554, 322]


@pytest.mark.parametrize("url", ["http://h/a", "rtsp:///a", "h/a", "", "rtsp://h:99999/a"])
def test_bad_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        StreamURL.parse(url)


@pytest.mark.parametrize("base", ["rtsp://h/ipc1/", "rtsp://h/ipc1"])
def test_tracks_have_absolute_urls_and_pairs_of_channels(base: str) -> None:
    assert parse_tracks(SDP, base) == [
        Track("rtsp://h/ipc1/trackID=0", "h264", 90_000, 0, 1),
        Track("rtsp://elsewhere/audio", "", 90_000, 2, 3),
        Track(base, "", 48_000, 4, 5),
    ]


def test_a_whole_conversation() -> None:
    session = Session(StreamURL.parse(URL))
    line, fields = head(session.start())
    assert line == "DESCRIBE rtsps://[::1]:8322/ipc1-stream1/testlive?x=1 RTSP/1.0"
    assert "Authorization" not in fields
    line, fields = head(answer(session, 'WWW-Authenticate: Digest realm="r", nonce="n"', status="401 Unauthorized"))
    assert (session.step, line.split()[0], fields["CSeq"]) == ("DESCRIBE with password", "DESCRIBE", "2")
    assert fields["Authorization"].startswith('Digest username="user", realm="r", nonce="n", uri="rtsps://[::1]:8322/')
    requests = [answer(session, "Content-Base: rtsps://h/base/", f"Content-Length: {len(SDP)}", body=SDP)]
    for channels in ("0-1", "2-3", "10-11"):
        requests.append(answer(session, f"Transport: RTP/AVP/TCP;interleaved={channels}", "Session: 77;timeout=30"))
    assert [head(request)[0] for request in requests] == [
        "SETUP rtsps://h/base/trackID=0 RTSP/1.0",
        "SETUP rtsp://elsewhere/audio RTSP/1.0",
        "SETUP rtsps://h/base/ RTSP/1.0",
        "PLAY rtsps://h/base/ RTSP/1.0",
    ]
    assert head(requests[0])[1]["Transport"] == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert "Session" not in head(requests[0])[1]
    assert head(requests[3])[1]["Session"] == "77"
    assert [(track.rtp_channel, track.rtcp_channel) for track in session.tracks] == [(0, 1), (2, 3), (10, 11)]
    assert answer(session, "RTP-Info: url=a;seq=5;rtptime=1,url=b;seq=6,url=c;seq=7;rtptime=3") == b""
    assert (session.playing, session.timeout_s, session.promised_sequences) == (True, 30, [5, 6, 7])
    assert head(session.keep_alive())[0] == "OPTIONS rtsps://h/base/ RTSP/1.0"
    assert answer(session) == b""
    session.keep_alive()
    with pytest.raises(RefusedError, match="playing: 454 Session Not Found"):
        answer(session, status="454 Session Not Found")
    session.teardown()
    answer(session, status="454 Session Not Found")
    assert session.step == "ended"


def test_requests_of_the_server_and_late_answers_are_passed_over() -> None:
    session = Session(StreamURL.parse("rtsp://h/a"))
    session.start()
    assert session.receive(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n") == b""
    assert session.receive(b"RTSP/1.0 404 Not Found\r\nCSeq: 0\r\n\r\n") == b""
    assert session.step == "DESCRIBE"
    assert parse_answer(b"RTSP/1.0 200\r\nA: b : c\r\na:d\r\n\r\nxy") is not None


def test_a_password_is_refused_once() -> None:
    session = Session(StreamURL.parse("rtsp://u:p@h/a"))
    session.start()
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="{}"{}'
    assert answer(session, challenge.format("1", ""), status="401 Unauthorized")
    assert answer(session, challenge.format("2", ", stale=true"), status="401 Unauthorized")
    with pytest.raises(RefusedError, match="DESCRIBE: 401 Unauthorized"):
        answer(session, challenge.format("3", ""), status="401 Unauthorized")


@pytest.mark.parametrize("fields", [(), ("Transport: RTP/AVP/TCP;interleaved=0-1",), ("Session: 5",)])
def test_setup_without_channels_or_session(fields: tuple[str, ...]) -> None:
    session = Session(StreamURL.parse("rtsp://h/a"))
    session.start()
    answer(session, body=SDP)
    with pytest.raises(RefusedError, match="SETUP: no interleaved"):
        answer(session, *fields)


def test_digest_of_rfc_2617_section_3_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "0a4f113b")
    authorization = Authorization(StreamURL.parse("rtsp://Mufasa:Circle%20Of%20Life@h/a"))
    assert authorization.accept(
        [
            'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        ]
    )
    header = authorization.header("GET", "/dir/index.html")
    assert 'response="6629fae49393a05397450978507c4ef1"' in header
    assert 'qop=auth, nc=00000001, cnonce="0a4f113b"' in header
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in header
    assert "nc=00000002" in authorization.header("GET", "/dir/index.html")


def test_digest_of_rfc_7616_section_3_9_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    authorization = Authorization(StreamURL.parse("rtsp://Mufasa:Circle%20of%20Life@h/a"))
    nonce, opaque = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    rest = f'algorithm=SHA-256, nonce="{nonce}", opaque="{opaque}"'
    assert authorization.accept([f'Digest realm="http-auth@example.org", qop="auth, auth-int", {rest}'])
    header = authorization.header("GET", "/dir/index.html")
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in header
    assert "algorithm=SHA-256" in header


def test_basic_only_inside_tls_and_after_digest() -> None:
    challenges = ['Digest realm="r", nonce="n", algorithm=SHA-512-256', 'Basic realm="r"']
    plain = Authorization(StreamURL.parse("rtsp://u:p@h/a"))
    secure = Authorization(StreamURL.parse("rtsps://u:p@h/a"))
    assert not plain.accept(challenges)
    assert secure.accept(challenges)
    assert secure.header("PLAY", "x") == "Basic dTpw"
    assert not secure.accept(challenges)
    both = Authorization(StreamURL.parse("rtsps://u:p@h/a"))
    assert both.accept(['Digest realm="r", nonce="n"', 'Basic realm="r"'])
    assert both.header("PLAY", "x").startswith("Digest ")
