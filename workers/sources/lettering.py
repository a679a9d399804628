"""Text as coverage, set by Pillow: for slates and overlays."""

import re
import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .base import SourceError

Coverage = NDArray[np.uint8]  # 0 = nothing of the sample is ink, 255 = all of it

# Pillow brings a face that has ASCII only; where DejaVu is installed, names of other alphabets can be read.
FACES = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",  # Debian
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",  # Fedora
    "/usr/share/fonts/TTF/DejaVuSans.ttf",  # Arch
)
# A clock that ticks costs one digit; everything else is set as a whole, as a face wants it (kerning, joined scripts).
_PIECES = re.compile(r"\d|\D+")
MAX_KEPT = 256  # pieces; names of days and months come and go
ELLIPSIS = "..."


class Lettering:
    """One face in one size, `height` samples from line to line. All widths are even, as chroma has half of them."""

    def __init__(self, height: int, font: str = "") -> None:
        """`font`: a file of any format that FreeType knows. Raises SourceError when it is none."""
        self.height = height
        file = font or next((face for face in FACES if Path(face).is_file()), "")
        try:
            self._face = _face(file, height)
        except OSError as error:
            raise SourceError(f"{font} cannot be used as a font: {error}; check the `font` of the overlay") from error
        self._is_ascii_only = not file
        self._kept: dict[str, Coverage] = {}
        self._widths: dict[str, int] = {}

    def pieces(self, text: str) -> list[str]:
        """What is set one by one, in order."""
        return _PIECES.findall(_in_ascii(text) if self._is_ascii_only else text)

    def width(self, text: str) -> int:
        return sum(self.piece_width(piece) for piece in self.pieces(text))

    def coverage(self, piece: str) -> Coverage:
        """Of a piece; `height` lines of it."""
        if piece not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[piece] = self._set(piece)
        return self._kept[piece]

    def line(self, text: str, width: int) -> Coverage:
        """A line that is no longer than `width`, cut off with an ellipsis if need be."""
        if self.width(text) > width:
            while text and self.width(text + ELLIPSIS) > width:
                text = text[:-1].rstrip()
            text += ELLIPSIS
        pieces = [self.coverage(piece) for piece in self.pieces(text)]
        return np.hstack(pieces)[:, : width & ~1] if pieces else np.zeros((self.height, 0), np.uint8)

    def piece_width(self, piece: str) -> int:
        if piece not in self._widths:
            if len(self._widths) >= MAX_KEPT:
                self._widths.clear()
            self._widths[piece] = -2 * int(-self._face.getlength(piece) // 2)
        return self._widths[piece]

    def _set(self, piece: str) -> Coverage:
        image = Image.new("L", (self.piece_width(piece), self.height))
        ascent, _ = self._face.getmetrics()
        ImageDraw.Draw(image).text((0, ascent), piece, fill=255, font=self._face, anchor="ls")
        return np.asarray(image)


def _face(file: str, height: int) -> ImageFont.FreeTypeFont:
    """In the largest size whose ascenders and descenders are within `height`."""
    size = height
    while True:
        face = ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
        assert isinstance(face, ImageFont.FreeTypeFont)
        if sum(face.getmetrics()) <= height or size == 1:
            return face
        size -= 1


def _in_ascii(text: str) -> str:
    """Without accents, and "?" for what is left."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(part for part in parts if not unicodedata.combining(part)).encode("ascii", "replace").decode()
