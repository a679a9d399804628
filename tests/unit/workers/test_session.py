"""workers/session with a fake engine and virtual time: what each request makes the engine and the pipeline do."""

import re

import pytest
from camfleet.core.net.fanout import Closed
from camfleet.workers.codecs import Description
from camfleet.workers.session.rtsp_session import DESCRIBE_TIMEOUT_NS, PLAY_TIMEOUT_NS

from tests.kit.access_units import H265_PPS, H265_SPS, H265_VPS
from tests.kit.live_camera import URL, Camera, reply, request, session_of, statuses
from tests.kit.supervisor import readers_of

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


def test_a_user_who_asks_for_what_is_not_there_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    camera = Camera()
    client, url = camera.client(), URL.replace("stream1", "stream9")
    assert "404 Not Found: the camera has no such stream" in reply(client.ask("DESCRIBE", url))
    (record,) = caplog.records
    fields = vars(record)["fields"]
    assert record.getMessage() == "refused"
    assert (fields["user"], fields["url"], fields["reason"]) == ("viewer", url, "the camera has no such stream")


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
    assert "453 Not Enough Bandwidth: the camera has all its readers" in reply(clients[2].set_up())
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
