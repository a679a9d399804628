"""What a source is: either pictures that an encoder asks for, or access units that come ready-made with their times.

Sources read no clock and sleep nowhere: time comes in, and goes out as `due_ns`. They live in the pipeline's thread.
"""

from collections.abc import Sequence
from typing import Protocol

from av.video.frame import VideoFrame

from ..h264 import AccessUnit, Colours, Description


class SourceError(Exception):
    """A source cannot be opened or has ended; the text is for the operator and says what to do."""


class PictureSource(Protocol):
    """Pictures in YUV 4:2:0 at any time that is asked for."""

    colours: Colours

    def picture(self, number: int, capture_ns: int) -> VideoFrame:
        """The picture to show at `capture_ns` (monotonic, increasing); valid until the next call."""

    def close(self) -> None: ...


class AccessUnitSource(Protocol):
    """H.264 from elsewhere, passed through."""

    description: Description

    @property
    def due_ns(self) -> int:
        """When to call `read` next, on the monotonic clock."""

    def read(self, now_ns: int) -> Sequence[AccessUnit]:
        """What is due now; may be nothing."""

    def close(self) -> None: ...
