"""From a stream's settings to its access units: a source that has them, or a source of pictures and an encoder."""

from collections.abc import Sequence
from typing import Protocol

from camfleet.core.wire.camera import FileLive, StreamSpec, VideoSpec

from .encoders import open_encoder
from .h264 import AccessUnit, Description
from .sources import FilePassThrough, FilePictures, FrameClock, PictureSource, TestPattern

PASS_THROUGH = "pass-through"


class Feed(Protocol):
    """Belongs to one thread. Its methods raise SourceError and EncoderError, after which it can only be closed."""

    encoder: str  # for status
    description: Description
    skipped: int  # damaged units and pictures left out

    @property
    def due_ns(self) -> int:
        """When to call `read` next, on the monotonic clock."""

    def read(self, now_ns: int, force_key: bool) -> Sequence[AccessUnit]:
        """What is due now, possibly nothing. `force_key` is a wish: only an encoder of ours can fulfil it."""

    def close(self) -> None: ...


def encodes(stream: StreamSpec) -> bool:
    """Whether the stream has an encoder of ours, which can make a key frame for a joiner."""
    return stream.video is not None or not isinstance(stream.source, FileLive)


def open_feed(title: str, stream: StreamSpec, start_ns: int, unix_offset_ns: int) -> Feed:
    """The stream's feed, whose first access unit is due at `start_ns`. `title` is for pictures that show one."""
    if not encodes(stream):
        return PassedThrough(stream.source, start_ns)
    ...
