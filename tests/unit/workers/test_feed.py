import dataclasses
from concurrent.futures import Future
from pathlib import Path

import pytest
from av.video.frame import VideoFrame
from camfleet.core.wire import FileLive, OverlaySpec, StreamSpec, TestLive, VideoSpec
from camfleet.workers import feed as module
from camfleet.workers.codecs import BT709, H264, AccessUnit
from camfleet.workers.encoders import SOFTWARE, Encoder, EncoderError, OpeningEncoder, VideoEncoder
from camfleet.workers.feed import EncodedFeed, adapt, encodes, open_feed
from camfleet.workers.sources import Feed, Place
from msgspec.structs import replace

from tests.kit.clips import decode, noise_picture, number_of, write_clip

START_NS = 3_000_000_000
PLACE = Place("ipc1-stream1", "Lobby", unix_offset_ns=0, wake=lambda: None)
VIDEO = VideoSpec(width=320, height=180, fps=25, bitrate_bps=300_000, gop=50, encoder="x264")


def open_stream(source: TestLive | FileLive, video: VideoSpec | None = None) -> Feed:
    return open_feed(PLACE, StreamSpec(id="stream1", source=source, video=video), START_NS)


def run(feed: Feed, count: int, key: tuple[int, ...] = ()) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    for number in range(count):
        units += feed.read(feed.due_ns, number in key)
    return units


def test_the_kinds_of_streams(tmp_path: Path) -> None:
    file = FileLive(str(write_clip(tmp_path / "clip.mp4")))
    cases: list[tuple[TestLive | FileLive, VideoSpec | None, bool, str, tuple[int, int, float]]] = [
        (TestLive(), VIDEO, True, "libx264", (320, 180, 25)),
        (TestLive(), None, True, "libx264", (1280, 720, 30)),
        (file, VIDEO, True, "libx264", (320, 180, 25)),
        (file, None, False, "pass-through", (160, 96, 30)),
    ]
    for source, video, is_ours, encoder, size in cases:
        feed = open_stream(source, video)
        described = feed.description
        assert described is not None
        assert (feed.encoder, (described.width, described.height, described.fps)) == (encoder, size)
        assert encodes(StreamSpec(id="stream1", source=source, video=video)) is is_ours
        assert [nal[0] & 0x1F for nal in described.parameter_sets] == [7, 8]
        assert feed.due_ns == START_NS
        feed.close()


def test_encoded_frames_are_on_the_grid_and_keys_come_on_demand() -> None:
    feed = open_stream(TestLive(), VIDEO)
    units = run(feed, 20, key=(7,))
    assert [unit.capture_ns for unit in units] == [START_NS + n * 40_000_000 for n in range(20)]
    assert [n for n, unit in enumerate(units) if unit.key_frame] == [0, 7]
    assert all((5 in H264.leading_types(bytes(unit.data))) == unit.key_frame for unit in units)
    assert feed.due_ns == START_NS + 20 * 40_000_000
    feed.close()


def test_a_late_frame_is_made_for_its_own_time_and_the_missed_ones_never() -> None:
    feed = open_stream(TestLive(), VIDEO)
    run(feed, 2)
    (unit,) = feed.read(START_NS + 205_000_000, False)
    assert unit.capture_ns == START_NS + 200_000_000
    assert feed.due_ns == START_NS + 240_000_000
    feed.close()


def test_a_file_is_encoded_anew(tmp_path: Path) -> None:
    file = FileLive(str(write_clip(tmp_path / "clip.ts", fps=25, b_frames=2, size=(160, 90))))
    units = run(open_stream(file, VIDEO), 100)
    assert [n for n, unit in enumerate(units) if unit.key_frame] == [0, 50]
    pictures = decode([bytes(unit.data) for unit in units])
    assert [number_of(picture) for picture in pictures] == (3 * list(range(45)))[:100]
    assert {(picture.width, picture.height) for picture in pictures} == {(320, 180)}


class ClosablePictures:
    colours = BT709
    skipped = 0
    absence = ""
    shared = None
    closed = False

    def picture(self, number: int, capture_ns: int, /) -> VideoFrame | None:
        raise AssertionError((number, capture_ns))

    def close(self) -> None:
        self.closed = True


def test_the_source_is_closed_when_the_encoder_does_not_open() -> None:
    source = ClosablePictures()
    with pytest.raises(EncoderError):
        EncodedFeed(source, VideoSpec(encoder="h264_magic"), START_NS)
    assert source.closed


class NoPictures(ClosablePictures):
    absence = "no picture yet"

    def picture(self, _number: int, _capture_ns: int, /) -> None:
        return


