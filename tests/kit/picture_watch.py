"""A reader that looks at the pictures: what changes in a running stream, and when it is seen."""

import time
from collections.abc import Callable
from typing import NamedTuple

import av
import numpy as np
from av.packet import Packet as AVPacket

from tests.kit.rtsp_client import InterleavedFrame, RTSPClient, Watch
from tests.kit.wait import wait_for
from tests.reference.rtp import Packet, annex_b, depacketize, packet


class Picture(NamedTuple):
    arrived_ns: int  # of its last packet, monotonic
    width: int
    height: int
    step: int  # RTP time since the last one
    size: int  # bytes
    flat: bool  # all of one colour


class PictureWatch(Watch):
    """Decodes as a player that concedes nothing: damage is an error, and so is a change without a key frame."""

    def __init__(self, client: RTSPClient) -> None:
        self.pictures: list[Picture] = []
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.thread_count = 1
        self._decoder.options = {"err_detect": "explode", "flags": "low_delay"}
        self._packets: list[Packet] = []
        self._timestamp: int | None = None
        super().__init__(client)

    def seen(self, frame: InterleavedFrame) -> None:
        if frame.channel != 0:
            return
        last = packet(0, frame.payload)
        self._packets.append(last)
        if not last.marker:
            return
        (unit,) = depacketize(self._packets)
        self._packets = []
        data = annex_b(unit.units)
        step = 0 if self._timestamp is None else (last.timestamp - self._timestamp) & 0xFFFFFFFF
        self._timestamp = last.timestamp
        for picture in self._decoder.decode(AVPacket(data)):
            flat = float(np.asarray(picture.to_ndarray())[: picture.height].std()) < 2
            self.pictures.append(Picture(frame.arrived_ns, picture.width, picture.height, step, len(data), flat))

    def wait_for_picture(self, wanted: Callable[[Picture], bool], since_ns: int, timeout_s: float) -> float:
        """The seconds from `since_ns` to the first picture that is as wanted."""

        def found() -> Picture | None:
            if self.error is not None:
                raise self.error
            assert not self.ended, "the server closed the connection"
            return next((each for each in self.pictures if each.arrived_ns >= since_ns and wanted(each)), None)

        wait_for(found, timeout_s, lambda: f"no such picture; the last ones: {self.pictures[-3:]}")
        picture = found()
        assert picture is not None
        return (picture.arrived_ns - since_ns) / 1e9


def now_ns() -> int:
    """The clock of `Picture.arrived_ns`."""
    return time.monotonic_ns()
