"""Pictures that do not change: the slate in the place of a picture that is missing."""

from collections.abc import Sequence

import numpy as np
from av.video.frame import VideoFrame

from ..codecs import BT709, Colours
from .lettering import Lettering
from .planes import new_picture

GROUND = (28, 140, 120)  # Y, Cb, Cr of BT.709: a dark blue, told from a camera in the dark
INK = 210
MIN_LINE = 8  # samples; smaller text is none


class StillPicture:
    """One picture for ever."""

    skipped = 0
    absence = ""
    shared = None

    def __init__(self, frame: VideoFrame, colours: Colours = BT709) -> None:
        self.colours = colours
        self._frame = frame

    def picture(self, _number: int, _capture_ns: int) -> VideoFrame:
        return self._frame

    def close(self) -> None:
        pass


def slate(width: int, height: int, lines: Sequence[tuple[str, float]]) -> StillPicture:
    """Lines of text, each with its height as a share of the picture's, one below the other in the middle."""
    frame, planes = new_picture(width, height)
    for plane, ground in zip(planes, GROUND, strict=True):
        plane[:] = ground
    heights = [max(MIN_LINE, round(height * share)) for _, share in lines]
    top = max(0, (height - sum(heights)) // 2)
    for (text, _), line_height in zip(lines, heights, strict=True):
        ink = Lettering(line_height).line(text, width * 7 // 8)
        left = (width - ink.shape[1]) // 2
        area = planes.luma[top : top + line_height, left : left + ink.shape[1]]
        area[:] = GROUND[0] + ink[: len(area)].astype(np.uint16) * (INK - GROUND[0]) // 255
        top += line_height
    return StillPicture(frame)
