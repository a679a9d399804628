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
    return Planes(
        *(
            np.ndarray((plane.height, plane.width), np.uint8, memoryview(plane), strides=(plane.line_size, 1))
            for plane in frame.planes
        )
    )


def frame_over(samples: Plane) -> VideoFrame:
    """A frame of samples that lie as `VideoFrame.to_ndarray` gives them, over the same memory where that can be."""
    width, height = samples.shape[1], samples.shape[0] * 2 // 3
    if height % 4 == 0:
        return VideoFrame.from_numpy_buffer(samples, "yuv420p")
    frame, copies = new_picture(width, height)  # PyAV 18 would take two lines for chroma, as above
    chroma = samples[height:].reshape(2, height // 2, width // 2)
    for copy, plane in zip(copies, (samples[:height], *chroma), strict=True):
        copy[:] = plane
    return frame
