"""Reads testlive's burnt-in text back from a picture."""

import numpy as np
from camfleet.workers.sources.font import ADVANCE, LINE_HEIGHT, glyph
from camfleet.workers.sources.testlive import TEXT_COLUMNS
from numpy.typing import NDArray

CHARACTERS = [chr(code) for code in range(ord(" "), ord("~") + 1)]
GLYPHS = np.stack([glyph(character, 1, 1, 0) for character in CHARACTERS])
LINES = 3  # title, wall clock, frame number


def text_box(width: int, height: int) -> tuple[slice, slice, int]:
    """Rows and columns of the dots of the text, and the size of a dot; found by the box, as a person would."""
    scale = max(1, min(width // 150, height // 56))
    left = ((width - TEXT_COLUMNS * ADVANCE * scale) // 2 - 2 * scale & ~1) + 2 * scale
    top = (height // 8 & ~1) + scale
    bottom, right = top + LINES * (LINE_HEIGHT + 2) * scale, left + TEXT_COLUMNS * ADVANCE * scale
    return slice(top, bottom), slice(left, right), scale


def read_lines(text: NDArray[np.uint8], scale: int) -> list[str]:
    """The lines in the luma of a text box."""
    pitch = (LINE_HEIGHT + 2) * scale
    return [_read_line(text[index * pitch : index * pitch + LINE_HEIGHT * scale], scale) for index in range(LINES)]


def _read_line(luma: NDArray[np.uint8], scale: int) -> str:
    text = ""
    for left in range(0, luma.shape[1], ADVANCE * scale):
        cell = luma[:, left : left + ADVANCE * scale]
        dots = cell.reshape(LINE_HEIGHT, scale, ADVANCE, scale).mean(axis=(1, 3)) > 125
        text += CHARACTERS[int((dots != GLYPHS).sum(axis=(1, 2)).argmin())]
    return text.rstrip()
