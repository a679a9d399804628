"""The pictures of a camera, as it gives them."""

import time
from collections.abc import Callable
from functools import partial

from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from camfleet.core.log import Log
from camfleet.core.wire import Webcam

from ...encoders.errors import PYAV_ERRORS
from ..decoded import UNSPECIFIED, PictureCopier
from ..shared import Absence, OpenCapture, Picture, WaitUntilDue
from .device import MAX_SILENCE_NS, Device, open_camera

log = Log("sources")

MAX_WAIT_S = 0.5

OpenDevice = Callable[[Webcam], Device]


def opener(source: Webcam, open_device: OpenDevice = open_camera) -> OpenCapture:
    """`open_device`: tests have other cameras."""
    return partial(WebcamCapture, source, open_device)


class WebcamCapture:
    """A Capture. The camera keeps the pace."""

    def __init__(self, source: Webcam, open_device: OpenDevice, _wait_until_due: WaitUntilDue) -> None:
        self._device = open_device(source)
        self._copier = PictureCopier()
        self._shown: Picture | Absence = Absence("")
        self._newest_ns = time.monotonic_ns()
        self._damaged, self._report_at = 0, 1

    def read(self) -> Picture | Absence:
        frame = self._frame()
        now_ns = time.monotonic_ns()
        if frame is not None:
            self._newest_ns = now_ns
            self._shown = self._copier.copy(_with_matrix(frame), now_ns)
        elif now_ns - self._newest_ns > MAX_SILENCE_NS:
            raise self._device.silence()
        return self._shown

    def close(self) -> None:
        self._device.close()

    def _frame(self) -> VideoFrame | None:
        packet = self._device.packet(MAX_WAIT_S)
        if packet is None:
            return None
        # What has had to wait is late: a machine that is too slow shows fewer pictures, but not old ones.
        while self._device.intra_only and (newer := self._device.packet(0)) is not None:
            packet = newer
        try:
            frames = self._device.decode(packet)
        except PYAV_ERRORS:
            self._report_damage()
            return None
        return frames[-1] if frames else None

    def _report_damage(self) -> None:
        self._damaged += 1
        if self._damaged >= self._report_at:
            log.warning("pictures_damaged", camera=self._device.title, count=self._damaged)
            self._report_at *= 10


def _with_matrix(frame: VideoFrame) -> VideoFrame:
    """Cameras are of ITU-R BT.601 in every size: JFIF says so of JPEG, and Video4Linux of the rest (its colorspace sRGB
    has V4L2_YCBCR_ENC_601 by default, and is that of webcams)."""
    if frame.colorspace == UNSPECIFIED and not frame.format.is_rgb:
        frame.colorspace = Colorspace.ITU601
    return frame
