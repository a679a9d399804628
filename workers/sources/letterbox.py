"""Pictures of any size and shape brought into a stream's: as large as they fit, with black bars beside them."""

from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

BLACK, NEUTRAL = 16, 128  # luma and chroma of limited range


class Letterbox:
    """Makes YUV 4:2:0 of limited range and one size, both sides even. Belongs to one thread."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._scaler = VideoReformatter()  # not the frame's own: that one uses every core
        buffer = np.empty((height * 3 // 2, width), np.uint8)
        self._frame = VideoFrame.from_numpy_buffer(buffer, "yuv420p")
        self._luma, self._chroma = buffer[:height], buffer[height:].reshape(2, height // 2, width // 2)

    def fit(self, frame: VideoFrame, pixel_aspect: Fraction) -> VideoFrame:
        """`pixel_aspect`: width of a pixel by its height. The result may be gone at the next call."""
        shape = frame.width * pixel_aspect / frame.height
        left = _bar(self._width, self._height * shape)
        top = _bar(self._height, self._width / shape)
        width, height = self._width - 2 * left, self._height - 2 * top
        picture = self._scaler.reformat(
            frame,
            width,
            height,
            "yuv420p",
            interpolation=Interpolation.BILINEAR,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        if not left and not top:
            return picture
        samples = picture.to_ndarray()
        self._luma[:], self._chroma[:] = BLACK, NEUTRAL
        self._luma[top : top + height, left : left + width] = samples[:height]
        self._chroma[:, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = samples[height:].reshape(
            2, height // 2, width // 2
        )
        return self._frame


def _bar(size: int, wanted: Fraction) -> int:
    """On either side of what takes `wanted` of `size` samples: even, as chroma has half of them, and never all."""
    return 2 * min(max(0, round((size - wanted) / 4)), size // 4 - 1)
