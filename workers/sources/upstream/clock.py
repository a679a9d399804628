"""RTP timestamps of a camera on our own clock: its rhythm, but neither its drift nor its jumps."""

from collections import deque
from itertools import pairwise

from ...clockmap import NS_PER_S

CLOCK_RATE = 90_000
MAX_BACK = CLOCK_RATE  # ticks; pictures sent before those that they show up behind, as with B-frames
MAX_AHEAD = 10 * CLOCK_RATE  # a longer step is no rhythm
# What comes in a burst passes faster than in life, but no picture is shown at the time of another.
MAX_HURRY = 40
HURRIED_NS = NS_PER_S // 1000
WINDOW_NS = NS_PER_S
# A delay in every unit of a window is drift of the two clocks, or a path that has become longer. Small ones are
# followed softly; beyond this the picture is late, and time is made to jump.
MAX_LATE_NS = NS_PER_S // 5
SOFTNESS = 16
REMEMBERED = 32  # places; no codec reorders more than 16 pictures


class MediaClock:
    """Maps stamps to times of capture by a function that only grows: in whatever order pictures come, they are shown
    in their own.

    A new end of it has the slope of life, unless that would be later than the arrival: who came fastest tells how far
    the clocks are apart (RFC 5905 10 does the same with round trips), and a server that begins with a burst, its newest
    group of pictures at once, causes no delay that stays.
    """

    def __init__(self) -> None:
        self._last: int | None = None  # the stamp before
        self._ticks = 0  # its time, without wraps
        self._places: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)  # ticks and ns, both growing
        self._window_ends_ns = 0
        self._least_late_ns = 0

    def place(self, timestamp: int, arrived_ns: int) -> int:
        """When what is stamped so was captured, in ns; perhaps some ms after `arrived_ns` in a burst."""
        if self._last is None or not self._step(timestamp - self._last):
            self._begin(arrived_ns)
        self._last = timestamp
        capture_ns = self._known(self._ticks) if self._ticks <= self._places[-1][0] else self._extended(arrived_ns)
        self._least_late_ns = min(self._least_late_ns, arrived_ns - capture_ns)
        if arrived_ns < self._window_ends_ns:
            return capture_ns
        if self._least_late_ns > MAX_LATE_NS:
            capture_ns = self._begin(arrived_ns)
        elif self._least_late_ns > 0:
            ticks, newest_ns = self._places[-1]
            self._places[-1] = ticks, newest_ns + self._least_late_ns // SOFTNESS
        self._begin_window(arrived_ns)
        return capture_ns

    def restart(self) -> None:
        """The next stamp is of another sender, and says nothing of the ones before."""
        self._last = None

    def _step(self, difference: int) -> bool:
        """Whether a step of the stamps, modulo 2^32, is one of time."""
        step = (difference + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
        self._ticks += step
        return -MAX_BACK <= step <= MAX_AHEAD

    def _begin(self, arrived_ns: int) -> int:
        """Anew, and not before what was."""
        if self._places:
            arrived_ns = max(arrived_ns, self._places[-1][1] + HURRIED_NS)
        self._places.clear()
        self._places.append((self._ticks, arrived_ns))
        self._begin_window(arrived_ns)
        return arrived_ns

    def _extended(self, arrived_ns: int) -> int:
        ticks, ns = self._places[-1]
        step_ns = (self._ticks - ticks) * NS_PER_S // CLOCK_RATE
        if ns + step_ns > arrived_ns:
            self._begin_window(arrived_ns)
            ns = max(arrived_ns, ns + min(step_ns // MAX_HURRY, HURRIED_NS))
        else:
            ns += step_ns
        self._places.append((self._ticks, ns))
        return ns

    def _known(self, wanted: int) -> int:
        """Between two places on the line through them; before all of them in the slope of life."""
        for (ticks, ns), (later_ticks, later_ns) in pairwise(self._places):
            if ticks <= wanted <= later_ticks:
                return ns + (later_ns - ns) * (wanted - ticks) // (later_ticks - ticks)
        ticks, ns = self._places[0]
        return ns - (ticks - wanted) * NS_PER_S // CLOCK_RATE

    def _begin_window(self, now_ns: int) -> None:
        self._window_ends_ns = now_ns + WINDOW_NS
        self._least_late_ns = 1 << 62
