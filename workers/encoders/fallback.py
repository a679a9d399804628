"""An encoder of a graphics card, and the CPU's when that one fails: the stream goes on in the same second or the next.

What a driver does is not ours: a call may raise, never return, or give nothing for ever. So it is made in a thread of
its own and waited for with a deadline. A thread that does not come back is left behind with all that it holds; nothing
can end it but the end of the process. (A driver that crashes ends the process at once: the supervisor starts another.)
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from av.video.frame import VideoFrame
from camfleet.core.log import Log
from camfleet.core.wire import VideoSpec

from ..clockmap import NS_PER_S
from ..codecs import AccessUnit, Colours
from .backends import SOFTWARE, Backend
from .encoder import Encoder, VideoEncoder
from .errors import EncoderError

log = Log("encoders")

OPEN_TIMEOUT_S = 5.0  # a first CUDA context takes a second or two
HANG_TIMEOUT_S = 1.0  # for a call: with the time to open x264 well under two seconds
SILENCE_NS = NS_PER_S  # from a picture that went in to what comes out of it; it should be no time at all

_hanging: set[str] = set()  # encoders that do: each further try would leave another thread behind

Opener = Callable[[VideoSpec, Backend, Colours], VideoEncoder]
T = TypeVar("T")


class FallbackEncoder:
    """A VideoEncoder. Opens the hardware's in the constructor; raises EncoderError when that cannot be had."""

    def __init__(self, video: VideoSpec, backend: Backend, colours: Colours, open: Opener = Encoder) -> None:
        self._video, self._backend, self._colours, self._open = video, backend, colours, open
        self._helper: _Helper | None = _Helper(backend.ffmpeg)
        try:
            self._encoder = self._helper.call(lambda: open(video, backend, colours), OPEN_TIMEOUT_S)
        except EncoderError:
            self._helper.end()
            raise
        self._failed = ""  # why the hardware is not used any more
        self._waiting_ns: int | None = None  # capture time of the oldest picture that nothing has come of

    @property
    def name(self) -> str:
        return f"{self._encoder.name} ({self._failed})" if self._failed else self._encoder.name

    @property
    def parameter_sets(self) -> tuple[bytes, ...]:
        return self._encoder.parameter_sets

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
        else:
            self._helper.end(self._encoder.close)

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
        self._helper.end(self._encoder.close)
        self._helper = None
        software = SOFTWARE[self._video.codec]
        log.warning("encoder_failed", encoder=self._backend.ffmpeg, reason=reason, instead=software.ffmpeg)
        self._encoder = self._open(self._video, software, self._colours)
        self._failed = reason


class _Helper:
    """A thread that makes calls one after the other, until it hangs in one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=_work, args=(self._calls,), name=name, daemon=True).start()

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """What it returns. Raises EncoderError for whatever goes wrong in a driver, and when it takes too long."""
        answers: SimpleQueue[T | Exception] = SimpleQueue()

        def answer() -> None:
            try:
                answers.put(function())
            except Exception as error:
                answers.put(error)
            _hanging.discard(self._name)

        if self._name in _hanging:
            raise EncoderError(f"{self._name}: another call of the driver still hangs in this process")
        self._calls.put(answer)
        try:
            result = answers.get(timeout=timeout_s)
        except Empty:
            _hanging.add(self._name)
            raise EncoderError(f"{self._name}: no answer of the driver within {timeout_s:g} s") from None
        if isinstance(result, EncoderError):
            raise result
        if isinstance(result, Exception):
            raise EncoderError(f"{self._name}: {type(result).__name__}: {result}") from result
        return result

    def end(self, last: Callable[[], object] = lambda: None) -> None:
        """After what it is doing, and `last`; if it hangs, never."""
        self._calls.put(lambda: _quietly(last))
        self._calls.put(None)


def _work(calls: SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := calls.get()) is not None:
        call()


def _quietly(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception as error:
        log.warning("encoder_not_closed", reason=str(error))
