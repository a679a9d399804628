"""Streams as URLs ask for them: who shares which, how many there are, when they end."""

import json
from typing import Any

import pytest
from camfleet.core.net.fanout import Closed
from camfleet.core.rtsp import Parameters
from camfleet.core.wire import FileLive, StreamSpec, TestLive, VideoSpec
from camfleet.workers.codecs import Description
from camfleet.workers.session.variant import as_asked
from msgspec.structs import replace

from tests.kit.live_camera import TRANSPORT, URL, Camera, Client, S, reply, statuses

VIDEO = VideoSpec(width=1280, height=720, encoder="x264", rate_control="vbr", profile="high", threads=2)
STREAM = StreamSpec(id="stream1", source=TestLive(), video=VIDEO)
SMALL = "?w=640&h=360"


@pytest.mark.parametrize(
    ("asked", "video"),
    [
        ("w=640", replace(VIDEO, width=640, height=360)),
        ("h=360", replace(VIDEO, width=640, height=360)),
        ("w=100", replace(VIDEO, width=100, height=64)),  # 56 would be too low
        ("h=4096", replace(VIDEO, width=4096, height=4096)),  # 7282 would be too wide
        ("w=640&h=480", replace(VIDEO, width=640, height=480)),
        ("fps=10", replace(VIDEO, fps=10, gop=20)),
        ("fps=1", replace(VIDEO, fps=1, gop=2)),
        ("vb=500k", replace(VIDEO, bitrate_bps=500_000)),
        ("ve=h264&w=1280&h=720&fps=30&vb=2M", VIDEO),
        ("ve=h265", replace(VIDEO, codec="h265", encoder="auto", profile="")),  # as only H.264 has them
    ],
)
def test_what_is_not_asked_for_is_as_the_stream_has_it(asked: str, video: VideoSpec) -> None:
    assert as_asked(STREAM, Parameters.parse(asked)) == replace(STREAM, video=video)


def test_key_frames_are_never_further_apart_than_a_stream_may_have_them() -> None:
    slow = replace(STREAM, video=replace(VIDEO, fps=1, gop=3600))
    asked = as_asked(slow, Parameters.parse("fps=120")).video
    assert asked is not None
    assert asked.gop == 3600
    dense = as_asked(replace(STREAM, video=replace(VIDEO, gop=1)), Parameters.parse("fps=1")).video
    assert dense is not None
    assert dense.gop == 1


def test_a_stream_that_passes_through_is_encoded_when_a_picture_is_asked_for() -> None:
    film = StreamSpec(id="stream1", source=FileLive("/clip.mp4"))
    assert as_asked(film, Parameters()) == film
    assert as_asked(film, Parameters.parse("w=640")).video == replace(VideoSpec(), width=640, height=360)


def describe(client: Client, asked: str = "") -> list[tuple[Any, ...]]:
    return client.ask("DESCRIBE", URL + asked)


def names(camera: Camera) -> list[str]:
    """Of all streams that there are now."""
    return [f"{each.id}?{each.variant}" if each.variant else each.id for each in camera.registry.stats(1, 0).streams]


def test_who_asks_for_the_same_has_the_same_and_who_asks_for_what_there_is_has_the_stream() -> None:
    camera = Camera()
    clients = [camera.client(handoff=number) for number in range(4)]
    for client, asked in zip(clients, ("?w=640", "?h=360&ve=H264", "?w=1280&fps=30", ""), strict=True):
        assert statuses(describe(client, asked)) == [200]
        setup = client.ask("SETUP", f"{URL}/trackID=0", f"Transport: {TRANSPORT}")
        media = camera.media["stream1?w=640" if client in clients[:2] else "stream1"]
        assert f"ssrc={media.ssrc:08X}" in reply(setup)
    assert names(camera) == ["stream1", "stream2", "stream1?w=640"]


def test_a_session_plays_and_shows_its_variant() -> None:
    camera = Camera()
    client = camera.client()
    describe(client, SMALL)
    client.set_up()
    commands = client.ask("PLAY", URL, client.session)
    assert commands[-1][:3] == ("prepare", client.id, camera.media["stream1?w=640&h=360"])
    assert camera.pipelines["stream1?w=640&h=360"].wanted == 1
    assert camera.pipelines["stream1"].wanted == 0
    (reader,) = json.loads(camera.registry.stats(1, 0).readers)
    assert (reader["stream"], reader["variant"]) == ("stream1", "w=640&h=360")


