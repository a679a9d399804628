"""The times of the frames of an encoded stream."""

from ..clockmap import NS_PER_S


class FrameClock:
    """Frame n is due at start + n/fps exactly: integers, no sums. Frames whose time is over are left out."""

    def __init__(self, start_ns: int, fps: int) -> None:
        self._start_ns = start_ns
        self._fps = fps
        self._next = 0

    @property
    def due_ns(self) -> int:
        return self.time_ns(self._next)

    def time_ns(self, number: int) -> int:
        return self._start_ns + number * NS_PER_S // self._fps

    def tick(self, now_ns: int) -> int:
        """The number of the frame to make now: the newest that is due, so a late caller skips and never bunches."""
        # + 1: time_ns rounds down, and so would this; at a frame's own time the frame must be found.
        newest = ((now_ns - self._start_ns + 1) * self._fps - 1) // NS_PER_S
        number = max(self._next, newest)
        self._next = number + 1
        return number