def test_an_encoder_that_comes_late_is_told_before_there_is_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    coming: Future[VideoEncoder] = Future()
    monkeypatch.setattr(module, "open_encoder", lambda _video, _colours, before: OpeningEncoder(coming, None, before))
    feed = EncodedFeed(NoPictures(), VIDEO, START_NS)
    assert run(feed, 2) == []
    assert feed.description is None
    coming.set_result(Encoder(VIDEO, SOFTWARE["h264"]))
    assert run(feed, 1) == []
    assert feed.description is not None
    assert (feed.encoder, len(feed.description.parameter_sets)) == ("libx264", 2)
    feed.close()


def test_an_encoder_that_does_not_come_is_told_before_there_is_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    coming: Future[VideoEncoder] = Future()
    monkeypatch.setattr(module, "open_encoder", lambda _video, _colours, before: OpeningEncoder(coming, None, before))
    feed = EncodedFeed(NoPictures(), VIDEO, START_NS)
    coming.set_exception(EncoderError("h264_nvenc: no driver"))
    with pytest.raises(EncoderError, match="no driver"):
        run(feed, 1)
    feed.close()


def test_an_encoder_that_does_not_open_is_told() -> None:
    with pytest.raises(EncoderError, match="h264_magic"):
        open_stream(TestLive(), VideoSpec(encoder="h264_magic"))


def adapted(feed: Feed, source: TestLive | FileLive, before: VideoSpec, after: VideoSpec) -> bool:
    return adapt(feed, PLACE, *(StreamSpec(id="stream1", source=source, video=video) for video in (before, after)))


def test_a_lower_bitrate_is_followed_without_a_new_encoder_and_a_higher_one_with(tmp_path: Path) -> None:
    file = FileLive(str(write_clip(tmp_path / "clip.mp4", fps=25, paint=noise_picture)))
    lower, higher = replace(VIDEO, bitrate_bps=100_000), replace(VIDEO, bitrate_bps=600_000)

    def bitrate_bps(seconds: int) -> int:
        return sum(len(unit.data) for unit in run(feed, 25 * seconds)) * 8 // seconds

    feed = open_stream(file, VIDEO)
    described = feed.description
    assert bitrate_bps(4) == pytest.approx(300_000, rel=0.3)
    assert adapted(feed, file, VIDEO, lower)
    run(feed, 50)
    assert bitrate_bps(4) == pytest.approx(100_000, rel=0.3)
    assert feed.description is described
    assert adapted(feed, file, lower, higher)
    (unit,) = run(feed, 1)
    assert unit.key_frame
    assert {7, 8, 5} <= H264.leading_types(bytes(unit.data))
    assert bitrate_bps(4) == pytest.approx(600_000, rel=0.3)
    feed.close()


def test_other_encoder_settings_keep_the_source_and_another_size_does_not() -> None:
    feed = open_stream(TestLive(), VIDEO)
    run(feed, 3)
    assert adapted(feed, TestLive(), VIDEO, replace(VIDEO, gop=5))
    assert [unit.key_frame for unit in run(feed, 6)] == [True, False, False, False, False, True]
    assert feed.due_ns == START_NS + 9 * 40_000_000
    assert not adapted(feed, TestLive(), VIDEO, replace(VIDEO, width=640))
    assert not adapted(feed, TestLive(), VIDEO, replace(VIDEO, fps=30))
    with pytest.raises(EncoderError, match="h264_magic"):
        adapted(feed, TestLive(), VIDEO, replace(VIDEO, encoder="h264_magic"))
    feed.close()


def test_a_pass_through_is_opened_anew_for_another_source_only(tmp_path: Path) -> None:
    file = FileLive(str(write_clip(tmp_path / "clip.mp4")))
    feed = open_stream(file)
    before = StreamSpec(id="stream1", source=file)
    assert adapt(feed, PLACE, before, replace(before, linger_s=0.0))
    assert not adapt(feed, PLACE, before, replace(before, source=FileLive("/other.mp4")))
    assert not adapt(feed, PLACE, before, replace(before, video=VIDEO))
    feed.close()


def test_overlays_come_change_and_go_while_source_and_encoder_run_on() -> None:
    plain = StreamSpec(id="stream1", source=TestLive(), video=VIDEO)
    line = replace(plain, overlays=(OverlaySpec(text="{camera}", size=0.3, position="bottom"),))
    feed = open_feed(PLACE, plain, START_NS)
    described, units = feed.description, run(feed, 2)
    for place, before, after in (
        (PLACE, plain, line),
        (dataclasses.replace(PLACE, camera_name="Foyer"), line, line),
        (PLACE, line, plain),
    ):
        assert adapt(feed, place, before, after)
        units += run(feed, 2)
    assert feed.description is described
    assert [unit.key_frame for unit in units] == [True] + 7 * [False]
    # Above the block that moves.
    strips = [picture.to_ndarray()[125:155].astype(int) for picture in decode([bytes(unit.data) for unit in units])]
    none, lobby, foyer, gone = (strips[index] for index in (1, 3, 5, 7))
    assert abs(none - lobby).mean() > 5
    assert abs(lobby - foyer).mean() > 1
    assert abs(none - gone).mean() < 3
    feed.close()
