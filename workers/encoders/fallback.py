"""An encoder of a graphics card, and the CPU's when that one fails: the stream goes on in the same second or the next.

What a driver does is not ours: a call may raise, never return, or give nothing for ever. drivers.py makes it, and waits
for it no longer than we say.
"""

from collections.abc import Callable

from av.video.frame import VideoFrame
from camfleet.core.log import Log
from camfleet.core.wire import VideoSpec

from ..clockmap import NS_PER_S
from ..codecs import AccessUnit, Colours
from .backends import SOFTWARE, Backend
from .drivers import DriverThread
from .encoder import Encoder, VideoEncoder
from .errors import EncoderError

log = Log("encoders")

OPEN_TIMEOUT_S = 5.0  # a first CUDA context takes a second or two
HANG_TIMEOUT_S = 1.0  # for a call: with the time to open x264 well under two seconds
SILENCE_NS = NS_PER_S  # from a picture that went in to what comes out of it; it should be no time at all

Opener = Callable[[VideoSpec, Backend, Colours], VideoEncoder]


class FallbackEncoder:
    """A VideoEncoder. Opens the hardware's in the constructor; raises EncoderError when that cannot be had."""

    def __init__(self, video: VideoSpec, backend: Backend, colours: Colours, open: Opener = Encoder) -> None:
        self._video, self._backend, self._colours, self._open = video, backend, colours, open
        self._helper: DriverThread | None = DriverThread(backend.ffmpeg)
        try:
            self._encoder = self._helper.call(lambda: open(video, backend, colours), OPEN_TIMEOUT_S)
        except EncoderError:
            self._helper.end()
            raise
        self._failed = ""  # why the hardware is not used any more
        self._is_closed = False
        self._waiting_ns: int | None = None  # capture time of the oldest picture that nothing has come of

    @property
    def name(self) -> str:
        return f"{self._encoder.name} ({self._failed})" if self._failed else self._encoder.name

    @property
    def parameter_sets(self) -> tuple[bytes, ...]:
        return self._encoder.parameter_sets

    @property
    def has_card(self) -> bool:
        """Not the CPU's yet."""
        return self._helper is not None

    def encode(self, picture: VideoFrame, number: int, capture_ns: int, force_key: bool) -> list[AccessUnit]:
        if self._helper is None:
            return self._encoder.encode(picture, number, capture_ns, force_key)
        encoder = self._encoder
        try:
            units = self._helper.call(lambda: encoder.encode(picture, number, capture_ns, force_key), HANG_TIMEOUT_S)
            self._watch(capture_ns, bool(units))
        except EncoderError as error:
            self._fall_back(str(error))
            return self._encoder.encode(picture, number, capture_ns, True)
        return units

    def set_bitrate(self, bitrate_bps: int) -> bool:
        return self._helper is None and self._encoder.set_bitrate(bitrate_bps)

    def close(self) -> None:
        if self._helper is None:
            self._encoder.close()
        elif not self._is_closed:
            self._is_closed = True
            self._helper.give_back(self._encoder.close, HANG_TIMEOUT_S)

    def _watch(self, capture_ns: int, alive: bool) -> None:
        if alive:
            self._waiting_ns = None
        elif self._waiting_ns is None:
            self._waiting_ns = capture_ns
        elif capture_ns - self._waiting_ns >= SILENCE_NS:
            raise EncoderError(f"{self._backend.ffmpeg}: it takes pictures and gives nothing")

    def _fall_back(self, reason: str) -> None:
        """Raises EncoderError when software cannot be had either."""
        assert self._helper is not None
        self._helper.give_back(self._encoder.close, HANG_TIMEOUT_S)
        self._helper = None
        software = SOFTWARE[self._video.codec]
        log.warning("encoder_failed", encoder=self._backend.ffmpeg, reason=reason, instead=software.ffmpeg)
        self._encoder = self._open(self._video, software, self._colours)
        self._failed = reason
