"""Pictures in, access units out; one table of encoders."""

from .backends import AUTO, BACKENDS, SOFTWARE, choose
from .encoder import Encoder, VideoEncoder
from .errors import EncoderError
from .opening import is_checked_at_start, open_encoder

__all__ = [
    "AUTO",
    "BACKENDS",
    "SOFTWARE",
    "Encoder",
    "EncoderError",
    "VideoEncoder",
    "choose",
    "is_checked_at_start",
    "open_encoder",
]
