"""ANNOUNCE and RECORD: who may, where, with what descriptions and channels; and what comes between requests."""

import random
from typing import Any

import pytest
from camfleet.core.rtsp import Announce, Media, OtherCamera, Record, Setup
from camfleet.core.rtsp.state import State

from tests.kit.publishing import AUDIO, DESCRIPTION, HEAD, RECORD_TCP, VIDEO, WITH_AUDIO
from tests.kit.rtsp import SECOND, START_NS, TCP, URL, Client, authenticator, connection, exchange, kinds, user

SDP_TYPE = "Content-Type: application/sdp"
UDP = "RTP/AVP/UDP;unicast;client_port=5000-5001;mode=record"
PUBLISHER = ("encoder", "third")
HOST = "rtsp://192.0.2.7:8554"
SAME_URL = URL.replace(HOST, "rtsp://encoder:third@192.0.2.7")  # but for user, password and port
USERS = (user("viewer", "secret"), user(*PUBLISHER, watches=False))


def publisher(*, login: tuple[str, str] = PUBLISHER, **changes: Any) -> Client:
    """Of a camera whose first stream is published."""
    settings: dict[str, Any] = {
        "is_published": lambda stream: stream == "stream1",
        "authenticator": authenticator(users=USERS),
    }
    return Client(connection(**(settings | changes)), *login)


def announced(description: bytes = DESCRIPTION, url: str = URL) -> Client:
    client = publisher()
    assert client.ask("ANNOUNCE", url, SDP_TYPE, body=description).status == 200
    return client


def recording(description: bytes = DESCRIPTION, track: str = "streamid=0") -> Client:
    client = announced(description)
    assert client.ask("SETUP", f"{URL}/{track}", f"Transport: {RECORD_TCP}").status == 200
    assert client.ask("RECORD", URL, "Range: npt=0.000-").status == 200
    return client


# ---------------------------------------------------------------- where


def test_options_lists_the_methods_of_a_camera_that_takes_them() -> None:
    assert publisher().raw("OPTIONS").headers["public"].endswith(", ANNOUNCE, RECORD")
    assert "ANNOUNCE" not in publisher(is_published=lambda _: False).raw("OPTIONS").headers["public"]


@pytest.mark.parametrize("method", ["ANNOUNCE", "RECORD"])
def test_only_streams_that_are_published_take_it(method: str) -> None:
    body = DESCRIPTION if method == "ANNOUNCE" else b""
    other = URL.replace("stream1", "stream2")
    assert publisher().ask(method, other, body=body).status == 405
    assert publisher(is_published=lambda _: False).raw(method, URL, body=body).status == 405


def test_a_supervisor_passes_it_on_with_its_body() -> None:
    client = publisher(camera=None, streams=())
    client.raw("ANNOUNCE", URL, SDP_TYPE, body=DESCRIPTION)
    (event,) = client.events
    assert isinstance(event, OtherCamera)
    assert event.received.endswith(DESCRIPTION)


# ---------------------------------------------------------------- who


def test_a_stranger_is_asked_who_he_is() -> None:
    assert publisher().raw("ANNOUNCE", URL, SDP_TYPE, body=DESCRIPTION).status == 401
    client = publisher(login=("encoder", "wrong"))
    assert client.ask("ANNOUNCE", URL, SDP_TYPE, body=DESCRIPTION).status == 401


@pytest.mark.parametrize("method", ["DESCRIBE", "SETUP", "PLAY"])
def test_who_may_only_publish_does_not_watch(method: str) -> None:
    assert publisher().ask(method, URL, f"Transport: {TCP}").status == 403


def test_who_may_publish_and_watch_does_either() -> None:
    client = publisher(login=("viewer", "secret"))
    client.play()
    assert client.ask("TEARDOWN").status == 200
    client.session = None
    assert client.ask("ANNOUNCE", URL, SDP_TYPE, body=DESCRIPTION).status == 200


# ---------------------------------------------------------------- what


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 415, "has no video"),
        (b"\xff\xfe\x00", 415, "has no video"),
        (f"{HEAD}{AUDIO}".encode(), 415, "has no video"),
        (DESCRIPTION.replace(b"H264", b"VP8"), 415, "has no H.264 or H.265 video, but VP8"),
        (DESCRIPTION.replace(b"H264", b'V"\x7f8'), 415, "payload type 96"),
        (DESCRIPTION.replace(b"90000", b"8000"), 415, "clock rate of 8000"),
        (DESCRIPTION.replace(b"mode=1", b"mode=2"), 415, "interleaved NAL units"),
        (HEAD.encode() + VIDEO.encode() * 17, 415, "over 16 media"),
        (b"m=video 0 RTP/AVP 96\r\n" * 350, 415, "payload type 96"),
        (b"v=0\r\n" + b"m=" + b"9" * 8000, 415, "has no video"),
        (DESCRIPTION + bytes(8192), 413, ""),
    ],
)
def test_descriptions_that_are_refused(body: bytes, status: int, says: str) -> None:
    client = publisher()
    reply = client.ask("ANNOUNCE", URL, SDP_TYPE, body=body)
    assert reply.status == status
    assert says in reply.head.partition("\r\n")[0]
    assert client.ask("RECORD").status == 455
    assert client.server.announced is None


