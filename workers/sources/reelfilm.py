"""The pictures of a film that a stream of the camera passes through: both show the same moment of it."""

from collections import deque
from fractions import Fraction
from typing import NamedTuple

from av.video.frame import VideoFrame

from ..clockmap import NS_PER_S
from ..codecs import Description
from .arrivals import Arrival
from .decoded import UnitDecoder
from .reel import Cursor

# Of the film are decoded for one picture at most: in such steps is caught up with life, after a start in the middle of
# a group of pictures, or a pause. No stream has less than a picture a second.
MAX_STEP_NS = 2 * NS_PER_S


class _Decoded(NamedTuple):
    frame: VideoFrame
    capture_ns: int
    pixel_aspect: Fraction


class ReelFilm:
    """A Film."""

    def __init__(self, cursor: Cursor) -> None:
        self.colours = cursor.colours
        self._cursor = cursor
        self._decoder: UnitDecoder | None = None
        self._description: Description | None = None
        self._container_aspect: Fraction | None = None
        self._damaged = 0  # by decoders before this one
        self._shown: _Decoded | None = None
        self._later: deque[_Decoded] = deque()

    @property
    def skipped(self) -> int:
        return self._cursor.skipped + self._damaged + (self._decoder.skipped if self._decoder else 0)

    @property
    def pixel_aspect(self) -> Fraction:
        return self._shown.pixel_aspect if self._shown else Fraction(1)

    def newest(self, capture_ns: int) -> VideoFrame | None:
        """Frames have the times of the units that are passed through."""
        self._cursor.catch_up(capture_ns)
        until_ns: int | None = None
        while not self._is_ahead(capture_ns) and (arrival := self._cursor.take(capture_ns)) is not None:
            self._decode(arrival)
            until_ns = until_ns or arrival.unit.due_ns + MAX_STEP_NS
            if arrival.unit.due_ns >= until_ns:
                self._is_ahead(capture_ns)
                break
        return self._shown.frame if self._shown else None

    def close(self) -> None:
        self._cursor.close()

    def _is_ahead(self, capture_ns: int) -> bool:
        """Of what is to be shown. A stream begins with whatever comes first."""
        while self._later and (self._shown is None or self._later[0].capture_ns <= capture_ns):
            self._shown = self._later.popleft()
        return bool(self._later)

    def _decode(self, arrival: Arrival) -> None:
        decoder = self._decoder
        if decoder is None or arrival.description is not self._description:  # another file
            if decoder is not None:
                self._take(decoder.flush(), decoder)
                self._damaged += decoder.skipped
            decoder = self._decoder = UnitDecoder(arrival.description.codec)
            self._description, self._container_aspect = arrival.description, arrival.pixel_aspect
        self._take(decoder.decode(arrival.unit), decoder)

    def _take(self, frames: list[VideoFrame], decoder: UnitDecoder) -> None:
        aspect = self._container_aspect or decoder.pixel_aspect
        self._later += [_Decoded(frame, frame.pts or 0, aspect) for frame in frames]
