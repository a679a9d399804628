"""A file's time stamps on the monotonic clock: its own rhythm, without its gaps, jumps and repetitions."""

from fractions import Fraction

from ..clockmap import NS_PER_S

# Steps outside of this are no rhythm: a file that jumps by a day must not silence a camera for a day, and one whose
# time stands still must not be sent as fast as the machine can.
MIN_STEP_NS = NS_PER_S // 1000
MAX_STEP_NS = 10 * NS_PER_S


class Timeline:
    """Places time stamps in order, each after the one before; integers of the file's time base until the very end.

    A step that is not credible, and the first stamp of a new pass, continue where the last one ended by its duration.
    """

    def __init__(self, start_ns: int, time_base: Fraction, frame: Fraction) -> None:
        """`frame`: the usual duration of a frame in ticks of the time base, for those that carry none."""
        self._start_ns = start_ns
        self._time_base = time_base
        self._frame = max(1, round(frame))
        self._min_step, self._max_step = (max(1, self._ticks(ns)) for ns in (MIN_STEP_NS, MAX_STEP_NS))
        self._shift = 0  # what is added to the file's own stamps
        self._placed: int | None = None  # the last one placed; None: a new pass begins
        self._end = 0  # where it ends

    def place(self, stamp: int | None, duration: int | None) -> int:
        """The time in ns of what is stamped `stamp` ticks, or of what simply comes next."""
        if stamp is None:
            stamp = self._end - self._shift
        step = stamp + self._shift - self._placed if self._placed is not None else 0
        if not self._min_step <= step <= self._max_step:
            self._shift = self._end - stamp
        self._placed = stamp + self._shift
        self._end = self._placed + self._credible(duration)
        return self._start_ns + self.span_ns(self._placed)

    @property
    def end_ns(self) -> int:
        """When what was placed last is over."""
        return self._start_ns + self.span_ns(self._end)

    def new_pass(self) -> None:
        """The stamps begin again."""
        self._placed = None

    def delay(self, ns: int) -> None:
        """Everything from now on comes so much later."""
        self._start_ns += ns

    def span_ns(self, ticks: int) -> int:
        return ticks * self._time_base.numerator * NS_PER_S // self._time_base.denominator

    def _ticks(self, ns: int) -> int:
        return ns * self._time_base.denominator // (self._time_base.numerator * NS_PER_S)

    def _credible(self, duration: int | None) -> int:
        return duration if duration and self._min_step <= duration <= self._max_step else self._frame
