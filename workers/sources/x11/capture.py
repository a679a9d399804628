"""The pictures of a desktop or a window, as they are asked for."""

from __future__ import annotations  # av.Packet is generic in its stubs only

from collections.abc import Iterator
from functools import partial

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from camfleet.core.video.bgrx import i420_from_bgrx
from camfleet.core.wire import ScreenLive, WindowLive
from Xlib.error import XError

from ...clockmap import NS_PER_S
from ...encoders.errors import PYAV_ERRORS, plain_words
from ..base import SourceError
from ..mediafile import MAX_PIXELS
from ..shared import STALE_NS, Absence, Buffers, OpenCapture, Picture, WaitUntilDue
from .area import Area, Finder
from .connection import LOST, authority, connect, disconnect
from .desktop import DesktopFinder
from .windows import WindowFinder

# For so long a window that has grown shows its old size, and one that has come back is not seen; one that is gone,
# hidden or smaller fails to be grabbed at once. A look costs 0.1 to 0.3 ms, a search among 30 windows 6.
LOOK_NS = NS_PER_S // 4

# Unless it is told otherwise, FFmpeg takes pictures for 5 MB when it opens and gives those first: of a small window 40,
# by which all that follow would be late.
NO_PROBING = {"probesize": "32", "analyzeduration": "0", "fpsprobesize": "0"}
NO_WAITING = {"framerate": "1000"}  # of its own: it is called when it is time


def opener(source: ScreenLive | WindowLive) -> OpenCapture:
    return partial(X11Capture, source)


class X11Capture:
    def __init__(self, source: ScreenLive | WindowLive, wait_until_due: WaitUntilDue) -> None:
        self._source = source
        self._wait_until_due = wait_until_due
        self._min_interval_ns = NS_PER_S // source.max_fps
        self._finder = _finder(source)
        self._found: Area | Absence = Absence("not looked for yet")
        self._look_at_ns = 0
        self._grabber: Grabber | None = None
        self._buffers = Buffers()
        self._shown: Picture | Absence = self._found

    def read(self) -> Picture | Absence:
        absent = isinstance(self._found, Absence)
        now_ns = self._wait_until_due(LOOK_NS if absent and self._look_at_ns else self._min_interval_ns)
        try:
            if now_ns >= self._look_at_ns:
                self._look(now_ns)
            self._shown = self._grab(now_ns)
        except LOST as error:
            raise SourceError(f"the X server at display {self._source.display} has gone: {error}") from error
        return self._shown

    def close(self) -> None:
        self._close_grabber()
        self._finder.close()

    def _grab(self, now_ns: int) -> Picture | Absence:
        """What cannot be grabbed may have been hidden or changed since the last look: look, and try once more."""
        for again in (True, False):
            if isinstance(self._found, Absence):
                break
            try:
                if self._grabber is None:
                    self._grabber = Grabber(self._source, self._found)
                return self._grabber.grab(now_ns, self._buffers)
            except PYAV_ERRORS as error:
                self._close_grabber()
                if again:
                    self._look(now_ns)
                elif not self._is_fresh(now_ns):
                    return Absence(f"it cannot be captured: {plain_words(error)}")
        return self._found if isinstance(self._found, Absence) else self._shown

    def _is_fresh(self, now_ns: int) -> bool:
        """What is shown will do for now: a window that is being resized is faster than we are."""
        return isinstance(self._shown, Picture) and now_ns - self._shown.capture_ns <= STALE_NS

    def _look(self, now_ns: int) -> None:
        self._look_at_ns = now_ns + LOOK_NS
        try:
            found = self._finder.find()
        except XError as error:  # it went while it was looked at
            found = Absence(f"it cannot be found: {error}")
        if isinstance(found, Area) and found.width * found.height > MAX_PIXELS:
            raise SourceError(f"{found.width}x{found.height} pixels are more than can be captured")
        if found != self._found:
            self._close_grabber()
        self._found = found

    def _close_grabber(self) -> None:
        if self._grabber is not None:
            self._grabber.close()
            self._grabber = None


class Grabber:
    """x11grab, open for one area. Raises PYAV_ERRORS."""

    def __init__(self, source: ScreenLive | WindowLive, area: Area) -> None:
        options = {
            "video_size": f"{area.width}x{area.height}",
            "grab_x": str(area.x),
            "grab_y": str(area.y),
            "draw_mouse": str(int(source.cursor)),
            **NO_PROBING,
            **NO_WAITING,
        }
        if area.window:
            options["window_id"] = str(area.window)
        if area.follow_mouse:
            options["follow_mouse"] = "centered"
        with authority(source.display, source.xauthority):
            container = av.open(source.display, format="x11grab", options=options)
        assert isinstance(container, InputContainer)
        self._container = container
        self._stream = container.streams.video[0]
        self._packets: Iterator[Packet[VideoStream]] = container.demux(self._stream)
        next(self._packets, None)  # it takes one in any case
        self._stride = 4 * area.width
        self._width, self._height = area.width // 2 * 2, area.height // 2 * 2
        self._scaler = VideoReformatter()

    def grab(self, now_ns: int, buffers: Buffers) -> Picture:
        packet = next(self._packets, None)
        if packet is None:
            raise ValueError("x11grab has ended")
        picture = buffers.picture(self._width, self._height, now_ns)
        if self._stream.codec_context.pix_fmt in ("bgr0", "bgra"):  # screens of 24 bits, windows of 32
            i420_from_bgrx(memoryview(packet), self._stride, picture.samples)
        else:
            self._convert(packet, picture)
        return picture

    def close(self) -> None:
        self._container.close()

    def _convert(self, packet: Packet[VideoStream], picture: Picture) -> None:
        """Screens of 8, 15, 16 or 30 bits: rare, and no faster than FFmpeg."""
        (frame,) = self._stream.codec_context.decode(packet)
        converted = self._scaler.reformat(
            frame,
            self._width,
            self._height,
            "yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        np.copyto(picture.samples, converted.to_ndarray())


def _finder(source: ScreenLive | WindowLive) -> Finder:
    display = connect(source.display, source.xauthority)
    try:
        return DesktopFinder(display, source) if isinstance(source, ScreenLive) else WindowFinder(display, source)
    except Exception:
        disconnect(display)
        raise
