"""Decoded pictures of live sources in the form that streams share: YUV 4:2:0, BT.709 of limited range, even sides."""

from fractions import Fraction

import numpy as np
from av import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from ..codecs import AccessUnit
from ..encoders.errors import PYAV_ERRORS
from .base import SourceError
from .mediafile import MAX_PIXELS
from .planes import planes
from .shared import Buffers, Picture

MAX_DAMAGED = 1000  # access units in a row without a picture: 30 s of them
UNSPECIFIED = 2  # ITU-T H.273
DECODERS = {"h265": "hevc"}  # where FFmpeg has another name


class UnitDecoder:
    """Access units to pictures; damaged ones are left out and counted in `skipped`. Belongs to one thread."""

    def __init__(self, codec: str) -> None:
        context = CodecContext.create(DECODERS.get(codec, codec), "r")
        assert isinstance(context, VideoCodecContext)
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
        self.skipped = 0
        self._context = context
        self._in_vain = 0

    def decode(self, unit: AccessUnit) -> list[VideoFrame]:
        """The pictures that it completes, in the order of showing, each with the capture time of its own unit as `pts`.

        Raises SourceError when there has been none for too long.
        """
        packet = Packet(bytes(unit.data))
        packet.pts = unit.capture_ns
        try:
            frames = self._context.decode(packet)
        except PYAV_ERRORS:
            self.skipped += 1
            frames = []
        self._in_vain = 0 if frames else self._in_vain + 1
        if self._in_vain > MAX_DAMAGED:
            raise SourceError(f"{MAX_DAMAGED} access units without a picture; the stream is damaged")
        return frames

    def flush(self) -> list[VideoFrame]:
        """What it still holds, before it is thrown away."""
        try:
            return self._context.decode(None)
        except PYAV_ERRORS:
            return []

    @property
    def pixel_aspect(self) -> Fraction:
        return self._context.sample_aspect_ratio or Fraction(1)


def _matrix(frame: VideoFrame) -> Colorspace | None:
    """None: as the frame says. Of one that does not, players assume BT.709 from 720 lines on, and so do we."""
    return Colorspace.ITU709 if frame.colorspace == UNSPECIFIED and frame.height >= 720 else None


class PictureCopier:
    """Makes Pictures of frames of any format. Belongs to one thread."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        self._buffers = Buffers()

    def copy(self, frame: VideoFrame, capture_ns: int, pixel_aspect: Fraction = Fraction(1)) -> Picture:
        width, height = max(2, frame.width & ~1), max(2, frame.height & ~1)
        same = self._scaler.reformat(
            frame,
            width,
            height,
            "yuv420p",
            src_colorspace=_matrix(frame),
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        picture = self._buffers.picture(width, height, capture_ns, pixel_aspect)
        luma, chroma = picture.samples[:height], picture.samples[height:].reshape(2, height // 2, width // 2)
        for samples, plane in zip((luma, *chroma), planes(same), strict=True):
            np.copyto(samples, plane)
        return picture