def test_another_type_of_description_is_refused() -> None:
    assert publisher().ask("ANNOUNCE", URL, "Content-Type: text/plain", body=DESCRIPTION).status == 415


def test_the_description_is_understood() -> None:
    client = announced(WITH_AUDIO)
    (event,) = client.events
    assert isinstance(event, Announce)
    announcement = event.announcement
    assert (announcement.stream, announcement.description) == ("stream1", WITH_AUDIO)
    assert announcement.controls == ("streamid=0", "streamid=1")
    video = announcement.video
    assert (video.codec, video.payload_type, video.place, len(video.parameter_sets)) == ("h264", 96, 1, 2)


# ---------------------------------------------------------------- tracks and channels


@pytest.mark.parametrize(
    ("control", "url", "track"),
    [
        ("streamid=0", f"{URL}/streamid=0", 0),  # FFmpeg
        ("stream=0", f"{URL}/stream=0", 0),  # rtspclientsink
        ("trackID=0", f"{URL}/trackID=0", 0),
        (f"{URL}/video", f"{URL}/video", 0),  # an absolute URL (RFC 2326 C.1.1)
        ("streamid=0", f"{URL}?key=1/streamid=0", 0),
        ("streamid=0", f"{URL}?key=1/streamid=0/", 0),
        ("streamid=0", f"{URL}/streamid=0?key=1", 0),
        ("streamid=0", f"{URL}/streamid=0/", 0),
        ("trackID=1", f"{URL}/trackID=1/", 0),
        ("/video", f"{URL}/video", 0),
        ("/video", f"{URL}//video", 0),
        (f"{SAME_URL}/trackID=1", f"{URL}/trackID=1", 0),
        (f"{SAME_URL}/trackID=1/", f"{URL}/trackID=1?key=1", 0),
        (f"{SAME_URL}/trackID=1".replace("rtsp:", "RTSP:"), f"{URL}/trackID=1", 0),
        (SAME_URL, URL, 0),
        (f"{SAME_URL}?track=1", f"{URL}?track=1", 0),
        (f"{HOST}/", URL, 0),
        ("", f"{URL}/trackID=0", 0),
        ("", URL, 0),
        ("*", URL, 0),
    ],
)
def test_how_clients_name_a_track(control: str, url: str, track: int) -> None:
    client = announced(DESCRIPTION.replace(b"streamid=0", control.encode()))
    assert client.ask("SETUP", url, f"Transport: {RECORD_TCP}").status == 200
    setup = client.events[-1]
    assert isinstance(setup, Setup)
    assert (setup.stream, setup.track) == ("stream1", track)
    assert client.server.video_channels == (0, 1)


def test_a_track_that_is_called_like_the_camera() -> None:
    client = announced(DESCRIPTION.replace(b"streamid=0", b"ipc1"), f"{HOST}/ipc1")
    assert client.ask("SETUP", f"{HOST}/ipc1/ipc1", f"Transport: {RECORD_TCP}").status == 200
    assert client.ask("RECORD", f"{HOST}/ipc1").status == 200


@pytest.mark.parametrize(
    ("control", "ask", "track"),
    [
        ("trackID={}", f"{URL}/trackID={{}}", 1),
        (f"{SAME_URL}/trackID={{}}", f"{URL}/trackID={{}}", 1),
        (f"{SAME_URL}?track={{}}", f"{URL}?track={{}}", 1),
        ("", f"{URL}/trackID={{}}", 0),  # no names: the number is the place
    ],
)
def test_names_with_numbers_from_one(control: str, ask: str, track: int) -> None:
    """Not the places, which are from zero: trackID=1 is the first."""
    names = [control.format(number).encode() for number in (track, track + 1)]
    client = announced(WITH_AUDIO.replace(b"streamid=0", names[0]).replace(b"streamid=1", names[1]))
    for place in (0, 1):
        assert client.ask("SETUP", ask.format(track + place), f"Transport: {RECORD_TCP}").status == 200
        setup = client.events[-1]
        assert isinstance(setup, Setup)
        assert setup.track == place


@pytest.mark.parametrize(
    "url",
    [
        f"{URL}/streamid=2",
        f"{URL}/trackID=7",
        f"{URL}/trackID=0",  # a place, where there are names
        f"{URL}?a=1/trackID=1",
        URL.replace("ipc1-stream1", "ipc1-other"),
    ],
)
def test_tracks_that_were_not_announced(url: str) -> None:
    assert announced(WITH_AUDIO).ask("SETUP", url, f"Transport: {RECORD_TCP}").status == 404


def test_another_stream_than_the_announced_one() -> None:
    client = announced()
    other = URL.replace("stream1", "stream2")
    assert client.ask("SETUP", other, f"Transport: {RECORD_TCP}").status == 459


