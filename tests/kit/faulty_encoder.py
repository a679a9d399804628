"""A graphics card's encoder on a machine without one: x264 or x265, and the fault that a test asks for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from av.video.frame import VideoFrame
from camfleet.core.wire import VideoSpec
from camfleet.workers.codecs import BT709, AccessUnit, Colours
from camfleet.workers.encoders import Encoder, EncoderError, OpeningEncoder, VideoEncoder, open_encoder
from camfleet.workers.encoders.backends import SOFTWARE, Backend
from camfleet.workers.encoders.errors import with_reasons

from tests.kit.clips import flat_picture
from tests.kit.wait import wait_for

DEADLINE_S = 30.0  # a thread that hangs longer would outlive the tests
FPS = 30


class Faults:
    """Opens encoders, in place of `Encoder`: those of hardware do as told, those of the CPU work if `cpu`.

    `at_open`: "missing" (no driver), "no session", "hang". `at_picture`: number of the first picture that goes wrong,
    and how: "raise" (as FFmpeg), "crash" (as no library should), "silent", "hang". `hanging` calls return at `let_go`.
    """

    def __init__(self, *, at_open: str = "", at_picture: tuple[int, str] = (0, ""), cpu: bool = True) -> None:
        self.at_open = at_open
        self.cpu = cpu
        self.at_picture = at_picture
        self.asked = 0  # to open one of hardware
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.threads: set[str] = set()  # that have called into the hardware's
        self.hanging = 0
        self._free = threading.Event()

    def __call__(self, video: VideoSpec, backend: Backend, colours: Colours) -> "Encoder | FaultyEncoder":
        if not backend.nodes:
            if not self.cpu:
                raise EncoderError(f"{backend.ffmpeg}: no memory")
            self.opened.append(backend.ffmpeg)
            return Encoder(video, backend, colours)
        self.asked += 1
        if self.at_open == "missing":
            raise EncoderError(f"{backend.ffmpeg}: no driver")
        if self.at_open == "no session":
            raise EncoderError(f"{backend.ffmpeg}: the NVIDIA GPU opens no further encoder session")
        if self.at_open == "hang":
            with with_reasons():  # as an encoder of PyAV opens
                self.hang()
        self.opened.append(backend.ffmpeg)
        return FaultyEncoder(self, video, backend, colours)

    def hang(self) -> None:
        self.hanging += 1
        assert self._free.wait(DEADLINE_S)
        self.hanging -= 1

    def let_go(self) -> None:
        self._free.set()


class FaultyEncoder:
    def __init__(self, faults: Faults, video: VideoSpec, backend: Backend, colours: Colours) -> None:
        self.name = backend.ffmpeg
        self._faults = faults
        self._encoder = Encoder(video, SOFTWARE[video.codec], colours)
        self.parameter_sets = self._encoder.parameter_sets

    def encode(self, picture: VideoFrame, number: int, capture_ns: int, force_key: bool) -> list[AccessUnit]:
        first, how = self._faults.at_picture
        self._faults.threads.add(threading.current_thread().name)
        if how and number >= first:
            match how:
                case "raise":
                    raise EncoderError(f"{self.name}: Generic error in an external library")
                case "crash":
                    raise KeyError(number)
                case "silent":
                    return []
                case "hang":
                    self._faults.hang()
        return self._encoder.encode(picture, number, capture_ns, force_key)

    def set_bitrate(self, bitrate_bps: int) -> bool:
        raise AssertionError(f"nobody asks a graphics card for {bitrate_bps}")

    def close(self) -> None:
        self._faults.closed.append(self.name)


@contextmanager
def faults(*, at_open: str = "", at_picture: tuple[int, str] = (0, ""), cpu: bool = True) -> Iterator[Faults]:
    """What hangs in it returns at the end."""
    made = Faults(at_open=at_open, at_picture=at_picture, cpu=cpu)
    try:
        yield made
    finally:
        made.let_go()


def small_video(encoder: str = "nvenc", codec: str = "h264") -> VideoSpec:
    return VideoSpec(codec=codec, width=160, height=96, fps=FPS, bitrate_bps=300_000, gop=300, encoder=encoder)


def open_and_wait(video: VideoSpec, made: Faults) -> VideoEncoder:
    """What the stream has in the end."""
    encoder = open_encoder(video, BT709, made)
    if isinstance(encoder, OpeningEncoder):
        wait_for(lambda: encoder.opened(0) is not encoder, why="the card has not answered")
        return encoder.opened(0)
    return encoder


def run(encoder: VideoEncoder, first: int, count: int) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    for number in range(first, first + count):
        units += encoder.encode(flat_picture(number, 160, 96), number, number * 1_000_000_000 // FPS, False)
    return units


def driver_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("h264_", "hevc_"))]
