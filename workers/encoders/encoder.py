"""An open encoder without delay: one picture in, its access unit out."""

from __future__ import annotations  # av.Packet is generic in its stubs only

from fractions import Fraction
from typing import Protocol

import av
import av.codec.hwaccel
from av.codec.context import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from camfleet.core.wire import VideoSpec

from ..codecs import BT709, AccessUnit, Colours
from .backends import Backend, rate_control
from .errors import PYAV_ERRORS, EncoderError, plain_words, with_reasons


class VideoEncoder(Protocol):
    """What an encoder is to a feed. Belongs to one thread; its methods raise EncoderError."""

    @property
    def name(self) -> str:
        """For status: FFmpeg's name of the one in use, and why it is not the first choice."""

    @property
    def parameter_sets(self) -> tuple[bytes, ...]:
        """Of the one in use."""

    def encode(self, picture: VideoFrame, number: int, capture_ns: int, force_key: bool, /) -> list[AccessUnit]:
        """The access units that are ready, each with the capture time of its own picture. Numbers must increase.

        The samples of `picture` are only read, and not after the return.
        """

    def set_bitrate(self, bitrate_bps: int, /) -> bool:
        """Whether it goes on at this rate; if not, another encoder has to be opened."""

    def close(self) -> None:
        """Give back what it has of the machine."""


class Encoder:
    """Opens in the constructor. Pictures are YUV 4:2:0 of the size of `video`."""

    def __init__(self, video: VideoSpec, backend: Backend, colours: Colours = BT709) -> None:
        self.name = backend.ffmpeg
        self._codec = backend.codec
        self._time_base = Fraction(1, video.fps)
        self._highest_bps = video.bitrate_bps if backend.ffmpeg == "libx264" else 0
        self._capture_ns: dict[int, int] = {}  # by number, of pictures that the encoder still holds: normally none
        with with_reasons():
            try:
                context = _open(video, backend, colours)
            except PYAV_ERRORS as error:
                raise EncoderError(f"{self.name}: {_reason(error, backend)}") from error
        if context.options:
            raise EncoderError(f"{self.name}: this FFmpeg does not know the options {context.options}")
        self._context: VideoCodecContext | None = context
        self.parameter_sets = self._codec.parameter_sets(context.extradata or b"")
        if not self.parameter_sets:
            raise EncoderError(f"{self.name}: gives no parameter sets when it opens")

    def encode(self, picture: VideoFrame, number: int, capture_ns: int, force_key: bool) -> list[AccessUnit]:
        assert self._context is not None
        # Without NONE a picture that comes from a decoder keeps its type, and x264 makes every I an IDR picture.
        picture.pict_type = PictureType.I if force_key else PictureType.NONE
        picture.pts, picture.time_base = number, self._time_base
        self._capture_ns[number] = capture_ns
        try:
            packets = self._context.encode(picture)
        except PYAV_ERRORS as error:
            raise EncoderError(f"{self.name}: {plain_words(error)}") from error
        return [self._access_unit(packet) for packet in packets]

    def set_bitrate(self, bitrate_bps: int) -> bool:
        """x264 follows as long as it stays under the maximum that it was opened with; others are not asked."""
        if bitrate_bps > self._highest_bps or self._context is None:
            return False
        self._context.bit_rate = bitrate_bps
        return True

    def close(self) -> None:
        self._context = None

    def _access_unit(self, packet: Packet[Stream]) -> AccessUnit:
        codec = self._codec
        capture_ns = self._capture_ns.pop(packet.pts or 0)
        if packet.is_keyframe and not codec.leading_types(bytes(packet)).issuperset(codec.parameter_types):
            # NVENC keeps them in the extradata when it is asked for a global header.
            return AccessUnit(codec.with_parameter_sets(bytes(packet), self.parameter_sets), capture_ns, True)
        return AccessUnit(memoryview(packet), capture_ns, packet.is_keyframe)


def _open(video: VideoSpec, backend: Backend, colours: Colours) -> VideoCodecContext:
    hardware = av.codec.hwaccel.HWAccel(backend.device_type) if backend.device_type else None
    context = av.CodecContext.create(backend.ffmpeg, "w", hwaccel=hardware)
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = video.width, video.height, backend.pixel_format
    context.time_base, context.framerate = Fraction(1, video.fps), Fraction(video.fps)
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = colours
    context.gop_size, context.max_b_frames = video.gop, 0
    context.thread_count = 1 if backend.ffmpeg == "libx265" else video.threads  # there it would be frames at a time
    context.flags |= Flags.global_header | Flags.closed_gop
    context.bit_rate = video.bitrate_bps
    context.options = {**rate_control(video), **backend.options(video), **_profile(video, backend)}
    context.open()
    return context


def _profile(video: VideoSpec, backend: Backend) -> dict[str, str]:
    if not video.profile:
        return {}
    if video.profile not in backend.profiles:
        raise ValueError(f"no profile {video.profile!r}; there are {', '.join(backend.profiles)}")
    return {"profile": backend.profiles[video.profile]}


def _reason(error: Exception, backend: Backend) -> str:
    return backend.missing if isinstance(error, av.codec.codec.UnknownCodecError) else plain_words(error)
