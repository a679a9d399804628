"""The clients of one camera: what each may do, and where its media comes from."""

from .registry import Registry
from .stream import LiveStream, join_mode
from .streams import Streams

__all__ = ["LiveStream", "Registry", "Streams", "join_mode"]
