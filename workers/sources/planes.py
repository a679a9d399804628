"""The samples of a picture as arrays."""

from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


class Planes(NamedTuple):
    """Views of a YUV 4:2:0 picture's samples; they keep them alive."""

    luma: Plane
    cb: Plane
    cr: Plane


def new_picture(width: int, height: int) -> tuple[VideoFrame, Planes]:
    """Its samples are anything. (`VideoFrame.from_numpy_buffer` of PyAV 18 has a height of 88 for one of 90.)"""
    frame = VideoFrame(width, height, "yuv420p")
    return frame, planes(frame)


def planes(frame: VideoFrame) -> Planes:
    views = []
    for plane in frame.planes:
        samples = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        views.append(samples[: plane.height, : plane.width])
    return Planes(*views)
