from pathlib import Path

import pytest
from av.video.frame import VideoFrame
from camfleet.core.wire import FileLive, StreamSpec, TestLive, VideoSpec
from camfleet.workers.encoders import EncoderError
from camfleet.workers.feed import EncodedFeed, encodes, open_feed
from camfleet.workers.h264 import BT709, AccessUnit, leading_types
from camfleet.workers.sources import Feed, Place

from tests.kit.clips import decode, number_of, write_clip

START_NS = 3_000_000_000
PLACE = Place("ipc1-stream1", "Lobby", unix_offset_ns=0, wake=lambda: None)
VIDEO = VideoSpec(width=320, height=180, fps=25, bitrate_bps=300_000, gop=50, encoder="libx264")


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
    assert all((5 in leading_types(bytes(unit.data))) == unit.key_frame for unit in units)
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
    closed = False

    def picture(self, number: int, capture_ns: int, /) -> VideoFrame:
        raise AssertionError((number, capture_ns))

    def close(self) -> None:
        self.closed = True


def test_the_source_is_closed_when_the_encoder_does_not_open() -> None:
    source = ClosablePictures()
    with pytest.raises(EncoderError):
        EncodedFeed(source, VideoSpec(encoder="h264_magic"), START_NS)
    assert source.closed


def test_an_encoder_that_does_not_open_is_told() -> None:
    with pytest.raises(EncoderError, match="h264_magic"):
        open_stream(TestLive(), VideoSpec(encoder="h264_magic"))
