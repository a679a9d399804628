"""Reads text in our own bitmap font back from a picture."""

import numpy as np
from camfleet.workers.sources.font import ADVANCE, LINE_HEIGHT, glyph
from numpy.typing import NDArray

CHARACTERS = [chr(code) for code in range(ord(" "), ord("~") + 1)]
GLYPHS = np.stack([glyph(character, 1, 1, 0) for character in CHARACTERS])


def read_line(luma: NDArray[np.uint8], top: int, left: int, scale: int, columns: int) -> str:
    """The text whose first character's dots begin at (top, left)."""
    text = ""
    for column in range(columns):
        x = left + column * ADVANCE * scale
        cell = luma[top : top + LINE_HEIGHT * scale, x : x + ADVANCE * scale]
        dots = cell.reshape(LINE_HEIGHT, scale, ADVANCE, scale).mean(axis=(1, 3)) > 125
        text += CHARACTERS[int((dots != GLYPHS).sum(axis=(1, 2)).argmin())]
    return text.rstrip()
