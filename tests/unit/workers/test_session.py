"""workers/session with a fake engine and virtual time: what each request makes the engine and the pipeline do."""

import logging
import os
import re

import pytest
from camfleet.core.net.fanout import Closed, Ready, Received, Released
from camfleet.core.wire import HandoffRecord, UserSpec
from camfleet.core.wire.control import (
    Adopted,
    Ended,
    HandBack,
    LoggedIn,
    LoginFailed,
    Refused,
    TLSInfo,
)
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.workers.adopt import Handoff
from camfleet.workers.codecs import Description
from camfleet.workers.session.rtsp_session import DESCRIBE_TIMEOUT_NS, PLAY_TIMEOUT_NS, RTSPSession

from tests.kit.access_units import H265_PPS, H265_SPS, H265_VPS
from tests.kit.live_camera import TLS, URL, Camera, S, reply, request, session_of, statuses
from tests.kit.rtsp import user
from tests.kit.supervisor import connection, readers_of

# ---------------------------------------------------------------- adoption


def test_the_request_that_named_the_camera_is_answered_first() -> None:
    camera = Camera()
    client = camera.client(received=request("DESCRIBE"))
    commands = camera.engine.take()
    assert [command[0] for command in commands] == ["adopt", "send"]
    assert commands[0][3:] == (b"exported", b"unread", True)
    assert statuses(commands) == [200]
    assert camera.news == [Adopted(handoff=77), LoggedIn(handoff=77)]
    assert camera.engine.parsed[client.id] == (0, True)  # it has delivered nothing yet, and we stand at a boundary


def test_a_connection_on_which_nothing_was_read_stands_at_a_boundary() -> None:
    camera = Camera()
    camera.client(received=b"")
    ((_, _, _, _, _, in_text),) = camera.engine.take()
    assert not in_text


def test_only_the_engines_bytes_are_counted_as_parsed() -> None:
    camera = Camera()
    whole = request("OPTIONS", "*")
    client = camera.client(received=whole[:20])
    assert camera.engine.parsed[client.id] == (0, False)
    assert statuses(client.send(whole[20:])) == [200]
    assert camera.engine.parsed[client.id] == (len(whole) - 20, True)
    client.send(whole + whole[:5])
    total, at_boundary = camera.engine.parsed[client.id]
    assert not at_boundary
    assert 2 * len(whole) - 20 <= total <= 2 * len(whole) - 20 + 5
    assert statuses(client.send(whole[5:])) == [200]
    assert camera.engine.parsed[client.id] == (3 * len(whole) - 20, True)


def test_a_session_that_cannot_be_imported_is_refused_and_its_descriptor_closed() -> None:
    camera = Camera()
    camera.engine.adoptable = False
    read_end, write_end = os.pipe()
    record = HandoffRecord(HANDOFF_VERSION, 5, b"bad")
    camera.registry.adopt(Handoff(connection(5), b"", record, read_end), camera.now_ns)
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)
    assert camera.news == [Refused(handoff=5, reason="the TLS session cannot be imported")]
    assert not camera.registry.knows(5)


def test_a_closed_client_is_forgotten_and_reported() -> None:
    camera = Camera()
    client = camera.client()
    client.play()
    assert camera.registry.knows(77)
    camera.registry.dispatch([Closed(client.id, "closed by the peer", "", 5000, 50, 0)], camera.now_ns)
    assert camera.news[-1] == Ended(handoff=77, reason="closed by the peer")
    assert len(camera.registry) == 0
    assert not camera.registry.knows(77)
    assert camera.pipelines["stream1"].wanted == 0
    camera.registry.dispatch([Received(client.id, b"late"), Ready(client.id, 1, 1, 1)], camera.now_ns)  # nobody's


