"""An open H.264 encoder without delay: one picture in, its access unit out."""

from __future__ import annotations  # av.Packet is generic in its stubs only

from fractions import Fraction

import av
import av.codec.hwaccel
from av.codec.context import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from camfleet.core.log import Log
from camfleet.core.wire.camera import VideoSpec

from ..codecs import BT709, H264, AccessUnit, Colours
from .backends import Backend, choose
from .errors import PYAV_ERRORS, EncoderError, plain_words, with_reasons

log = Log("encoders")


class H264Encoder:
    """Opens in the constructor; belongs to one thread. Pictures are YUV 4:2:0 of the size of `video`."""

    def __init__(self, video: VideoSpec, backend: Backend, colours: Colours = BT709) -> None:
        self.backend = backend
        self._time_base = Fraction(1, video.fps)
        self._highest_bps = video.bitrate_bps
        self._capture_ns: dict[int, int] = {}  # by number, of pictures that the encoder still holds: normally none
        with with_reasons():
            try:
                self._context = _open(video, backend, colours)
            except PYAV_ERRORS as error:
                raise EncoderError(f"{backend.name}: {_reason(error, backend)}") from error
        if self._context.options:
            raise EncoderError(f"{backend.name}: this FFmpeg does not know the options {self._context.options}")
        self.parameter_sets = H264.parameter_sets(self._context.extradata or b"")
        if not self.parameter_sets:
            raise EncoderError(f"{backend.name}: gives no SPS and PPS when it opens")

    def encode(self, picture: VideoFrame, number: int, capture_ns: int, force_key: bool) -> list[AccessUnit]:
        """The access units that are ready, each with the capture time of its own picture. Numbers must increase.

        The samples of `picture` are only read, and not after the return.
        """
        # Without NONE a picture that comes from a decoder keeps its type, and x264 makes every I an IDR picture.
        picture.pict_type = PictureType.I if force_key else PictureType.NONE
        picture.pts, picture.time_base = number, self._time_base
        self._capture_ns[number] = capture_ns
        try:
            packets = self._context.encode(picture)
        except PYAV_ERRORS as error:
            raise EncoderError(f"{self.backend.name}: {plain_words(error)}") from error
        return [self._access_unit(packet) for packet in packets]

    def set_bitrate(self, bitrate_bps: int) -> bool:
        """Whether it goes on at this rate; if not, another encoder has to be opened.

        x264 follows as long as it stays under the maximum that it was opened with; others are not asked.
        """
        if self.backend.name != "libx264" or bitrate_bps > self._highest_bps:
            return False
        self._context.bit_rate = bitrate_bps
        return True

    def _access_unit(self, packet: Packet[Stream]) -> AccessUnit:
        capture_ns = self._capture_ns.pop(packet.pts or 0)
        if packet.is_keyframe and not H264.leading_types(bytes(packet)).issuperset(H264.parameter_types):
            # h264_nvenc keeps them in the extradata when it is asked for a global header.
            return AccessUnit(H264.with_parameter_sets(bytes(packet), self.parameter_sets), capture_ns, True)
        return AccessUnit(memoryview(packet), capture_ns, packet.is_keyframe)


def open_encoder(video: VideoSpec, colours: Colours = BT709) -> H264Encoder:
    """The encoder that `video` asks for; with "auto" the first that opens. Raises EncoderError."""
    if video.codec != "h264":
        raise EncoderError(f"codec {video.codec!r} is not supported, only h264")
    candidates = choose(video.encoder)
    for backend in candidates[:-1]:
        try:
            return H264Encoder(video, backend, colours)
        except EncoderError as error:
            log.debug("encoder_passed_over", encoder=backend.name, reason=str(error))
    return H264Encoder(video, candidates[-1], colours)


def probe(backend: Backend) -> str:
    """Why the encoder cannot be used here, found by opening it; empty when it can."""
    try:
        H264Encoder(VideoSpec(width=640, height=360), backend)
    except EncoderError as error:
        return str(error).removeprefix(f"{backend.name}: ")
    return ""


def _open(video: VideoSpec, backend: Backend, colours: Colours) -> VideoCodecContext:
    hardware = av.codec.hwaccel.HWAccel(backend.hardware) if backend.hardware else None
    context = av.CodecContext.create(backend.name, "w", hwaccel=hardware)
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = video.width, video.height, backend.pixel_format
    context.time_base, context.framerate = Fraction(1, video.fps), Fraction(video.fps)
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = colours
    context.gop_size, context.max_b_frames = video.gop, 0
    context.thread_count = 1  # more cameras are the better use of more cores
    context.flags |= Flags.global_header | Flags.closed_gop
    # Constant bit rate: the only kind whose rate x264 can change while it runs. With half a second of buffer an IDR
    # picture may be fifteen times the average one at 30 fps, and a line of just this rate is never further behind.
    context.bit_rate = video.bitrate_bps
    context.options = {**backend.options, "maxrate": str(video.bitrate_bps), "bufsize": str(video.bitrate_bps // 2)}
    context.open()
    return context


def _reason(error: Exception, backend: Backend) -> str:
    return backend.missing if isinstance(error, av.codec.codec.UnknownCodecError) else plain_words(error)
