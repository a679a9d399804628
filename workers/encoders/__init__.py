"""Pictures in, H.264 access units out; one table of encoders."""

from .backends import AUTO, BACKENDS, choose
from .errors import EncoderError
from .h264 import H264Encoder, open_encoder, probe

__all__ = ["AUTO", "BACKENDS", "EncoderError", "H264Encoder", "choose", "open_encoder", "probe"]
