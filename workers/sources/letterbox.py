"""Pictures of any size and shape brought into a stream's: as large as they fit, with black bars beside them."""

from fractions import Fraction

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from .planes import new_picture, planes

BLACK, NEUTRAL = 16, 128  # luma and chroma of limited range


class Letterbox:
    """Makes YUV 4:2:0 of limited range and one size, both sides even. Belongs to one thread."""

    def __init__(self, width: int, height: int, *, matrix: Colorspace | None = None) -> None:
        """`matrix`: the one to convert to; None: that of each picture."""
        self._matrix = matrix
        self._width, self._height = width, height
        self._scaler = VideoReformatter()  # not the frame's own: that one uses every core
        self._frame, self._planes = new_picture(width, height)

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
            dst_colorspace=self._matrix,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        if not left and not top:
            return picture
        for samples, fitted, ground, share in zip(
            self._planes, planes(picture), (BLACK, NEUTRAL, NEUTRAL), (1, 2, 2), strict=True
        ):
            samples[:] = ground
            rows, columns = fitted.shape
            samples[top // share : top // share + rows, left // share : left // share + columns] = fitted
        return self._frame


def _bar(size: int, wanted: Fraction) -> int:
    """On either side of what takes `wanted` of `size` samples: even, as chroma has half of them, and never all."""
    return 2 * min(max(0, round((size - wanted) / 4)), size // 4 - 1)
