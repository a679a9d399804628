"""ServerConnection: what a well-behaved client sees, who is asked what, when time runs out."""

from collections.abc import Callable

import pytest
from camfleet.core.rtsp import (
    Describe,
    LoginFailed,
    OtherCamera,
    Pause,
    Play,
    Refused,
    Setup,
    Teardown,
)
from camfleet.core.rtsp.errors import LocalProtocolError
from camfleet.core.rtsp.headers.range import Range
from camfleet.core.rtsp.headers.transport import Transport

from tests.kit.rtsp import (
    SDP,
    SECOND,
    START_NS,
    TCP,
    URL,
    Client,
    connection,
    digest,
    exchange,
    nonce_of,
    parse_replies,
    request,
)

PUBLIC = {"OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER"}


@pytest.fixture
def client() -> Client:
    return Client(connection())


class TestConversation:
    def test_from_options_to_teardown(self, client: Client) -> None:
        assert set(client.raw("OPTIONS").headers["public"].split(", ")) == PUBLIC
        first = client.raw("DESCRIBE")
        assert first.status == 401
        assert client.server.user is None
        client.nonce = nonce_of(first)
        described = client.ask("DESCRIBE", URL, "Accept: application/sdp")
        assert described.headers["content-type"] == "application/sdp"
        assert described.headers["content-base"] == URL + "/"
        assert described.body == SDP.encode()
        assert client.server.user == "viewer"
        track = URL + "/trackID=0"
        setup = client.ask("SETUP", track, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        assert setup.headers["transport"] == "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=1234ABCD"
        session = setup.headers["session"]
        assert session.endswith(";timeout=60")
        assert session == f"{client.server.session_id};timeout=60"
        assert len(str(client.server.session_id)) == 32
        assert "-" not in session
        played = client.ask("PLAY", URL + "/", "Range: npt=0.000-")
        assert played.headers["range"] == "npt=now-"
        assert played.headers["rtp-info"] == f"url={track};seq=4711;rtptime=90000"
        assert played.headers["session"] == session
        assert client.server.stream == "stream1"
        assert client.ask("GET_PARAMETER", URL + "/").status == 200
        assert client.ask("PAUSE", URL).status == 200
        assert client.ask("PLAY", URL).status == 200
        ended = client.ask("TEARDOWN", URL)
        assert ended.status == 200
        assert "session" not in ended.headers
        assert [client.server.session_id, client.server.stream] == [None, None]
        assert client.server.state == "init"
        assert client.events == [
            Describe("stream1"),
            Setup("stream1", 0, Transport((0, 1))),
            Play("stream1", Range("npt", 0.0, None)),
            Pause("stream1"),
            Play("stream1", None),
            Teardown("stream1"),
        ]
        assert client.server.at_boundary
        assert not client.server.should_close

    def test_another_session_after_teardown(self, client: Client) -> None:
        client.play()
        first = client.session
        client.ask("TEARDOWN")
        client.session = None
        client.play()
        assert client.session != first

    @pytest.mark.parametrize(
        ("url", "stream"),
        [
            ("rtsp://h/ipc1", "stream1"),
            ("rtsp://h/ipc1/", "stream1"),
            ("rtsp://h/ipc1-stream1", "stream1"),
            ("rtsps://h/ipc1-stream2/filelive", "stream2"),
            ("rtsps://h/ipc1-stream2/testlive", "stream2"),  # whatever its source is now: recorders keep their URLs
            ("rtsp://h//ipc1-stream2//", "stream2"),
            ("/ipc1-stream2", "stream2"),
        ],
    )
    def test_short_urls(self, client: Client, url: str, stream: str) -> None:
        client.play(url)
        assert client.server.stream == stream

    def test_content_base_and_rtp_info_are_the_clients_own_words(self, client: Client) -> None:
        """Interop 17, 18, 47; the query stays in the URL of SETUP only."""
        url = "RTSPS://User:Pass@Camera.Example:99/ipc1-stream1?a=1,2;3"
        described = client.ask("DESCRIBE", url)
        assert described.headers["content-base"] == "RTSPS://Camera.Example:99/ipc1-stream1/"
        client.ask("SETUP", url + "/trackID=0", f"Transport: {TCP}")
        info = client.ask("PLAY", url).headers["rtp-info"]
        assert info == "url=RTSPS://Camera.Example:99/ipc1-stream1?a=1%2C2%3B3/trackID=0;seq=4711;rtptime=90000"

    def test_a_path_alone_has_no_content_base_to_speak_of(self, client: Client) -> None:
        assert client.ask("DESCRIBE", "/ipc1").headers["content-base"] == "/ipc1/"

    def test_udp_first_is_refused_at_once_and_tcp_taken(self, client: Client) -> None:
        assert client.ask("SETUP", URL, "Transport: RTP/AVP;unicast;client_port=5000-5001").status == 461
        assert client.events == []
        reply = client.ask("SETUP", URL, "Transport: RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP")
        assert reply.headers["transport"].startswith("RTP/AVP/TCP;unicast;interleaved=0-1")

    def test_other_channels(self, client: Client) -> None:
        reply = client.ask("SETUP", URL, "Transport: RTP/AVP/TCP;unicast;interleaved=6-7")
        assert "interleaved=6-7" in reply.headers["transport"]

    def test_second_play_is_a_keep_alive(self, client: Client) -> None:
        client.play()
        count = len(client.events)
        reply = client.ask("PLAY", URL, "Scale: 2.0")
        assert (reply.status, reply.headers["range"], reply.headers["scale"]) == (200, "npt=now-", "1.0")
        assert "rtp-info" not in reply.headers
        assert len(client.events) == count

    def test_play_without_numbers_has_no_rtp_info(self, client: Client) -> None:
        client.ask("SETUP", URL, f"Transport: {TCP}")
        server = client.server
        server.receive_data(request("PLAY", URL, client.authorization("PLAY")), START_NS)
        assert server.next_event(START_NS) == Play("stream1", None)
        server.accept_play(None, None, "clock=20260101T000000Z-")
        (reply,) = parse_replies(server.data_to_send())
        assert "rtp-info" not in reply.headers
        assert reply.headers["range"] == "clock=20260101T000000Z-"

    def test_session_header_with_timeout_comes_back(self, client: Client) -> None:
        """Larix #815."""
        client.play()
        assert client.ask("GET_PARAMETER", URL, f"Session: {client.session};timeout=60").status == 200

    def test_session_header_may_be_left_out(self, client: Client) -> None:
        """Interop 37."""
        client.play()
        client.session = None
        for method in ("PLAY", "PAUSE", "SETUP", "GET_PARAMETER", "TEARDOWN"):
            assert client.ask(method, URL, f"Transport: {TCP}").status == 200

    @pytest.mark.parametrize(
        ("method", "body", "status", "content_type"),
        [
            ("GET_PARAMETER", b"", 200, None),
            ("GET_PARAMETER", b"position\r\n", 200, "text/parameters"),
            ("SET_PARAMETER", b"", 200, None),
            ("SET_PARAMETER", b"a: b\r\n", 451, None),
            ("OPTIONS", b"", 200, None),
        ],
    )
    def test_keep_alives(self, client: Client, method: str, body: bytes, status: int, content_type: str | None) -> None:
        client.play()
        reply = client.ask(method, URL, body=body)
        assert (reply.status, reply.headers.get("content-type")) == (status, content_type)
        if status == 200:
            assert reply.headers["session"] == f"{client.session};timeout=60"

    @pytest.mark.parametrize(("server", "header"), [("camfleet", "camfleet"), ("x/2", "x/2"), (None, None)])
    def test_server_header(self, server: str | None, header: str | None) -> None:
        assert Client(connection(server=server)).raw("OPTIONS").headers.get("server") == header

    def test_describe_twice_accumulates_nothing(self, client: Client) -> None:
        first, second = (client.ask("DESCRIBE") for _ in range(2))
        assert first.head.replace("CSeq: 2", "CSeq: 3") == second.head

    def test_refusals_by_the_caller(self, client: Client) -> None:
        server = client.server
        lines = {method: client.authorization(method) for method in ("DESCRIBE", "SETUP")}
        server.receive_data(request("DESCRIBE", URL, lines["DESCRIBE"]), START_NS)
        server.next_event(START_NS)
        server.refuse(503)
        server.receive_data(request("SETUP", URL, lines["SETUP"], f"Transport: {TCP}", cseq=2), START_NS)
        assert isinstance(server.next_event(START_NS), Setup)
        server.refuse(453)
        busy, full = parse_replies(server.data_to_send())
        assert busy.head.startswith("RTSP/1.0 503 Service Unavailable\r\nCSeq: 1\r\n")
        assert full.head.startswith("RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: 2\r\n")
        assert (server.session_id, server.state) == (None, "init")
        client.play()


class TestAnswers:
    """Ours to get wrong: LocalProtocolError, never bytes."""

    def test_without_an_event(self, client: Client) -> None:
        server = client.server
        answers: list[Callable[[], None]] = [
            lambda: server.describe(SDP),
            lambda: server.accept_setup((0, 1), 1),
            lambda: server.accept_play(1, 2, ""),
            server.accept,
            lambda: server.refuse(404),
            server.unknown_camera,
        ]
        for wrong in answers:
            with pytest.raises(LocalProtocolError):
                wrong()
        assert server.data_to_send() == b""

    def test_to_another_event(self, client: Client) -> None:
        server = client.server
        server.receive_data(request("DESCRIBE", URL, client.authorization("DESCRIBE")), START_NS)
        event = server.next_event(START_NS)
        with pytest.raises(LocalProtocolError):
            server.accept()
        with pytest.raises(LocalProtocolError):
            server.unknown_camera()
        assert event == Describe("stream1")
        server.describe(SDP)
        with pytest.raises(LocalProtocolError):
            server.describe(SDP)

    @pytest.mark.parametrize("range_", ["a\r\nb", "caf\xe9", "\x1b"])
    def test_that_would_break_out_of_its_line(self, client: Client, range_: str) -> None:
        server = client.server
        client.ask("SETUP", URL, f"Transport: {TCP}")
        server.receive_data(request("PLAY", URL, client.authorization("PLAY")), START_NS)
        assert isinstance(server.next_event(START_NS), Play)
        with pytest.raises(LocalProtocolError):
            server.accept_play(1, 2, range_)
        assert server.data_to_send() == b""


class TestOtherCamera:
    OTHER = URL.replace("ipc1", "ipc2")

    def test_of_a_worker(self, client: Client) -> None:
        server = client.server
        client.nonce = nonce_of(client.raw("DESCRIBE"))
        before = request("OPTIONS")
        raw = request("DESCRIBE", self.OTHER, digest("DESCRIBE", self.OTHER, client.nonce)) + request("OPTIONS")[:20]
        consumed = server.consumed
        server.receive_data(before + raw, START_NS)
        assert server.next_event(START_NS) == OtherCamera("ipc2", raw)
        assert server.consumed == consumed + len(before)
        assert not server.at_boundary
        server.receive_data(b"late", START_NS)
        assert server.leftover == raw + b"late"
        assert server.next_event(START_NS) is None
        assert server.next_deadline() is None
        (reply,) = parse_replies(server.data_to_send())
        assert reply.status == 200

    def test_a_stranger_stays(self, client: Client) -> None:
        """Or he would keep the supervisor busy, and no time-out of a login would ever end."""
        client.nonce = nonce_of(client.raw("DESCRIBE", self.OTHER))
        wrong = digest("DESCRIBE", self.OTHER, client.nonce, password="guessed")
        assert client.raw("DESCRIBE", self.OTHER, wrong).status == 401
        assert client.events == [LoginFailed("viewer")]
        assert client.server.at_boundary

    def test_given_away_and_back(self) -> None:
        """What one connection gives away the next one answers as if it had read it itself."""
        supervisor = connection(camera=None, streams=())
        worker = connection()
        raw = request("DESCRIBE")
        events, output = [], b""
        for i in range(len(raw)):
            supervisor.receive_data(raw[i : i + 1], START_NS)
            if event := supervisor.next_event(START_NS):
                events.append(event)
        output = supervisor.data_to_send()
        assert events == [OtherCamera("ipc1", raw)]
        assert output == b""
        _, output = exchange(worker, [raw])
        assert parse_replies(output)[0].status == 401

    def test_options_to_a_worker_needs_nobody(self, client: Client) -> None:
        assert client.raw("OPTIONS", self.OTHER).status == 200
        assert client.events == []

    @pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN", "GET_PARAMETER"])
    def test_every_path_with_a_camera_for_the_supervisor(self, method: str) -> None:
        for url in ("rtsp://h/ipc1", "/x", URL, URL + "/too/long"):
            server = connection(camera=None, streams=())
            server.receive_data(request(method, url), START_NS)
            assert isinstance(server.next_event(START_NS), OtherCamera)

    @pytest.mark.parametrize(
        ("method", "url", "status"),
        [
            ("OPTIONS", "*", 200),
            ("OPTIONS", "rtsp://h/", 200),
            ("DESCRIBE", "rtsp://h/", 401),
            ("DESCRIBE", "rtsp://h/..", 401),
            ("GET_PARAMETER", "*", 401),
            ("FROBNICATE", URL, 501),
            ("ANNOUNCE", "*", 405),
            ("REDIRECT", URL, 405),
        ],
    )
    def test_paths_without_a_camera_are_answered_by_the_supervisor(self, method: str, url: str, status: int) -> None:
        client = Client(connection(camera=None, streams=()))
        assert client.raw(method, url).status == status
        assert client.events == []

    @pytest.mark.parametrize(
        ("method", "url", "status"),
        [
            ("DESCRIBE", "rtsp://h/", 404),
            ("SETUP", "*", 404),
            ("PLAY", "//trackID=0", 404),
            ("GET_PARAMETER", "*", 200),
        ],
    )
    def test_and_with_a_login_too(self, method: str, url: str, status: int) -> None:
        client = Client(connection(camera=None, streams=()))
        client.nonce = nonce_of(client.raw("DESCRIBE", "rtsp://h/"))
        reply = client.raw(method, url, digest(method, url, client.nonce, uri=URL))
        assert reply.status == status
        assert client.events == []

    @pytest.mark.parametrize("camera", [None, "ipc1"], ids=["supervisor", "worker"])
    @pytest.mark.parametrize("method", ["DESCRIBE", "SETUP", "PLAY", "TEARDOWN", "GET_PARAMETER"])
    def test_unknown_camera(self, camera: str | None, method: str) -> None:
        """Interop 66: 404 is for those who may know."""
        client = Client(connection(camera=camera, streams=("stream1",) if camera else ()))
        assert client.raw(method, self.OTHER).status == 401
        wrong = Client(client.server, password="wrong")
        wrong.nonce = nonce_of(client.raw(method, self.OTHER))
        assert wrong.ask(method, self.OTHER).status == 401
        assert wrong.events[-1] == LoginFailed("viewer")
        assert "404 Not Found: there is no such camera" in client.ask(method, self.OTHER).head
        assert client.events[-1] == Refused(self.OTHER, "there is no such camera")
        assert client.server.at_boundary
        assert not client.server.should_close

    def test_options_of_an_unknown_camera_tells_nothing(self) -> None:
        assert Client(connection(camera=None, streams=())).raw("OPTIONS", self.OTHER).status == 200

    def test_404_of_a_known_camera_after_login_only(self, client: Client) -> None:
        no_kind, no_stream = "the last part of the URL is no kind of source", "the camera has no such stream"
        for url, reason in (
            (URL + "x", no_kind),
            ("rtsp://h/ipc1-stream9", no_stream),
            ("rtsp://h/ipc1-stream1/nolive", no_kind),
            ("rtsp://h/ipc1/a/b/c", ""),
        ):
            stranger = Client(connection())
            assert stranger.raw("DESCRIBE", url).status == 401
            assert stranger.events == []
            client.events.clear()
            assert client.ask("DESCRIBE", url).status == 404
            assert client.events == ([Refused(url, reason)] if reason else [])


class TestTime:
    def test_first_request(self) -> None:
        server = connection(first_request_timeout_s=3)
        assert server.next_deadline() == START_NS + 3 * SECOND
        exchange(server, [request("OPTIONS")], START_NS + 2 * SECOND)
        assert server.next_deadline() == START_NS + 30 * SECOND

    def test_empty_lines_and_frames_do_not_move_the_first_request(self) -> None:
        server = connection()
        exchange(server, [b"\r\n\r\n"], START_NS + 9 * SECOND)
        assert server.next_deadline() == START_NS + 10 * SECOND

    def test_keep_alive_newlines_between_requests_are_not_half_a_request(self, client: Client) -> None:
        client.play()
        client.send(b"\r", b"\n")
        assert client.server.next_deadline() == START_NS + 70 * SECOND

    @pytest.mark.parametrize("start", [b"OPTIONS * RT", request("GET_PARAMETER", body=b"ab")[:-1], b"$\x00\xff\xffabc"])
    def test_a_message_has_one_deadline(self, client: Client, start: bytes) -> None:
        client.play()
        client.now_ns = START_NS + 5 * SECOND
        client.send(*(start[i : i + 1] for i in range(len(start))))
        client.now_ns = START_NS + 12 * SECOND
        client.send()
        assert client.server.next_deadline() == START_NS + 15 * SECOND
        client.server.handle_timeout(START_NS + 15 * SECOND)
        assert client.server.should_close
        (reply,) = parse_replies(client.server.data_to_send())
        assert (reply.status, reply.cseq) == (408, None)

    def test_a_request_behind_an_open_question_has_no_deadline(self, client: Client) -> None:
        server = client.server
        server.receive_data(request("DESCRIBE", URL, client.authorization("DESCRIBE")) + b"OPT", START_NS)
        assert isinstance(server.next_event(START_NS), Describe)
        assert server.next_deadline() is None
        server.handle_timeout(START_NS + 3600 * SECOND)
        assert not server.should_close
        server.describe(SDP)
        assert server.next_event(START_NS + 20 * SECOND) is None
        assert server.next_deadline() == START_NS + 30 * SECOND

    @pytest.mark.parametrize(
        "life", [request("OPTIONS"), request("GET_PARAMETER"), b"$\x01\x00\x04abcd"], ids=["OPTIONS", "GET", "RTCP"]
    )
    def test_requests_and_rtcp_are_life(self, client: Client, life: bytes) -> None:
        """More is enforced than the 60 s that are advertised: Media Foundation comes at the limit."""
        client.play()
        for _ in range(5):
            client.now_ns += 69 * SECOND
            client.server.handle_timeout(client.now_ns)
            assert not client.server.should_close
            client.send(life)
        client.server.handle_timeout(client.now_ns + 70 * SECOND)
        assert client.server.should_close

    def test_life_seen_elsewhere(self, client: Client) -> None:
        client.play()
        client.server.alive(START_NS + 50 * SECOND)
        client.server.alive(START_NS)  # an older report does not take it back
        assert client.server.next_deadline() == START_NS + 120 * SECOND

    def test_session_timeout_is_advertised(self) -> None:
        client = Client(connection(session_timeout_s=20))
        assert client.ask("SETUP", URL, f"Transport: {TCP}").headers["session"].endswith(";timeout=20")
        assert client.server.next_deadline() == START_NS + 30 * SECOND


def test_consumed_and_boundary() -> None:
    """What FanOut.consumed wants to know: the engine may take over a `$` frame only at a boundary."""
    client = Client(connection())
    server = client.server
    first = request("OPTIONS") + b"$\x00\x00\x01x"
    client.send(first)
    assert (server.consumed, server.at_boundary) == (len(first), True)
    client.send(b"$\x00")
    assert (server.consumed, server.at_boundary) == (len(first), False)
    client.send(b"\x00\x01y")
    assert (server.consumed, server.at_boundary) == (len(first) + 5, True)
    client.send(b"\r\n\x80")
    assert (server.consumed, server.at_boundary) == (len(first) + 8, True)


def test_session_ids_are_not_guessable() -> None:
    ids = set()
    for _ in range(100):
        client = Client(connection())
        client.ask("SETUP", URL, f"Transport: {TCP}")
        assert client.session is not None
        assert int(client.session, 16) >= 0
        ids.add(client.session)
    assert len(ids) == 100
    assert len({session[:16] for session in ids}) == 100
