"""Which encoder a stream gets, and what it has until that one is open: nobody waits for the driver of a graphics card.

the CPU's                  opened at once
a card's, and "auto"       in turn with what else takes its time in this process (drivers.py). Until then what was
                           there before goes on, if it was the CPU's; "auto" has the CPU's after a moment
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import cache

from av.video.frame import VideoFrame
from camfleet.core.log import Log
from camfleet.core.wire import VideoSpec

from ..clockmap import NS_PER_S
from ..codecs import BT709, AccessUnit, Colours
from .backends import AUTO, BACKENDS, SOFTWARE, Backend, choose
from .drivers import in_turn
from .encoder import Encoder, VideoEncoder
from .errors import EncoderError
from .fallback import FallbackEncoder, Opener
from .probing import NO_GPU, known, unusable

log = Log("encoders")

# Most cards are there by then, and the stream is spared a change of encoders, or the slate.
PATIENCE_NS = 3 * NS_PER_S // 4


def open_encoder(
    video: VideoSpec, colours: Colours = BT709, open: Opener = Encoder, *, before: VideoEncoder | None = None
) -> VideoEncoder:
    """The encoder that `video` asks for, with "auto" the first that opens; an OpeningEncoder until a card has answered.

    `before`, of the same size and rate, is closed. Raises EncoderError.
    """
    candidates = choose(video.codec, video.encoder)
    before = _released(before)
    cards = [backend for backend in candidates if backend.nodes]
    reasons = known() if cards else {}
    if all(reasons is not None and backend.key in reasons for backend in cards):
        if before is not None:
            before.close()
        return _first(candidates, reasons or {}, video, colours, open)
    return OpeningEncoder(
        in_turn(lambda: _first(cards, unusable(), video, colours, open)),
        (lambda: open(video, SOFTWARE[video.codec], colours)) if video.encoder == AUTO else None,
        before,
    )


def needs_card(video: VideoSpec) -> bool:
    """It names an encoder of one: better known to be missing at the start than when a reader comes."""
    key = f"{video.codec}/{video.encoder}"
    return any(backend.nodes for backend in BACKENDS if backend.key == key)


class OpeningEncoder:
    """A VideoEncoder as long as that of a card is on its way: it encodes with another one, if it has any."""

    def __init__(
        self,
        coming: Future[VideoEncoder],
        spare: Callable[[], VideoEncoder] | None,
        meanwhile: VideoEncoder | None,
    ) -> None:
        """`spare` opens what is taken when the card's cannot be had."""
        self._coming = coming
        self._spare = cache(spare) if spare is not None else None
        self._meanwhile = meanwhile
        self._began_ns: int | None = None
        self._is_late = False

    @property
    def is_missed(self) -> bool:
        """It has been waited for, and nothing else encodes."""
        return self._is_late and self._meanwhile is None

    @property
    def name(self) -> str:
        return self._meanwhile.name if self._meanwhile is not None else ""

    @property
    def parameter_sets(self) -> tuple[bytes, ...]:
        return self._meanwhile.parameter_sets if self._meanwhile is not None else ()

    def encode(self, picture: VideoFrame, number: int, capture_ns: int, force_key: bool) -> list[AccessUnit]:
        return self._meanwhile.encode(picture, number, capture_ns, force_key) if self._meanwhile is not None else []

    def set_bitrate(self, _bitrate_bps: int) -> bool:
        return False

    def opened(self, now_ns: int) -> VideoEncoder:
        """The one that is to be used from now on, which begins with a key frame; itself, as long as none is there.

        Raises EncoderError when the one that was asked for cannot be had.
        """
        if self._began_ns is None:
            self._began_ns = now_ns
        if not self._coming.done():
            self._is_late = now_ns - self._began_ns >= PATIENCE_NS
            if self.is_missed and self._spare is not None:
                self._meanwhile = self._spare()
            return self
        try:
            encoder = self._coming.result()
        except EncoderError:
            if self._spare is None:
                raise
            encoder = self._spare()
        if self._meanwhile is not None and self._meanwhile is not encoder:
            self._meanwhile.close()
        return encoder

    def close(self) -> None:
        self.give_up()
        if self._meanwhile is not None:
            self._meanwhile.close()

    def give_up(self) -> VideoEncoder | None:
        """Close what is coming, whenever it comes; what it has had meanwhile is the caller's."""
        if not self._coming.cancel():
            self._coming.add_done_callback(_close)
        return self._meanwhile


def _close(coming: Future[VideoEncoder]) -> None:
    if coming.exception() is None:
        coming.result().close()


def _released(before: VideoEncoder | None) -> VideoEncoder | None:
    """What may go on until another one is open. A card may have only one to give: that is given back now."""
    if isinstance(before, OpeningEncoder):
        return before.give_up()
    if isinstance(before, FallbackEncoder) and before.has_card:
        before.close()
        return None
    return before


def _first(
    candidates: Iterable[Backend], reasons: Mapping[str, str], video: VideoSpec, colours: Colours, open: Opener
) -> VideoEncoder:
    """That opens. `reasons`, by Backend.key, are those that are known not to. Raises EncoderError."""
    for backend in candidates:
        reason = reasons.get(backend.key, "")
        try:
            if reason:
                raise EncoderError(f"{backend.ffmpeg}: {reason}")
            return FallbackEncoder(video, backend, colours, open) if backend.nodes else open(video, backend, colours)
        except EncoderError as error:
            failure = error
            if video.encoder == AUTO and reason != NO_GPU:
                log.info("encoder_passed_over", encoder=backend.ffmpeg, reason=str(error))
    raise failure
