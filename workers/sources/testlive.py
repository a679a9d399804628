"""A test pattern painted straight into YUV 4:2:0: colour bars, a ramp, something that moves, and burnt-in text.

The ground is painted once; a frame costs only the characters that changed and the moving block.
"""

import time

import numpy as np
from av.video.frame import VideoFrame

from ..clockmap import NS_PER_S
from ..codecs import BT709
from .base import SourceError
from .font import ADVANCE, LINE_HEIGHT, glyph
from .planes import Plane, Planes, new_picture

BLACK, GREY, WHITE = 16, 64, 235  # luma of BT.709, limited range (H.273: 16-235)
# 75 % colour bars, (Y, Cb, Cr): white, yellow, cyan, green, magenta, red, blue, black.
BARS = (
    (180, 128, 128), (168, 44, 136), (145, 147, 44), (133, 63, 52),
    (63, 193, 204), (51, 109, 212), (28, 212, 120), (16, 128, 128),
)  # fmt: skip
TEXT_COLUMNS = len("2026-11-22 12:34:56.789")
MIN_SIZE = 64  # the text's box is 142 x 30 at its smallest, and then cut off at the right
SWEEP_NS = 4 * NS_PER_S


class TestPattern:
    """Pictures of one size. All are painted into one buffer: a picture is gone when the next is asked for."""

    __test__ = False  # pytest would collect the name
    colours = BT709
    skipped = 0
    absence = ""
    shared = None

    def __init__(self, title: str, width: int, height: int, unix_offset_ns: int) -> None:
        if width % 2 or height % 2 or min(width, height) < MIN_SIZE:
            raise SourceError(f"a test pattern of {width}x{height}: both must be even and at least {MIN_SIZE}")
        self._unix_offset_ns = unix_offset_ns
        self._frame, planes = new_picture(width, height)
        self._strip = _paint_ground(planes)
        self._block = slice(0, 0)
        title_line, self._clock_line, self._frame_line = _text_box(planes)
        title_line.write(title)
        self._second, self._second_text = -1, ""

    def picture(self, number: int, capture_ns: int) -> VideoFrame:
        self._clock_line.write(self._clock_text(capture_ns + self._unix_offset_ns))
        self._frame_line.write(f"frame {number}")
        self._move_block(capture_ns)
        return self._frame

    def close(self) -> None:
        pass

    def _clock_text(self, unix_ns: int) -> str:
        second, ns = divmod(unix_ns, NS_PER_S)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._second_text}.{ns // 1_000_000:03d}"

    def _move_block(self, capture_ns: int) -> None:
        """By time, not by frame: a stutter of the stream is seen as a jump."""
        side, width = self._strip.shape
        left = capture_ns % SWEEP_NS * (width - side) // SWEEP_NS if width > side else 0
        self._strip[:, self._block] = GREY
        self._block = slice(left, left + side)
        self._strip[:, self._block] = WHITE


class _Line:
    """A line of text; only what differs from what stands there is painted."""

    def __init__(self, area: Plane, scale: int) -> None:
        self._area = area
        self._scale = scale
        self._columns = area.shape[1] // (ADVANCE * scale)
        self._text = " " * self._columns
        self._glyphs: dict[str, Plane] = {}

    def write(self, text: str) -> None:
        text = text.ljust(self._columns)[: self._columns]
        width = ADVANCE * self._scale
        for column, (old, new) in enumerate(zip(self._text, text, strict=True)):
            if new != old:
                if new not in self._glyphs:
                    self._glyphs[new] = glyph(new, self._scale, WHITE, BLACK)
                self._area[:, column * width : (column + 1) * width] = self._glyphs[new]
        self._text = text


def _paint_ground(planes: Planes) -> Plane:
    """Bars over a ramp over the strip of the moving block, which is returned."""
    luma, *chroma = planes
    height, width = luma.shape
    bars_end, ramp_end = height * 5 // 8 & ~1, height * 7 // 8 & ~1
    for index, (y, cb, cr) in enumerate(BARS):
        left, right = (width * edge // len(BARS) & ~1 for edge in (index, index + 1))
        luma[:bars_end, left:right] = y
        for plane, colour in zip(chroma, (cb, cr), strict=True):
            plane[: bars_end // 2, left // 2 : right // 2] = colour
    luma[bars_end:ramp_end] = np.linspace(BLACK, WHITE, width).astype(np.uint8)
    luma[ramp_end:] = GREY
    for plane in chroma:
        plane[bars_end // 2 :] = 128
    return luma[ramp_end:]


def _text_box(planes: Planes) -> list[_Line]:
    """Three black lines on the bars, in the largest whole multiple of the font that fits."""
    luma, *chroma = planes
    height, width = luma.shape
    scale = max(1, min(width // ((TEXT_COLUMNS + 2) * ADVANCE), height // (7 * LINE_HEIGHT)))
    columns = min(TEXT_COLUMNS, (width - 4 * scale) // (ADVANCE * scale))
    text_width, pitch = columns * ADVANCE * scale, (LINE_HEIGHT + 2) * scale
    top, left = height // 8 & ~1, (width - text_width) // 2 - 2 * scale & ~1
    bottom, right = top + 3 * pitch, left + text_width + 4 * scale
    luma[top:bottom, left:right] = BLACK
    for plane in chroma:
        plane[top // 2 : bottom // 2, left // 2 : right // 2] = 128
    text = luma[top + scale :, left + 2 * scale : left + 2 * scale + text_width]
    return [_Line(text[index * pitch : index * pitch + LINE_HEIGHT * scale], scale) for index in range(3)]
