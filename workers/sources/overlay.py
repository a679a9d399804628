"""Text over pictures: the camera's name, the wall clock, anything else.

What is set costs when it changes, and a clock that ticks changes a digit. For a picture all is ready: how much of it
stays where the text is, and what is added to that.

    sample = (sample * keep + add) / 256
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from camfleet.core.video.blend import blend
from camfleet.core.wire import OverlaySpec
from numpy.typing import NDArray

from ..clockmap import NS_PER_S
from .lettering import MAX_KEPT, Coverage, Lettering
from .planes import Plane, Planes, frame_over, planes

Levels = NDArray[np.uint16]
MIN_HEIGHT = 8
ONE = 256


class Layer(NamedTuple):
    """For one plane."""

    keep: Levels
    add: Levels


class Overlay:
    """For pictures of one size, in YUV 4:2:0 of BT.709. Belongs to one thread."""

    def __init__(
        self, specs: Sequence[OverlaySpec], width: int, height: int, camera_name: str, unix_offset_ns: int
    ) -> None:
        """Raises SourceError when a font cannot be used."""
        self._unix_offset_ns = unix_offset_ns
        self._lines: list[_Line] = []
        margin = _even(height / 36)
        taken: dict[str, int] = {}  # by the lines before, at each position
        for spec in specs:
            line = _Line(spec, width - 2 * margin, height, camera_name)
            offset = margin + taken.get(spec.position, 0)
            if offset + line.height + margin <= height:
                line.place(width, height, margin, offset)
                taken[spec.position] = taken.get(spec.position, 0) + line.height
                self._lines.append(line)
        self._under: list[tuple[Plane, Plane]] = []  # what was painted over, and where
        self._copy: tuple[Plane, VideoFrame, Planes] | None = None

    def paint(self, picture: VideoFrame, capture_ns: int, shared: Plane | None) -> VideoFrame:
        """Into the picture itself, until `restore`; into a copy when its samples are shared."""
        if shared is None:
            samples = planes(picture)
        else:
            picture, samples = self._copied(shared)
        for line in self._lines:
            line.tell(capture_ns + self._unix_offset_ns)
            for plane, layer, (rows, columns) in zip(samples, line.layers, line.areas, strict=True):
                area = plane[rows, columns]
                if shared is None:
                    self._under.append((area, area.copy()))
                blend(area, layer.keep, layer.add)
        return picture

    def _copied(self, shared: Plane) -> tuple[VideoFrame, Planes]:
        if self._copy is None:
            copy = np.empty_like(shared)
            frame = frame_over(copy)
            self._copy = copy, frame, planes(frame)
        copy, frame, samples = self._copy
        copy[:] = shared
        return frame, samples

    def restore(self) -> None:
        """The last picture as its source had left it."""
        while self._under:  # the last first: lines may lie over one another
            area, samples = self._under.pop()
            area[:] = samples


class _Line:
    """One text in its place."""

    def __init__(self, spec: OverlaySpec, max_width: int, picture_height: int, camera_name: str) -> None:
        self.height = min(max(MIN_HEIGHT, _even(picture_height * spec.size)), picture_height // 2 & ~1)
        self.layers: list[Layer] = []
        self.areas: list[tuple[slice, slice]] = []
        self._lettering = Lettering(self.height, spec.font)
        self._template, self._camera_name, self._position = spec.text, camera_name, spec.position
        self._ink, self._box = _Colour.of(spec.colour), _Colour.of(spec.box)
        self._pieces: list[str] = []
        self._widths: list[int] = []
        self._max_width = max_width
        self._set: dict[str, list[Layer]] = {}
        self._second, self._second_text, self._text = -1, "", ""

    def place(self, width: int, height: int, margin: int, offset: int) -> None:
        vertical, _, horizontal = self._position.partition("-")
        self._top = offset if vertical == "top" else height - offset - self.height & ~1
        self._horizontal, self._width, self._margin = horizontal, width, margin

    def tell(self, unix_ns: int) -> None:
        """The text of this moment."""
        second, ns = divmod(unix_ns, NS_PER_S)
        if second != self._second:
            self._second = second
            text = time.strftime(self._template, time.localtime(second)) if "%" in self._template else self._template
            self._second_text = text.replace("{camera}", self._camera_name)
        text = self._second_text.replace("{ms}", f"{ns // 1_000_000:03d}")
        if text != self._text:
            self._text = text
            self._lay_out(text)

    def _lay_out(self, text: str) -> None:
        """As many pieces as the picture is wide for; what stands already is left."""
        pieces: list[str] = []
        widths: list[int] = []
        for piece in (" ", *self._lettering.pieces(text), " "):
            piece_width = self._lettering.piece_width(piece)
            if sum(widths) + piece_width > self._max_width:
                break
            pieces.append(piece)
            widths.append(piece_width)
        if widths != self._widths:
            self._reserve(sum(widths))
            self._pieces, self._widths = [""] * len(pieces), widths
        left = 0
        for old, piece, piece_width in zip(self._pieces, pieces, widths, strict=True):
            if piece != old:
                for layer, part, share in zip(self.layers, self._layers_of(piece), (1, 2, 2), strict=True):
                    columns = slice(left // share, (left + piece_width) // share)
                    layer.keep[:, columns], layer.add[:, columns] = part
            left += piece_width
        self._pieces = pieces

    def _reserve(self, width: int) -> None:
        """Layers and areas for a line of this width."""
        left = {"left": self._margin, "right": self._width - self._margin - width}.get(
            self._horizontal, (self._width - width) // 2
        )
        left = max(0, left) & ~1
        self.layers, self.areas = [], []
        for share in (1, 2, 2):
            shape = self.height // share, width // share
            self.layers.append(Layer(np.empty(shape, np.uint16), np.empty(shape, np.uint16)))
            rows = slice(self._top // share, (self._top + self.height) // share)
            self.areas.append((rows, slice(left // share, (left + width) // share)))

    def _layers_of(self, piece: str) -> list[Layer]:
        """Ink over the box over the picture."""
        if piece not in self._set:
            if len(self._set) >= MAX_KEPT:
                self._set.clear()
            fine = self._lettering.coverage(piece)
            coarse = fine.reshape(self.height // 2, 2, fine.shape[1] // 2, 2).mean(axis=(1, 3))
            self._set[piece] = [
                self._layer(coverage, ink, box)
                for coverage, ink, box in zip((fine, coarse, coarse), self._ink.levels, self._box.levels, strict=True)
            ]
        return self._set[piece]

    def _layer(self, coverage: Coverage | NDArray[np.float64], ink: float, box: float) -> Layer:
        by_ink = coverage / 255.0 * self._ink.opacity
        by_box = (1 - by_ink) * self._box.opacity
        keep = np.rint(ONE * (1 - by_ink - by_box))
        # + 128: to the nearest level, and not below it.
        add = np.clip(ONE * (ink * by_ink + box * by_box) + 128, 0, ONE * 255 + 128 - 255 * keep)
        return Layer(keep.astype(np.uint16), np.rint(add).astype(np.uint16))


class _Colour(NamedTuple):
    levels: tuple[float, float, float]  # Y, Cb, Cr of BT.709, limited range
    opacity: float

    @classmethod
    def of(cls, rgba: int) -> "_Colour":
        red, green, blue, alpha = (byte / 255 for byte in rgba.to_bytes(4))
        luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        levels = 16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748
        return cls(levels, alpha)


def _even(size: float) -> int:
    return 2 * round(size / 2)
