"""Which encoder a stream gets."""

from camfleet.core.log import Log
from camfleet.core.wire import VideoSpec

from ..codecs import BT709, Colours
from .backends import AUTO, BACKENDS, choose
from .encoder import Encoder, VideoEncoder
from .errors import EncoderError
from .fallback import FallbackEncoder, Opener
from .probing import NO_GPU, unusable

log = Log("encoders")


def open_encoder(video: VideoSpec, colours: Colours = BT709, open: Opener = Encoder) -> VideoEncoder:
    """The encoder that `video` asks for; with "auto" the first that opens. Raises EncoderError."""
    candidates = choose(video.codec, video.encoder)
    reasons = unusable() if any(backend.nodes for backend in candidates) else {}
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


def is_checked_at_start(video: VideoSpec) -> bool:
    """It names an encoder that needs a device: better known to be missing now than when a reader comes."""
    key = f"{video.codec}/{video.encoder}"
    return any(backend.nodes for backend in BACKENDS if backend.key == key)
