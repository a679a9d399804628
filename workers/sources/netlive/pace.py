"""The pace of a stream that comes faster than it is to be shown, as the segments of HLS do."""

from fractions import Fraction

from ...clockmap import NS_PER_S
from ..timeline import Timeline

MAX_LATE_NS = NS_PER_S // 5


class Pace:
    """When to give each unit away: in the stream's own rhythm from the first one on, or later when it came later."""

    def __init__(self, now_ns: int, time_base: Fraction, frame: Fraction) -> None:
        self._timeline = Timeline(now_ns, time_base, frame)

    def due_ns(self, dts: int | None, duration: int | None, now_ns: int) -> int:
        due_ns = self._timeline.place(dts, duration)
        late_ns = now_ns - due_ns
        if late_ns > MAX_LATE_NS:
            self._timeline.delay(late_ns)
            due_ns = now_ns
        return due_ns
