"""FFmpeg's own Video4Linux input and our calls beside it, with a camera that is a FIFO (tests/kit/v4l2_camera.c)."""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from av import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from camfleet.core.wire import Webcam

from tests.kit.wait import wait_for
from tests.rules.sources import ROOT

UNPLUGGED, DAMAGED = 0xFFFFFFFF, 0xFFFFFFFE  # as in v4l2_camera.c


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("driver") / "v4l2_camera.so"
    source = str(ROOT / "tests/kit/v4l2_camera.c")
    subprocess.run(["cc", "-Wall", "-Werror", "-shared", "-fPIC", source, "-o", str(library), "-ldl"], check=True)
    return library


class Camera:
    """Two nodes, the second of which gives no pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "dev" / "video0"
        (folder / "dev").mkdir()
        (folder / "sysfs").mkdir()
        self._fd = -1
        self.plug_in()

    def plug_in(self) -> None:
        for name in ("video0", "video1"):
            os.mkfifo(self.folder / "dev" / name)
            (self.folder / "sysfs" / name).mkdir()
            (self.folder / "sysfs" / name / "name").write_text("Paper Camera: Paper\n")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, 1 << 20)

    def unplug(self) -> None:
        self.give(UNPLUGGED)
        os.close(self._fd)
        for name in ("video0", "video1"):
            (self.folder / "dev" / name).unlink()
            (self.folder / "sysfs" / name / "name").unlink()
            (self.folder / "sysfs" / name).rmdir()

    def give(self, length: int, picture: bytes = b"") -> None:
        os.write(self._fd, struct.pack("=I", length) + picture)

    def show(self, picture: bytes) -> None:
        self.give(len(picture), picture)


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    camera = Camera(tmp_path)
    yield camera
    with contextlib.suppress(OSError):
        os.close(camera._fd)


def jpeg(luma: int, width: int = 320, height: int = 240) -> bytes:
    encoder = CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj422p"
    encoder.framerate, encoder.time_base = Fraction(25), Fraction(1, 25)
    frame = VideoFrame(width, height, "yuvj422p")
    for plane, level in zip(frame.planes, (luma, 128, 128), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


class Reader:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._stdout = process.stdout
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._stdout is not None
        self.lines.extend(iter(self._stdout.readline, ""))

    def has(self, text: str) -> None:
        wait_for(lambda: any(text in line for line in self.lines), 20, lambda: f"{text!r} in {self.lines[-5:]}")

    def sees(self, size: str, luma: int) -> None:
        """A picture of about this luma."""
        wanted = {f"0: {size} {value}\n" for value in range(luma - 3, luma + 4)}
        wait_for(lambda: wanted & set(self.lines), 20, lambda: f"{luma} in {self.lines[-5:]}")


@contextmanager
def reading(driver: Path, camera: Camera, *sources: Webcam) -> Iterator[Reader]:
    command = [sys.executable, "-P", "-m", "tests.kit.webcam_reader", str(camera.folder)]
    command += [msgspec.json.encode(source).decode() for source in sources]
    environment = os.environ | {"LD_PRELOAD": str(driver), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Reader(process)
        finally:
            process.stdin.close() if process.stdin else None
            assert process.wait(20) == 0


def test_mjpeg_by_name_unplugged_and_plugged_in_again(driver: Path, camera: Camera) -> None:
    with reading(driver, camera, Webcam(device="Paper")) as reader:
        camera.show(jpeg(100))  # for FFmpeg to look at
        camera.show(jpeg(200))
        reader.sees("320x240", 16 + 200 * 219 // 255)
        camera.show(jpeg(50))
        reader.sees("320x240", 16 + 50 * 219 // 255)
        camera.unplug()
        reader.has(f"0: {camera.path} (Paper Camera: Paper) is gone: was the camera unplugged?")
        reader.has('0: no camera is called "Paper": this machine has no camera now')
        camera.plug_in()
        camera.show(jpeg(150))
        camera.show(jpeg(150))
        reader.sees("320x240", 16 + 150 * 219 // 255)


def test_raw_pictures_and_a_damaged_one(driver: Path, camera: Camera) -> None:
    source = Webcam(device=str(camera.path), format="yuyv422", fps=15)
    with reading(driver, camera, source) as reader:
        for _ in range(2):  # the first is for FFmpeg to look at
            camera.show(bytes([90, 128]) * (160 * 120))
        reader.sees("160x120", 90)
        camera.give(DAMAGED)
        camera.show(bytes([150, 128]) * (160 * 120 // 2))  # half of one
        camera.show(bytes([200, 128]) * (160 * 120))
        reader.sees("160x120", 200)
        assert not any(" 150" in line for line in reader.lines)


def test_why_there_are_no_pictures(driver: Path, camera: Camera) -> None:
    (camera.folder / "notes").touch()
    with reading(
        driver,
        camera,
        Webcam(device="Paper", width=640, height=480, format="mjpeg"),
        Webcam(device=str(camera.path.with_name("video1"))),
        Webcam(device=str(camera.folder / "notes")),
        Webcam(device=str(camera.folder / "dev" / "video7")),
        Webcam(device="Paper", format="h264"),
    ) as reader:
        title = f"{camera.path} (Paper Camera: Paper)"
        offered = "yuyv422 160x120; mjpeg 160x120, 320x240"
        reader.has(f"0: {title} does not offer mjpeg 640x480, but {offered}")
        reader.has(f"1: {camera.path.with_name('video1')} is no camera, or one that gives no pictures")
        reader.has(f"2: {camera.folder / 'notes'} is no camera, or one that gives no pictures")
        reader.has(f"3: there is no {camera.folder / 'dev' / 'video7'}: there is {title}, ")
        reader.has(f"4: {title} does not offer h264, but {offered}")


def test_a_camera_that_is_used_already(driver: Path, camera: Camera) -> None:
    with reading(
        driver,
        camera,
        *(Webcam(device="Paper", width=width, height=height) for width, height in ((320, 240), (160, 120))),
    ) as reader:
        camera.show(jpeg(100))
        reader.has(f"{camera.path} (Paper Camera: Paper) is busy: another program has it")
