"""A webcam whose pictures are those of a file: the device is ours, all behind it is the product's."""

from __future__ import annotations  # av.Packet is generic in its stubs only

import errno
import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from camfleet.core.wire import Webcam
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.webcam.device import Device
from camfleet.workers.sources.webcam.nodes import UNPLUGGED, Node

NODE = Node("/dev/video9", "Played Camera")
OPTIONS = {"mjpeg": {"qmin": "1", "qmax": "2"}, "libx264": {"tune": "zerolatency"}}
Colour = tuple[int, int, int]


def write_pictures(path: Path, codec: str, pixel_format: str, size: tuple[int, int], colours: list[Colour]) -> Path:
    """As cameras have them: BT.601, and of full range if it is JPEG. One flat picture of each colour."""
    width, height = size
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.color_range = ColorRange.JPEG if codec == "mjpeg" else ColorRange.MPEG
        stream.codec_context.options = OPTIONS.get(codec, {})
        for number, colour in enumerate(colours):
            painted = VideoFrame.from_ndarray(np.full((height, width, 3), colour, np.uint8), "rgb24")
            frame = painted.reformat(
                format=pixel_format,
                dst_colorspace=Colorspace.ITU601,
                dst_color_range=stream.codec_context.color_range,
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


class PlayedCamera:
    """Shows a picture for each `show`, round and round, until it is unplugged."""

    def __init__(self, film: Path) -> None:
        self.opened: list[Webcam] = []
        self.damaged = 0  # so many of the next pictures are
        self._film = film
        self._plugged = True
        self._shown = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_SEMAPHORE)

    def open(self, source: Webcam) -> Device:
        if not self._plugged:
            raise SourceError(f"there is no {NODE.path}", shown=UNPLUGGED)
        self.opened.append(source)
        return Device(NODE, cast("InputContainer", self), self._shown)

    def show(self, count: int = 1) -> None:
        os.eventfd_write(self._shown, count)

    def unplug(self) -> None:
        self._plugged = False
        self.show()  # who waits is woken

    def plug_in(self) -> None:
        while self._take():
            pass
        self._plugged = True

    # What a Device needs of its container.

    @property
    def streams(self) -> Any:
        self._container = av.open(str(self._film))
        self._packets = self._round()
        return self._container.streams

    def demux(self, _stream: VideoStream) -> Iterator[Packet[Any]]:
        while True:
            assert self._take(), "read without a picture: a camera would let us wait"
            if not self._plugged:
                raise av.error.OSError(errno.ENODEV, "No such device")
            packet = next(self._packets)
            if self.damaged:
                self.damaged -= 1
                yield Packet(b"\xff\xd8 no picture")
            else:
                yield packet

    def close(self) -> None:
        self._container.close()

    def _take(self) -> bool:
        try:
            os.eventfd_read(self._shown)
        except BlockingIOError:
            return False
        return True

    def _round(self) -> Iterator[Packet[Any]]:
        while True:
            yield from (packet for packet in self._container.demux(video=0) if packet.size)
            self._container.seek(0)


class Running:
    """Shows fifty pictures a second while the block runs."""

    def __init__(self, camera: PlayedCamera) -> None:
        self._camera = camera
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            self._camera.show()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
