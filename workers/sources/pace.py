"""When to make a picture, for a capture that can make one at any time: just before it is asked for."""

from ..clockmap import NS_PER_S

SLACK_NS = NS_PER_S // 1000  # what a thread may need from the time it waits for to its first instruction


class Pace:
    """In step with the frames of one user, who gets pictures as fresh as can be; others take what is there.

    How long a picture will take is estimated as TCP does it with round trips (RFC 6298 2): a running mean and four
    times the mean deviation. A picture that is late is shown a frame later, which is worse than an early one.
    """

    def __init__(self) -> None:
        self._frame_ns = self._next_ns = 0  # the times of the frames that the last and the next picture are for
        self._mean_ns, self._deviation_ns = 2 * SLACK_NS, SLACK_NS

    def begin_ns(self, asked_ns: int, interval_ns: int, min_interval_ns: int = 0) -> int:
        """When to begin the next picture; the user asked last for the frame of `asked_ns`.

        If none was made for that one, at once; if he asks no more, it goes on in his rhythm.
        """
        # An eighth too early is not too early: frames' times are rounded.
        earliest_ns = self._frame_ns + max(interval_ns, min_interval_ns) - interval_ns // 8
        frames = max(0, -((asked_ns - earliest_ns) // interval_ns))
        self._next_ns = asked_ns + frames * interval_ns
        return self._next_ns - min(self._mean_ns + 4 * self._deviation_ns + SLACK_NS, interval_ns // 2)

    def made(self, took_ns: int) -> None:
        """The picture is there."""
        self._frame_ns = self._next_ns
        self._deviation_ns += (abs(took_ns - self._mean_ns) - self._deviation_ns) // 4
        self._mean_ns += (took_ns - self._mean_ns) // 8