def test_the_ends_and_failed_logins_of_strangers_have_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    camera = Camera()
    for handoff in range(5):
        client = camera.client(handoff=handoff)
        client.ask("DESCRIBE", login="viewer:guessed")
        camera.registry.dispatch([Closed(client.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    known = camera.client()
    known.ask("DESCRIBE")
    camera.registry.dispatch([Closed(known.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    alerted = camera.client()
    camera.registry.dispatch([Closed(alerted.id, "alert", "unknown_ca", 0, 0, 0)], camera.now_ns)
    camera.now_ns += S
    late = camera.client()
    camera.registry.dispatch([Closed(late.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    lines = [(record.getMessage(), vars(record)["fields"]) for record in caplog.records]
    assert {str(fields["peer"]) for _, fields in lines} == {"192.0.2.1:40000"}
    assert [(event, fields["user"], fields.get("detail"), fields["suppressed"]) for event, fields in lines] == [
        ("login_failed", "viewer", None, 0),
        ("closed", "", "", 0),
        ("closed", "viewer", "", 0),
        ("closed", "", "unknown_ca", 0),
        ("closed", "", "", 4),
    ]


def test_the_first_login_on_a_connection_is_news() -> None:
    camera = Camera()
    client = camera.client()
    client.ask("OPTIONS")
    client.ask("DESCRIBE", login="viewer:guessed")
    assert LoggedIn(handoff=77) not in camera.news
    client.ask("DESCRIBE")
    client.ask("DESCRIBE", login="other:word")
    assert camera.news.count(LoggedIn(handoff=77)) == 1


# ---------------------------------------------------------------- DESCRIBE


def test_describe_tells_the_parameter_sets() -> None:
    text = reply(Camera().client().ask("DESCRIBE"))
    assert "profile-level-id=42C01F" in text
    assert "s=Lobby\r\n" in text
    assert "m=video 0 RTP/AVP 96\r\n" in text
    assert "a=x-dimensions:1280,720\r\n" in text


def test_describe_waits_for_the_parameter_sets_and_keeps_the_pipeline_running_meanwhile() -> None:
    camera = Camera()
    pipeline = camera.pipelines["stream1"]
    known, pipeline.description = pipeline.description, None
    client = camera.client()
    assert statuses(client.ask("DESCRIBE")) == []
    assert statuses(client.ask("OPTIONS")) == []  # behind it in the queue
    assert pipeline.wanted == 1
    camera.registry.stream_changed(camera.now_ns)
    assert camera.engine.take() == []
    pipeline.description = known
    camera.registry.stream_changed(camera.now_ns)
    assert statuses(camera.engine.take()) == [200, 200]
    assert pipeline.wanted == 0


def test_a_client_that_has_said_its_last_word_has_its_answers_before_the_goodbye() -> None:
    camera = Camera()
    pipeline = camera.pipelines["stream1"]
    known, pipeline.description = pipeline.description, None
    client = camera.client()
    assert statuses(client.ask("DESCRIBE")) == []
    assert camera.engine.parsed[client.id][1] is False  # the engine shall ask before it closes
    assert client.send(b"") == []
    pipeline.description = known
    camera.registry.stream_changed(camera.now_ns)
    (said,) = camera.engine.take()
    assert said[0] == "close"
    assert statuses([said]) == [200]


@pytest.mark.parametrize("how", ["too late", "failed"])
def test_describe_of_a_stream_that_does_not_come_is_503(how: str) -> None:
    camera = Camera()
    pipeline = camera.pipelines["stream1"]
    pipeline.description = None
    client = camera.client()
    client.ask("DESCRIBE")
    if how == "failed":
        pipeline.state = "failed: no such file"
        camera.registry.stream_changed(camera.now_ns)
    else:
        camera.now_ns += DESCRIBE_TIMEOUT_NS - 1
        camera.registry.tick(camera.now_ns)
        assert camera.engine.take() == []
        camera.now_ns += 1
        camera.registry.tick(camera.now_ns)
    assert statuses(camera.engine.take()) == [503]
    assert pipeline.wanted == 0
    assert statuses(client.ask("OPTIONS")) == [200]


def test_a_client_that_leaves_while_its_describe_waits_keeps_no_pipeline_running() -> None:
    camera = Camera()
    camera.pipelines["stream1"].description = None
    client = camera.client()
    client.ask("DESCRIBE")
    camera.registry.dispatch([Closed(client.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    assert camera.pipelines["stream1"].wanted == 0


def test_a_description_that_changes_gets_a_higher_version() -> None:
    camera = Camera()
    client = camera.client()

    def version() -> int:
        match = re.search(r"o=- \d+ (\d+) ", reply(client.ask("DESCRIBE")))
        assert match is not None
        return int(match[1])

    first = version()
    assert version() == first
    pipeline = camera.pipelines["stream1"]
    assert pipeline.description is not None
    pipeline.description = type(pipeline.description)(640, 360, 15, pipeline.description.parameter_sets)
    assert version() == first + 1


def test_describe_of_another_stream_leaves_the_one_that_plays_running() -> None:
    camera = Camera()
    client = camera.client()
    client.play()
    assert statuses(client.ask("DESCRIBE", URL.replace("stream1", "stream2"))) == [200]
    assert camera.pipelines["stream1"].wanted == 1
    assert camera.pipelines["stream2"].wanted == 0


# ---------------------------------------------------------------- SETUP


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=0-1", "interleaved=0-1"),
        ("RTP/AVP/TCP;unicast;interleaved=6-7", "interleaved=6-7"),
        ("RTP/AVP/TCP;unicast", "interleaved=0-1"),
        ("RTP/AVP/TCP;unicast;interleaved=5-9", "interleaved=0-1"),
        ("RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;interleaved=2-3", "interleaved=2-3"),
    ],
)
def test_setup_answers_with_channels_and_ssrc_and_plays_on_them(asked: str, given: str) -> None:
    camera = Camera()
    client = camera.client()
    commands = client.ask("SETUP", URL + "/trackID=0", f"Transport: {asked}")
    text = reply(commands)
    assert given in text
    assert "ssrc=000000A1" in text
    channels = tuple(int(number) for number in re.findall(r"interleaved=(\d+)-(\d+)", given)[0])
    commands = client.ask("PLAY", URL, session_of(commands))
    assert commands[-1] == ("prepare", client.id, camera.media["stream1"], *channels, "")


def test_setup_is_453_when_every_seat_is_taken_and_200_when_one_is_free_again() -> None:
    camera = Camera(max_sessions=2)
    clients = [camera.client(handoff=number) for number in range(4)]
    assert [statuses(client.set_up()) for client in clients] == [[200], [200], [453], [453]]
    assert statuses(clients[0].set_up()) in ([200], [455])  # not a second seat
    assert statuses(clients[0].ask("TEARDOWN", URL, clients[0].session)) == [200]
    assert statuses(clients[2].set_up()) == [200]
    camera.registry.dispatch([Closed(clients[1].id, "connection lost", "", 0, 0, 0)], camera.now_ns)
    assert statuses(clients[3].set_up()) == [200]


# ---------------------------------------------------------------- PLAY, PAUSE, TEARDOWN


def test_play_is_answered_with_the_first_packet_of_this_reader_and_the_media_follows() -> None:
    camera = Camera()
    client = camera.client()
    client.set_up()
    commands = client.ask("PLAY", URL, client.session, "Range: npt=0.000-")
    assert [command[0] for command in commands] == ["prepare"]
    assert camera.pipelines["stream1"].wanted == 1
    commands = client.ready(sequence=4711, rtp_timestamp=123456)
    assert [command[0] for command in commands] == ["play"]
    text = reply(commands)
    assert "seq=4711" in text
    assert "rtptime=123456" in text
    assert "Range: npt=now-" in text
    assert readers_of(camera.registry.stats(1, camera.now_ns))[0].state == "playing"


def test_answers_keep_their_order_around_play() -> None:
    camera = Camera()
    client = camera.client()
    client.set_up()
    pipelined = request("OPTIONS", URL, cseq=7) + request("PLAY", URL, client.session, cseq=8)
    commands = client.send(pipelined + request("OPTIONS", URL, cseq=9))
    assert [command[0] for command in commands] == ["prepare", "send"]
    assert "CSeq: 7" in reply(commands)
    commands = client.ready()
    assert [command[0] for command in commands] == ["play", "send"]
    assert "CSeq: 8" in reply(commands[:1])
    assert "CSeq: 9" in reply(commands[1:])


def test_a_second_play_is_a_keep_alive() -> None:
    camera = Camera()
    client = camera.client()
    client.play()
    commands = client.ask("PLAY", URL, client.session)
    assert [command[0] for command in commands] == ["send"]
    assert statuses(commands) == [200]
    assert camera.pipelines["stream1"].wanted == 1


@pytest.mark.parametrize("how", ["too late", "failed"])
def test_play_without_a_picture_is_503(how: str) -> None:
    camera = Camera()
    client = camera.client()
    client.set_up()
    client.ask("PLAY", URL, client.session)
    camera.registry.stream_changed(camera.now_ns)
    assert camera.engine.take() == []
    if how == "failed":
        camera.pipelines["stream1"].state = "failed: no such file"
        camera.registry.stream_changed(camera.now_ns)
    else:
        camera.now_ns += PLAY_TIMEOUT_NS
        camera.registry.tick(camera.now_ns)
    commands = camera.engine.take()
    assert [command[0] for command in commands] == ["pause", "send"]
    assert statuses(commands) == [503]
    assert camera.pipelines["stream1"].wanted == 0
    assert client.ready() == []  # the frame that came a moment too late


def test_a_second_play_is_not_answered_with_what_was_ready_for_the_first() -> None:
    """The first was given up while its Ready was under way: the engine is not ready for the second."""
    camera = Camera()
    client = camera.client()
    client.set_up()
    client.ask("PLAY", URL, client.session)
    client.ask("PLAY", URL, client.session)  # behind it in the queue
    camera.now_ns += PLAY_TIMEOUT_NS
    camera.registry.tick(camera.now_ns)
    commands = camera.engine.take()
    assert [command[0] for command in commands] == ["pause", "prepare", "send"]
    assert statuses(commands) == [503]
    assert client.ready(preparation=1) == []
    assert statuses(client.ready(preparation=2)) == [200]


def test_a_stream_that_fails_keeps_its_readers() -> None:
    """The pipeline tries again by itself; numbering goes on where it was."""
    camera = Camera()
    client = camera.client()
    client.play()
    camera.pipelines["stream1"].state = "failed: connection lost"
    camera.registry.stream_changed(camera.now_ns)
    assert camera.engine.take() == []
    assert camera.pipelines["stream1"].wanted == 1


def test_play_says_which_codec_the_client_was_told() -> None:
    camera = Camera()
    client = camera.client()
    client.ask("DESCRIBE", "rtsps://192.0.2.7/ipc1-stream2/testlive")
    client.set_up()
    assert client.ask("PLAY", URL, client.session)[-1] == ("prepare", client.id, camera.media["stream1"], 0, 1, "")
    client = camera.client(handoff=78)
    client.ask("DESCRIBE", URL)
    client.set_up()
    assert client.ask("PLAY", URL, client.session)[-1][-1] == "h264"


@pytest.mark.parametrize("before", ["set up", "paused", "torn down"])
def test_a_session_of_another_codec_has_ended_when_it_plays(before: str) -> None:
    """The stream has changed while nothing was sent to this client: it must ask anew what there is."""
    camera = Camera(max_sessions=1)
    client = camera.client()
    client.ask("DESCRIBE", URL)
    client.set_up()
    if before == "paused":
        client.ask("PLAY", URL, client.session)
        client.ready()
        client.ask("PAUSE", URL, client.session)
    elif before == "torn down":
        client.ask("TEARDOWN", URL, client.session)
        client.set_up()
    camera.media["stream1"].codec = "h265"
    commands = client.ask("PLAY", URL, client.session)
    assert [command[0] for command in commands] == ["close"]
    assert statuses(commands) == [454]
    assert camera.pipelines["stream1"].wanted == 0
    camera.registry.dispatch([Closed(client.id, "closed by the server", "", 0, 0, 0)], camera.now_ns)
    assert statuses(camera.client(handoff=78).set_up()) == [200]  # its seat is free


def test_a_codec_that_is_known_when_the_source_opens_is_another_one() -> None:
    camera = Camera()
    client = camera.client()
    client.ask("DESCRIBE", URL)
    client.set_up()
    client.ask("PLAY", URL, client.session)
    camera.media["stream1"].codec = "h265"
    camera.registry.stream_changed(camera.now_ns)
    commands = camera.engine.take()
    assert [command[0] for command in commands] == ["close"]
    assert statuses(commands) == [454]
    assert client.ready() == []


def test_a_session_that_is_told_the_new_codec_plays_it() -> None:
    camera = Camera()
    client = camera.client()
    client.ask("DESCRIBE", URL)
    camera.media["stream1"].codec = "h265"
    camera.pipelines["stream1"].description = Description(1280, 720, 30, (H265_VPS, H265_SPS, H265_PPS), "h265")
    text = reply(client.ask("DESCRIBE", URL))
    assert "a=rtpmap:96 H265/90000\r\n" in text
    client.set_up()
    assert client.ask("PLAY", URL, client.session)[-1][-1] == "h265"


def test_pause_and_play_again() -> None:
    camera = Camera()
    client = camera.client()
    client.play()
    commands = client.ask("PAUSE", URL, client.session)
    assert [command[0] for command in commands] == ["pause", "send"]
    assert statuses(commands) == [200]
    assert camera.pipelines["stream1"].wanted == 0
    assert readers_of(camera.registry.stats(1, camera.now_ns))[0].state == "paused"
    assert client.ask("PLAY", URL, client.session)[-1][0] == "prepare"
    assert statuses(client.ready()) == [200]
    assert camera.pipelines["stream1"].wanted == 1
    assert readers_of(camera.registry.stats(1, camera.now_ns))[0].state == "playing"


def test_teardown_says_bye_first_and_the_connection_stays() -> None:
    camera = Camera()
    client = camera.client()
    client.play()
    commands = client.ask("TEARDOWN", URL, client.session)
    assert [command[0] for command in commands] == ["end", "send"]
    assert statuses(commands) == [200]
    assert camera.pipelines["stream1"].wanted == 0
    assert readers_of(camera.registry.stats(1, camera.now_ns)) == []
    assert statuses(client.play()) == [200]


# ---------------------------------------------------------------- time


def test_a_reader_that_only_acknowledges_lives_and_a_silent_one_ends() -> None:
    camera = Camera()
    silent, listening = camera.client(handoff=1), camera.client(handoff=2)
    for client in (silent, listening):
        client.play()
    closed_at_s = None
    for second in range(1, 200):
        camera.now_ns += S
        camera.engine.alive_ns[listening.id] = camera.now_ns
        camera.registry.tick(camera.now_ns)
        closed = [command[1] for command in camera.engine.take() if command[0] == "close"]
        if closed:
            assert closed == [silent.id]
            assert closed_at_s is None
            closed_at_s = second
    assert closed_at_s is not None
    assert 60 < closed_at_s <= 90  # enforced later than advertised (interop 42)


def test_close_all_says_goodbye_to_everybody_and_takes_nobody_new() -> None:
    camera = Camera()
    clients = [camera.client(handoff=number) for number in range(3)]
    clients[0].play()
    camera.engine.take()
    camera.registry.close_all()
    assert sorted(camera.engine.take()) == [("close", client.id, b"") for client in clients]
    assert clients[0].ask("OPTIONS") == []
    read_end, write_end = os.pipe()
    os.close(write_end)
    camera.registry.adopt(Handoff(connection(9), b"", HandoffRecord(HANDOFF_VERSION, 9, b""), read_end), camera.now_ns)
    assert camera.news[-1] == Refused(handoff=9, reason="the camera is being closed")


# ---------------------------------------------------------------- users


@pytest.mark.parametrize(
    "users", [[user("other", "word")], [user("viewer", "new"), user("other", "word")]], ids=["removed", "new password"]
)
def test_who_has_lost_his_credentials_is_sent_away_and_others_stay(users: list[UserSpec]) -> None:
    camera = Camera()
    revoked, stays, nobody = camera.client(handoff=1), camera.client(handoff=2), camera.client(handoff=3)
    revoked.play()
    assert statuses(stays.ask("DESCRIBE", login="other:word")) == [200]
    nobody.ask("OPTIONS", login="")
    assert camera.configure(users=users) == [("close", revoked.id, b"")]
    assert statuses(stays.ask("DESCRIBE", login="other:word")) == [200]
    assert statuses(nobody.ask("DESCRIBE", login="viewer:secret")) == [401]


def test_a_client_certificate_is_a_login() -> None:
    """While there is such a user; what it was verified by is the supervisor's business."""
    camera = Camera()
    tls = TLSInfo(version="TLSv1.3", suite="", client_user="viewer", client_authority="A")
    known, stranger = camera.client(handoff=1, tls=tls), camera.client(handoff=2)
    assert statuses(known.ask("DESCRIBE", login="")) == [200]
    assert statuses(stranger.ask("DESCRIBE", login="")) == [401]
    assert LoggedIn(handoff=1) in camera.news
    assert camera.configure(users=[user("other", "word")]) == [("close", known.id, b"")]


def test_a_failed_login_is_news_and_a_lock_from_elsewhere_is_honoured() -> None:
    camera = Camera()
    client = camera.client()
    assert statuses(client.ask("DESCRIBE", login="")) == [401]
    assert camera.news == [Adopted(handoff=77)]  # the first request without credentials is no failure
    assert statuses(client.ask("DESCRIBE", login="viewer:wrong")) == [401]
    assert camera.news[1:] == [LoginFailed(address="192.0.2.1", user="viewer")]
    camera.registry.lockout.lock("192.0.2.1", "viewer", 30, camera.now_ns)
    assert statuses(client.ask("DESCRIBE")) != [200]
    camera.now_ns += 31 * S
    other = camera.client(handoff=78)
    assert statuses(other.ask("DESCRIBE")) == [200]


def test_a_password_in_the_clear_counts_inside_tls_only() -> None:
    camera = Camera()
    assert statuses(camera.client(handoff=1).ask("DESCRIBE")) == [200]
    assert statuses(camera.client(handoff=2, exported=b"").ask("DESCRIBE")) == [401]


# ---------------------------------------------------------------- hand-back


def test_a_request_for_another_camera_gives_the_connection_back_with_every_byte() -> None:
    camera = Camera()
    client = camera.client()
    camera.engine.take()
    elsewhere = request("DESCRIBE", URL.replace("ipc1", "ipc2"), cseq=5)
    commands = client.send(request("OPTIONS", URL, cseq=4) + elsewhere + b"OPTI")
    assert [command[0] for command in commands] == ["send", "release"]
    assert "CSeq: 4" in reply(commands)
    assert client.send(b"ONS * RTSP") == []  # was on its way already
    camera.registry.dispatch([Released(client.id, 9, b"moved", b"cipher")], camera.now_ns)
    ((message, record, descriptor),) = camera.handed_back
    assert message == HandBack(connection=connection(77, tls=TLS), received=elsewhere + b"OPTIONS * RTSP")
    assert record == HandoffRecord(HANDOFF_VERSION, 77, b"moved", b"cipher")
    assert descriptor == 9
    assert len(camera.registry) == 0
    assert not camera.registry.knows(77)  # it may come back to us
    assert Ended not in map(type, camera.news)


def test_a_hand_back_cut_short_is_an_end() -> None:
    camera = Camera()
    client = camera.client()
    client.ask("DESCRIBE", URL.replace("ipc1", "ipc2"))
    camera.registry.dispatch([Closed(client.id, "connection lost", "", 0, 0, 0)], camera.now_ns)
    assert camera.news[-1] == Ended(handoff=77, reason="connection lost")
    assert camera.handed_back == []


# ---------------------------------------------------------------- mistakes


def test_a_session_that_fails_costs_only_its_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera()
    broken, fine = camera.client(handoff=1), camera.client(handoff=2)

    receive = RTSPSession.receive

    def fail(session: RTSPSession, data: bytes, now_ns: int) -> None:
        if session.client == broken.id:
            raise RuntimeError("a bug")
        receive(session, data, now_ns)

    monkeypatch.setattr(RTSPSession, "receive", fail)
    events = [Received(broken.id, b"x"), Received(fine.id, request("OPTIONS"))]
    camera.registry.dispatch(events, camera.now_ns)
    commands = camera.engine.take()
    assert ("close", broken.id) in commands
    assert statuses(commands) == [200]


# ---------------------------------------------------------------- statistics


def test_stats_measure_the_stream_and_list_who_has_a_session() -> None:
    camera = Camera()
    reader, idle = camera.client(handoff=1), camera.client(handoff=2)
    reader.play()
    idle.ask("OPTIONS")
    began_ns = camera.now_ns
    for _ in range(10):
        camera.now_ns += S
        camera.media["stream1"].frames += 25
        camera.media["stream1"].bytes += 250_000
        camera.registry.tick(camera.now_ns)
    stats = camera.registry.stats(3, camera.now_ns)
    assert (stats.id, stats.camera, stats.connections) == (3, "ipc1", 2)
    first, second = stats.streams
    assert (first.id, first.kind, first.fps, first.bitrate_bps) == ("stream1", "testlive", 25.0, 2_000_000)
    assert (first.width, first.height, first.codec, first.encoder, first.frames) == (1280, 720, "h264", "libx264", 250)
    assert (first.latency_p50_ms, first.latency_p99_ms) == (0.262, 12.5)
    assert (second.fps, second.bitrate_bps) == (0.0, 0)
    (shown,) = readers_of(stats)
    assert (shown.peer, shown.tls_version, shown.tls_suite) == ("192.0.2.1:40000", TLS.version, TLS.suite)
    assert shown.certificate_fingerprint == TLS.certificate_fingerprint
    assert (shown.user, shown.stream, shown.state, shown.transport) == ("viewer", "stream1", "playing", "tcp")
    assert (shown.bytes_sent, shown.frames_skipped) == (1000, 1)
    assert shown.age_s == (camera.now_ns - began_ns) / 1e9


def test_stats_of_a_plain_reader() -> None:
    camera = Camera()
    camera.client(tls=None).play()
    (shown,) = readers_of(camera.registry.stats(1, camera.now_ns))
    assert (shown.tls_version, shown.tls_suite, shown.certificate_fingerprint) == ("", "", "")


def test_the_engine_is_woken_once_for_all_that_one_turn_asks_of_it() -> None:
    camera = Camera()
    camera.engine.turns.clear()  # of its settings
    clients = [camera.client(request("OPTIONS"), handoff) for handoff in (1, 2)]
    assert [command[0] for command in camera.engine.take()] == ["adopt", "send"] * 2
    assert camera.engine.turns == [2, 2]
    asked = [Received(client.id, request("OPTIONS", cseq=2)) for client in clients]
    camera.registry.dispatch(asked, camera.now_ns)
    assert camera.engine.turns[2:] == [2]
