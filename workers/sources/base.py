"""What a source of pictures is. (One that has access units of its own is a feed by itself: workers/feed.py.)

Sources read no clock and sleep nowhere: time comes in. They live in the pipeline's thread.
"""

from typing import Protocol

from av.video.frame import VideoFrame

from ..h264 import Colours


class SourceError(Exception):
    """A source cannot be opened or has ended; the text is for the operator and says what to do."""


class PictureSource(Protocol):
    """Pictures in YUV 4:2:0 at any time that is asked for."""

    colours: Colours
    skipped: int  # damaged pictures left out so far

    def picture(self, number: int, capture_ns: int, /) -> VideoFrame:
        """The picture to show at `capture_ns` (monotonic, increasing); valid until the next call."""

    def close(self) -> None: ...
