"""What a source is: one of access units, which is a feed by itself, or one of pictures for an encoder.

Sources read no clock and sleep nowhere: time comes in. They live in the pipeline's thread, and none of their methods
waits for anything outside. What takes its time (a network, a device) has a thread of its own, which calls `Place.wake`
when there is something to read.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from av.video.frame import VideoFrame

from ..codecs import AccessUnit, Colours, Description
from .lineup import Lineup
from .planes import Plane


class SourceError(Exception):
    """A source cannot be opened or has ended; the text is for the operator and says what to do.

    `shown` is for everybody who watches: a few plain words without paths, addresses and names of hosts.
    """

    def __init__(self, text: str, *, shown: str = "the source is not available") -> None:
        super().__init__(text)
        self.shown = shown


@dataclass(frozen=True, slots=True)
class Place:
    """What a source may know of the stream that it is for, besides the settings."""

    title: str  # "ipc1-stream1"
    camera_name: str
    unix_offset_ns: int
    wake: Callable[[], object]  # from any thread: `due_ns` has changed
    lineup: Lineup = field(default_factory=Lineup)


class Feed(Protocol):
    """Belongs to one thread. Its methods raise SourceError and EncoderError, after which it can only be closed."""

    @property
    def encoder(self) -> str:
        """For status."""

    @property
    def description(self) -> Description | None:
        """None as long as the source has not told."""

    @property
    def due_ns(self) -> int:
        """When to call `read` next, on the monotonic clock."""

    @property
    def skipped(self) -> int:
        """Damaged access units or pictures left out so far."""

    @property
    def absence(self) -> str:
        """Why there is no picture, for the operator; empty when there is one, or nobody knows."""

    def read(self, now_ns: int, force_key: bool, /) -> Iterable[AccessUnit]:
        """What is due now or (`AccessUnit.due_ns`) soon, possibly nothing, to be taken at once. `force_key` is a wish:
        an encoder of ours fulfils it, an upstream camera may, a file cannot."""

    def close(self) -> None: ...


class PictureSource(Protocol):
    """Pictures in YUV 4:2:0 at any time that is asked for."""

    colours: Colours
    absence: str  # as of a Feed

    @property
    def shared(self) -> Plane | None:
        """The samples of the picture in one piece, if others read them, too: who wants to write takes a copy."""

    @property
    def skipped(self) -> int:
        """Damaged pictures left out so far."""

    def picture(self, number: int, capture_ns: int, /) -> VideoFrame | None:
        """The picture to show at `capture_ns` (monotonic, increasing); valid until the next call. None: none now.

        Who writes into it puts back what was there before that.
        """

    def close(self) -> None: ...
