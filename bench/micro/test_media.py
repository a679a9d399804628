"""Milliseconds of a camera's frame: painting, encoding, and passing a file through. 30 fps have 33 ms."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from camfleet.core.wire import FileLive, OverlaySpec, StreamSpec, TestLive, VideoSpec
from camfleet.workers.feed import open_feed
from camfleet.workers.sources import Overlay, Place
from camfleet.workers.sources.testlive import TestPattern
from camfleet.workers.standby import Absence, Shape, open_slate
from pytest_benchmark.fixture import BenchmarkFixture

from tests.kit.clips import noise_picture, write_clip

PLACE = Place("ipc1-stream1", "Lobby", unix_offset_ns=0, wake=lambda: None)
SIZES = {"720p": (1280, 720, 2_000_000), "1080p": (1920, 1080, 4_000_000)}


@pytest.mark.parametrize("size", SIZES)
def test_paint(size: str, benchmark: BenchmarkFixture) -> None:
    width, height, _ = SIZES[size]
    pattern, numbers = TestPattern("ipc1-stream1", width, height, 0), itertools.count()
    benchmark(lambda: pattern.picture(number := next(numbers), number * 33_333_333))


@pytest.mark.parametrize("size", SIZES)
def test_paint_and_encode(size: str, benchmark: BenchmarkFixture) -> None:
    width, height, bitrate_bps = SIZES[size]
    video = VideoSpec(width=width, height=height, bitrate_bps=bitrate_bps, encoder="x264")
    feed = open_feed(PLACE, StreamSpec(id="stream1", source=TestLive(), video=video), 0)
    benchmark(lambda: list(feed.read(feed.due_ns, False)))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pass_a_file_through(suffix: str, benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Frames of about 20 kB, the loop's seams included."""
    rate = {"b": "5M", "maxrate": "5M", "bufsize": "2M"}
    clip = write_clip(tmp_path / f"clip.{suffix}", paint=noise_picture, size=(640, 360), options=rate)
    feed = open_feed(PLACE, StreamSpec(id="stream1", source=FileLive(str(clip))), 0)
    benchmark(lambda: list(feed.read(feed.due_ns, False)))


@pytest.mark.parametrize("text", ["{camera}  %Y-%m-%d %H:%M:%S", "{camera}  %Y-%m-%d %H:%M:%S.{ms}"])
@pytest.mark.parametrize("is_shared", [False, True])
def test_overlay_1080p(text: str, is_shared: bool, benchmark: BenchmarkFixture) -> None:
    """Painted and taken away again: the whole price of a frame's text. A second has thirty frames."""
    over = Overlay((OverlaySpec(text=text),), 1920, 1080, "Lobby", 0)
    picture, numbers = TestPattern("ipc1-stream1", 1920, 1080, 0).picture(0, 0), itertools.count()
    shared = np.array(picture.to_ndarray(), np.uint8) if is_shared else None

    def frame() -> None:
        over.paint(picture, next(numbers) * 33_333_333, shared)
        over.restore()

    benchmark(frame)


@pytest.mark.parametrize("size", SIZES)
def test_make_a_slate(size: str, benchmark: BenchmarkFixture) -> None:
    """Once each time that a picture is missed, not once a frame."""
    width, height, _ = SIZES[size]
    absence = Absence("gone", "the source is not available", 0)
    benchmark(lambda: open_slate(PLACE, absence, Shape(width=width, height=height), 0))
