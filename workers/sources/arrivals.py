"""What has been read for a stream and waits for it: it begins with a key frame, and has a bound."""

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction

from ..codecs import H265, AccessUnit, Description, cut_here

# Of a stream that does not take its units: a second of a large one. What is older is of no use to anybody.
MAX_WAITING_SIZE = 16 * 1024 * 1024
UNIT_SIZE = 256  # what a unit costs besides its bytes: many small ones must not fill the memory


@dataclass(frozen=True, slots=True)
class Arrival:
    """An access unit, and what is true of the stream from it on."""

    unit: AccessUnit
    description: Description
    pixel_aspect: Fraction | None = None  # as a container says, whatever the codec says

    @property
    def size(self) -> int:
        return len(self.unit.data) + UNIT_SIZE


class Arrivals:
    """Guarded by whoever has it."""

    def __init__(self) -> None:
        self.overflows = 0  # units that were left out
        self._waiting: deque[Arrival] = deque()
        self._size = 0
        self.needs_key_frame = True

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first(self) -> Arrival | None:
        return self._waiting[0] if self._waiting else None

    def put(self, arrival: Arrival) -> None:
        """A stream that is late goes on with the next key frame."""
        if self.needs_key_frame:
            if not arrival.unit.key_frame:
                return
            self.needs_key_frame = False
            arrival = _as_first(arrival)
        self._size += arrival.size
        self._waiting.append(arrival)
        if self._size > MAX_WAITING_SIZE:
            self.overflows += len(self._waiting)
            self.begin_anew()

    def take(self) -> Arrival | None:
        if not self._waiting:
            return None
        arrival = self._waiting.popleft()
        self._size -= arrival.size
        return arrival

    def begin_anew(self) -> None:
        """With the next key frame that is put."""
        self._waiting.clear()
        self._size = 0
        self.needs_key_frame = True

    def skip_to_newest_key_frame(self) -> None:
        """Of those that wait, if there is one."""
        newest = max((n for n, arrival in enumerate(self._waiting) if arrival.unit.key_frame), default=0)
        if newest:
            waiting = list(self._waiting)[newest:]
            self.overflows += newest
            self.begin_anew()
            for arrival in waiting:
                self.put(arrival)


def _as_first(arrival: Arrival) -> Arrival:
    """For a stream that has not seen what came before."""
    if arrival.description.codec != H265.name:
        return arrival
    return replace(arrival, unit=replace(arrival.unit, data=cut_here(bytes(arrival.unit.data))))
