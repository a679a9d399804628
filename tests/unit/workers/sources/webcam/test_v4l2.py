"""FFmpeg's own Video4Linux input and our calls beside it, with a camera that is a FIFO (tests/kit/v4l2_camera.c)."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from camfleet.core.wire import Webcam

from tests.kit.paper_camera import DAMAGED, PaperCamera, compile_driver, jpeg
from tests.kit.wait import wait_for
from tests.rules.sources import ROOT


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[PaperCamera]:
    with contextlib.closing(PaperCamera(tmp_path)) as camera:
        yield camera


class Reader:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._stdout = process.stdout
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._stdout is not None
        self.lines.extend(iter(self._stdout.readline, ""))

    def has(self, text: str) -> float:
        return wait_for(lambda: any(text in line for line in self.lines), 20, lambda: f"{text!r} in {self.lines[-5:]}")

    def sees(self, size: str, luma: int) -> None:
        """A picture of about this luma."""
        wanted = {f"0: {size} {value}\n" for value in range(luma - 3, luma + 4)}
        wait_for(lambda: wanted & set(self.lines), 20, lambda: f"{luma} in {self.lines[-5:]}")


@contextmanager
def reading(driver: Path, camera: PaperCamera, *sources: Webcam) -> Iterator[Reader]:
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


def test_mjpeg_by_name_unplugged_and_plugged_in_again(driver: Path, camera: PaperCamera) -> None:
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


def test_raw_pictures_and_a_damaged_one(driver: Path, camera: PaperCamera) -> None:
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


@pytest.mark.parametrize(
    ("picture_format", "size", "picture", "luma"),
    [
        ("mjpeg", "320x240", jpeg(200), 16 + 200 * 219 // 255),
        ("yuyv422", "160x120", bytes([90, 128]) * (160 * 120), 90),
    ],
)
def test_a_camera_that_gives_not_even_a_first_picture_is_opened_anew(
    driver: Path, camera: PaperCamera, picture_format: str, size: str, picture: bytes, luma: int
) -> None:
    with reading(driver, camera, Webcam(device="Paper", format=picture_format)) as reader:
        took_s = reader.has(f"0: {camera.path} (Paper Camera: Paper) gives no pictures, and is opened anew")
        assert 8 <= took_s < 2 * 8  # once, and not again as of a camera that is open
        for _ in range(2):  # the first is for FFmpeg to look at
            camera.show(picture)
        reader.sees(size, luma)


def test_why_there_are_no_pictures(driver: Path, camera: PaperCamera) -> None:
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


def test_a_camera_that_is_used_already(driver: Path, camera: PaperCamera) -> None:
    with reading(
        driver,
        camera,
        *(Webcam(device="Paper", width=width, height=height) for width, height in ((320, 240), (160, 120))),
    ) as reader:
        camera.show(jpeg(100))
        reader.has(f"{camera.path} (Paper Camera: Paper) is busy: another program has it")
