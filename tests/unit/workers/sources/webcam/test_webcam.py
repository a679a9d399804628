"""A webcam's pictures in streams. The device is a file (tests/kit/played_camera.py); test_v4l2.py has FFmpeg's."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from camfleet.core.wire import StreamSpec, VideoSpec, Webcam
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.sources import Place, SourceError, open_pictures, webcam
from camfleet.workers.sources.planes import frame_over
from camfleet.workers.sources.shared import Absence, Picture
from camfleet.workers.sources.webcam import capture as module
from camfleet.workers.sources.webcam import device
from camfleet.workers.sources.webcam.capture import WebcamCapture, opener

from tests.kit.played_camera import PlayedCamera, Running, write_pictures
from tests.kit.played_feed import Sink
from tests.kit.wait import wait_for

SOURCE = Webcam(device="/dev/video9")
GREYS = [(level, level, level) for level in range(20, 240, 20)]
RED, GREEN = (200, 40, 40), (40, 180, 60)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "capture"])


def captured(camera: PlayedCamera) -> contextlib.closing[WebcamCapture]:
    return contextlib.closing(WebcamCapture(SOURCE, camera.open, lambda _: 0))


def shown(capture: WebcamCapture) -> Picture:
    picture = capture.read()
    assert isinstance(picture, Picture)
    return picture


def colour(picture: Picture) -> list[int]:
    """In its middle, by the matrix and range that a Picture has."""
    seen: VideoFrame = frame_over(picture.samples).reformat(
        format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG
    )
    return [int(value) for value in seen.to_ndarray()[seen.height // 2, seen.width // 2]]


@pytest.mark.parametrize(
    ("codec", "pixel_format", "size"),
    [
        ("mjpeg", "yuvj422p", (1280, 720)),  # what nearly all give
        ("mjpeg", "yuvj420p", (640, 480)),
        ("rawvideo", "yuyv422", (1280, 720)),  # 720 lines, and yet of BT.601
        ("rawvideo", "yuyv422", (160, 120)),
        ("rawvideo", "nv12", (320, 240)),
        ("rawvideo", "rgb24", (64, 48)),
    ],
)
def test_colours_in_each_format(codec: str, pixel_format: str, size: tuple[int, int], tmp_path: Path) -> None:
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", codec, pixel_format, size, [RED, GREEN]))
    with captured(camera) as capture:
        for wanted in (RED, GREEN, RED):
            camera.show()
            picture = shown(capture)
            assert picture.samples.shape == (size[1] * 3 // 2, size[0])
            assert np.abs(np.subtract(colour(picture), wanted)).max() <= 6  # BT.709 would be off by 13 or more


def test_what_has_had_to_wait_is_not_shown(tmp_path: Path) -> None:
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", "mjpeg", "yuvj422p", (64, 48), GREYS))
    with captured(camera) as capture:
        camera.show(7)
        assert colour(shown(capture))[0] == pytest.approx(GREYS[6][0], abs=5)
        camera.show()
        assert colour(shown(capture))[0] == pytest.approx(GREYS[7][0], abs=5)


def test_h264_is_decoded_picture_by_picture(tmp_path: Path) -> None:
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", "libx264", "yuv420p", (64, 48), GREYS))
    with captured(camera) as capture:
        camera.show(len(GREYS))
        seen = set()
        for _ in GREYS:
            capture.read()
        camera.show(len(GREYS))
        for _ in GREYS:
            seen.add(round(colour(shown(capture))[0] / 20))
        assert len(seen) == len(GREYS)


def test_a_damaged_picture_is_left_out(tmp_path: Path) -> None:
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", "mjpeg", "yuvj422p", (64, 48), GREYS))
    with captured(camera) as capture:
        camera.show()
        first = shown(capture)
        camera.damaged = 1
        camera.show()
        assert shown(capture) is first
        camera.show()
        assert shown(capture) is not first


def test_damage_is_told_each_time_that_it_is_ten_times_as_much(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", "mjpeg", "yuvj422p", (64, 48), GREYS))
    with captured(camera) as capture:
        camera.damaged = 25
        for _ in range(25):
            camera.show()
            capture.read()
    told = [vars(line)["fields"] for line in caplog.records if line.getMessage() == "pictures_damaged"]
    assert told == [{"camera": "/dev/video9 (Played Camera)", "count": count} for count in (1, 10)]


def test_pictures_that_are_too_large_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "MAX_PIXELS", 64 * 48 - 1)
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", "mjpeg", "yuvj422p", (64, 48), GREYS))
    with captured(camera) as capture:
        camera.show()
        assert capture.read() == Absence("")  # what was said before still holds


def test_silence_is_counted_from_the_last_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=lambda: round(now_s[0] * 1e9)))
    monkeypatch.setattr(module, "MAX_WAIT_S", 0)
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", "mjpeg", "yuvj422p", (64, 48), GREYS))
    with captured(camera) as capture:
        now_s[0] = 2.0
        camera.show()
        picture = shown(capture)
        now_s[0] = 5.0
        assert shown(capture) is picture
        now_s[0] = 5.1
        with pytest.raises(SourceError, match="gives no pictures"):
            capture.read()


def test_a_camera_that_gives_nothing_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.02)
    monkeypatch.setattr(module, "MAX_SILENCE_NS", 100_000_000)
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", "mjpeg", "yuvj422p", (64, 48), GREYS))
    with captured(camera) as capture:
        began_s = time.monotonic()
        with pytest.raises(SourceError, match=r"/dev/video9 \(Played Camera\) gives no pictures"):
            read_on(capture)
        assert time.monotonic() - began_s > 0.1


def test_a_camera_that_two_open_at_once_is_closed_before_it_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_pictures(tmp_path / "film.nut", "mjpeg", "yuvj422p", (64, 48), GREYS)
    others = []

    def open_beside_another(path: str, **_: object) -> InputContainer:
        others.append(os.open(path, os.O_RDONLY))
        return av.open(path)

    monkeypatch.setattr(device, "offers", lambda _: [])
    monkeypatch.setattr(device, "av", SimpleNamespace(open=open_beside_another))
    with pytest.raises(SourceError, match="is busy") as refused:
        device.open_camera(Webcam(device=str(film)))
    assert refused.tb is not None  # which keeps what nobody has closed
    descriptors = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    assert [descriptor for descriptor in descriptors if is_open_for(descriptor, film)] == others
    os.close(others[0])


def is_open_for(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:  # that of the list of descriptors
        return False


def read_on(capture: WebcamCapture) -> NoReturn:
    while True:
        capture.read()


# ------------------------------------------------------------ in streams


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlayedCamera:
    camera = PlayedCamera(write_pictures(tmp_path / "film.nut", "mjpeg", "yuvj422p", (64, 48), GREYS))
    monkeypatch.setattr(webcam, "opener", lambda source: opener(source, camera.open))
    return camera


def test_streams_of_a_camera_share_it(camera: PlayedCamera) -> None:
    place = Place("ipc1-stream1", "Desk", 0, lambda: None)
    main, sub = (
        open_pictures(SOURCE, place, VideoSpec(width=width, height=48, fps=25), time.monotonic_ns())
        for width in (64, 32)
    )
    with contextlib.closing(main), contextlib.closing(sub), Running(camera):
        wait_for(lambda: main.picture(0, time.monotonic_ns()) is not None)
        wait_for(lambda: sub.picture(0, time.monotonic_ns()) is not None)
    assert camera.opened == [SOURCE]


def test_unplugged_and_plugged_in_again(camera: PlayedCamera) -> None:
    """Readers see the standby picture within two seconds, and the camera's within three seconds of its return."""
    sink = Sink()
    stream = StreamSpec(id="stream1", source=SOURCE, video=VideoSpec(width=64, height=48, fps=25), linger_s=0)
    pipeline = StreamPipeline(stream, sink, title="ipc1-stream1", camera_name="Desk", unix_offset_ns=0)
    pipeline.want()
    try:
        with Running(camera):
            wait_for(lambda: pipeline.state == "running", 10)
            camera.unplug()
            took_s = wait_for(lambda: pipeline.state.startswith("standby: "), 10)
            assert took_s < 2
            assert "/dev/video9" in pipeline.state
            wait_for(lambda: pipeline.state == "standby: there is no /dev/video9", 10)
            grows(sink)  # by the slate
            camera.plug_in()
            assert wait_for(lambda: pipeline.state == "running", 10) < 3
            grows(sink)
    finally:
        pipeline.unwant()
        pipeline.stop()
        assert pipeline.join(5)
    assert len(camera.opened) == 2
    assert all(earlier[1] < later[1] for earlier, later in pairwise(sink.pushed))


def grows(sink: Sink) -> None:
    before = len(sink.pushed)
    wait_for(lambda: len(sink.pushed) > before + 5)
