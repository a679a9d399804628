"""The clients of one camera: what each may do, and where its media comes from."""

from .registry import Registry
from .stream import LiveStream

__all__ = ["LiveStream", "Registry"]
