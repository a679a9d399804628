"""Pictures in, access units out; one table of encoders."""

from .backends import AUTO, BACKENDS, SOFTWARE, choose
from .encoder import Encoder, VideoEncoder
from .errors import EncoderError
from .opening import OpeningEncoder, needs_card, open_encoder

__all__ = [
    "AUTO",
    "BACKENDS",
    "SOFTWARE",
    "Encoder",
    "EncoderError",
    "OpeningEncoder",
    "VideoEncoder",
    "choose",
    "needs_card",
    "open_encoder",
]