def test_over_the_limit_the_answer_says_which_and_others_play_on() -> None:
    camera = Camera()
    camera.configure(max_variants=2)
    clients = [camera.client(handoff=number) for number in range(4)]
    for client, size in zip(clients, (640, 320, 160, 320), strict=True):
        commands = describe(client, f"?w={size}")
        if size == 160:
            assert reply(commands).startswith(
                "RTSP/1.0 453 Not Enough Bandwidth: the camera makes 2 variants at most (limits.variants_per_camera)"
            )
        else:
            assert statuses(commands) == [200]
    assert statuses(describe(clients[2])) == [200]
    assert len(names(camera)) == 4
    assert camera.taken_down == []


def test_more_pixels_than_the_stream_has_are_not_made_unless_they_are_few() -> None:
    camera = Camera()
    (spec, other) = camera.order.camera.streams
    client = camera.client()
    refused = "RTSP/1.0 451 Parameter Not Understood: 3840x2160 is larger than the stream's picture, and than 1920x1080"
    assert statuses(describe(client, "?w=1920&h=1080")) == [200]
    assert reply(describe(client, "?w=3840&h=2160")).startswith(refused)
    assert statuses(client.ask("SETUP", f"{URL}/trackID=0?w=3840&h=2160", f"Transport: {TRANSPORT}")) == [451]
    camera.configure(streams=(replace(spec, video=replace(VIDEO, width=3840, height=2160)), other))
    assert statuses(describe(client, "?w=3840&h=2160&fps=10")) == [200]
    camera.configure(streams=(replace(spec, source=FileLive("/clip.mp4"), video=None), other))
    for known, status in ((None, 451), (Description(3840, 2160, 25, ()), 200)):  # before and after it was opened
        camera.pipelines["stream1"].description = known
        assert statuses(describe(client, "?w=3840&h=2160&fps=5")) == [status]


def test_none_when_there_shall_be_none() -> None:
    camera = Camera()
    camera.configure(max_variants=0)
    client = camera.client()
    assert statuses(describe(client, SMALL)) == [453]
    assert statuses(client.ask("SETUP", f"{URL}/trackID=0{SMALL}", f"Transport: {TRANSPORT}")) == [453]
    assert statuses(client.set_up()) == [200]


def test_a_variant_that_nobody_needs_gives_way_at_once() -> None:
    camera = Camera()
    camera.configure(max_variants=1)
    gone, comes = camera.client(handoff=1), camera.client(handoff=2)
    describe(gone, "?w=640")
    assert statuses(describe(comes, "?w=320")) == [453]
    camera.pipelines["stream1?w=640"].state = "running"  # it lingers
    camera.registry.dispatch([Closed(gone.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    assert statuses(describe(comes, "?w=320")) == [200]
    assert camera.taken_down == ["stream1?w=640"]


@pytest.mark.parametrize("state", ["idle", "failed: no such file"])
def test_a_variant_ends_when_it_has_lingered_and_no_session_has_it(state: str) -> None:
    camera = Camera()
    client = camera.client()
    describe(client, SMALL)
    pipeline = camera.pipelines["stream1?w=640&h=360"]
    pipeline.state = "running"
    client.set_up()

    def ends_within_a_second() -> bool:
        camera.now_ns += S
        camera.registry.tick(camera.now_ns)
        return len(names(camera)) == 2

    pipeline.state = state
    assert not ends_within_a_second()  # set up, or paused
    client.ask("TEARDOWN", URL, client.session)
    pipeline.state = "running"
    assert not ends_within_a_second()
    pipeline.state = state
    assert ends_within_a_second()
    assert len(camera.taken_down) == 1
    assert statuses(client.set_up()) == [200]  # as it was described
    assert len(names(camera)) == 3


def test_variants_follow_their_stream_in_what_their_urls_do_not_say() -> None:
    camera = Camera()
    client = camera.client()
    describe(client, "?w=640&fps=15")
    client.set_up()
    camera.engine.take()
    (spec, other) = camera.order.camera.streams
    changed = replace(spec, source=FileLive("/clip.mp4"), video=replace(VideoSpec(), bitrate_bps=700_000, gop=120))
    assert camera.configure(streams=(changed, other)) == []
    (order,) = camera.pipelines["stream1?w=640&fps=15"].orders
    assert order.source == FileLive("/clip.mp4")
    assert order.video == VideoSpec(width=640, height=360, fps=15, bitrate_bps=700_000, gop=60)
    assert camera.configure(streams=(changed, replace(other, linger_s=1.0))) == []
    assert len(camera.pipelines["stream1?w=640&fps=15"].orders) == 1


def test_variants_go_with_their_stream() -> None:
    camera = Camera()
    client, other = camera.client(handoff=1), camera.client(handoff=2)
    describe(client, SMALL)
    client.set_up()
    other.ask("DESCRIBE", URL.replace("stream1", "stream2") + SMALL)
    camera.engine.take()
    assert camera.configure(streams=camera.order.camera.streams[1:]) == [("close", client.id, b"")]
    assert names(camera) == ["stream2", "stream2?w=640&h=360"]