@pytest.mark.parametrize(
    ("transport", "status", "answer"),
    [
        (RECORD_TCP, 200, RECORD_TCP),
        ('RTP/AVP/TCP;unicast;mode="RECORD";interleaved=4-5', 200, RECORD_TCP.replace("0-1", "4-5")),
        ("RTP/AVP/TCP;unicast;mode=receive", 200, RECORD_TCP),
        ("RTP/AVP/TCP;unicast;interleaved=0-1", 200, RECORD_TCP),
        (f"{UDP},{RECORD_TCP}", 200, RECORD_TCP),
        (UDP, 461, ""),
        ("RTP/AVP/TCP;unicast;interleaved=0-1;mode=play", 200, RECORD_TCP),
        ('RTP/AVP/TCP;unicast;interleaved=0-1;mode="PLAY,RECORD"', 200, RECORD_TCP),
        ('RTP/AVP/TCP;unicast;mode="PLAY,RECORD";interleaved=4-5', 200, RECORD_TCP.replace("0-1", "4-5")),
        (f'{UDP},RTP/AVP;unicast;mode="PLAY,RECORD",{RECORD_TCP}', 200, RECORD_TCP),
    ],
)
def test_transports(transport: str, status: int, answer: str) -> None:
    reply = announced().ask("SETUP", f"{URL}/streamid=0", f"Transport: {transport}")
    assert (reply.status, reply.headers.get("transport", "")) == (status, answer)


def test_a_client_that_asks_for_udp_goes_on_with_tcp_on_the_same_connection() -> None:
    client = announced()
    assert client.ask("SETUP", f"{URL}/streamid=0", f"Transport: {UDP}").status == 461
    assert client.ask("SETUP", f"{URL}/streamid=0", f"Transport: {RECORD_TCP}").status == 200
    assert client.ask("RECORD").status == 200


def test_two_tracks_have_channels_of_their_own_and_the_video_its_own() -> None:
    client = announced(WITH_AUDIO)
    answers = [client.ask("SETUP", f"{URL}/streamid={n}", f"Transport: {RECORD_TCP}") for n in (0, 1, 1)]
    channels = [answer.headers["transport"].partition("interleaved=")[2] for answer in answers]
    assert channels == ["0-1;mode=record", "2-3;mode=record", "2-3;mode=record"]
    assert client.server.video_channels == (2, 3)


def test_without_its_video_nothing_is_recorded() -> None:
    client = announced(WITH_AUDIO)
    client.ask("SETUP", f"{URL}/streamid=0", f"Transport: {RECORD_TCP}")
    reply = client.ask("RECORD")
    assert (reply.status, "the video has not been set up" in reply.head) == (455, True)


# ---------------------------------------------------------------- the session


def test_recording_and_its_end() -> None:
    client = recording()
    assert kinds(client.events) == ["Announce", "Setup", "Record"]
    assert client.events[-1] == Record("stream1")
    assert client.ask("RECORD").status == 200  # again: nothing to do
    assert client.ask("GET_PARAMETER").status == 200
    assert client.ask("PAUSE").status == 200
    assert client.ask("RECORD").status == 200
    assert client.ask("TEARDOWN").status == 200
    assert (client.server.announced, client.server.state) == (None, State.INIT)
    assert kinds(client.events) == ["Announce", "Setup", "Record", "Pause", "Record", "Teardown"]


def test_media_that_comes_among_requests_is_handed_on_in_order_at_any_cut() -> None:
    def frame(channel: int, payload: bytes) -> bytes:
        return b"$" + bytes([channel]) + len(payload).to_bytes(2) + payload

    dice = random.Random(4)
    sent = [(dice.choice((0, 1, 2)), dice.randbytes(dice.choice((0, 1, 12, 1400, 65_535)))) for _ in range(12)]
    stream = b"".join(frame(*each) for each in sent[:6])
    client = recording()
    stream += b"GET_PARAMETER * RTSP/1.0\r\nCSeq: 70\r\n\r\n" + b"".join(frame(*each) for each in sent[6:])
    for size in (1, 3, 1000, len(stream)):
        server = recording().server
        events, replies = exchange(server, [stream[at : at + size] for at in range(0, len(stream), size)])
        assert [(event.channel, event.payload) for event in events if isinstance(event, Media)] == sent
        assert replies.startswith(b"RTSP/1.0 200 OK\r\nCSeq: 70\r\n")
        assert server.at_boundary
    events, _ = exchange(client.server, [frame(0, b"x")])
    assert events == [Media(0, b"x")]


@pytest.mark.parametrize("before", ["TEARDOWN", "PAUSE"])
def test_media_outside_of_a_recording_is_dropped(before: str) -> None:
    client = recording()
    client.ask(before)
    events, _ = exchange(client.server, [b"$\0\0\1x"])
    assert events == []


def test_media_is_a_sign_of_life() -> None:
    client = recording()
    later_ns = START_NS + 65 * SECOND
    exchange(client.server, [b"$\0\0\1x"], later_ns)
    deadline_ns = client.server.next_deadline()
    assert deadline_ns is not None
    assert deadline_ns > later_ns + 60 * SECOND
