"""Where a client that publishes and the stream that shows it find each other."""

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from camfleet.core.net.inlet import Inlet
from camfleet.core.sdp.parse import VideoTrack
from camfleet.core.wire import Publish

from ...clockmap import NS_PER_S
from ..descriptors import new_eventfd

# Who has sent nothing for so long gives way to another client: readers do not see him any more, and mostly it is the
# same one who comes back from a network that has forgotten his old connection.
GIVES_WAY_NS = 2 * NS_PER_S  # or twice the time between his pictures, if that is more
FIRST_INTERVAL_NS = 4 * NS_PER_S  # until the second picture tells: two slow clients would never get that far


@dataclass(slots=True, eq=False)
class Publication:
    """One client that records, from RECORD to its end."""

    track: VideoTrack
    channels: tuple[int, int]
    peer: str  # for the log
    send: Callable[[bytes], object]  # to the client; from any thread, as `end`
    end: Callable[[], object]  # the connection; `leave` follows
    inlet: Inlet = field(default_factory=Inlet)
    _interval_ns: int = field(default=0, init=False)  # between the last two pictures
    _picture_ns: int | None = field(default=None, init=False)

    def shown(self, now_ns: int) -> None:
        """A picture of his; from one thread."""
        self._interval_ns = FIRST_INTERVAL_NS if self._picture_ns is None else now_ns - self._picture_ns
        self._picture_ns = now_ns

    def is_silent(self, now_ns: int) -> bool:
        return now_ns - self.inlet.newest_ns > max(GIVES_WAY_NS, 2 * self._interval_ns)


class PublishingPoint:
    """Of one stream; has one publication at a time. May be used from any thread."""

    def __init__(self) -> None:
        self.fd = new_eventfd()  # readable after a change
        weakref.finalize(self, os.close, self.fd)
        self._lock = threading.Lock()
        self._current: Publication | None = None

    @property
    def current(self) -> Publication | None:
        return self._current

    def is_free(self, now_ns: int) -> bool:
        current = self._current
        return current is None or current.is_silent(now_ns)

    def take(self, publication: Publication, now_ns: int) -> bool:
        """False: somebody publishes."""
        with self._lock:
            before = self._current
            if before is not None and not before.is_silent(now_ns):
                return False
            self._current = publication
        if before is not None:
            before.end()
        os.eventfd_write(self.fd, 1)
        return True

    def leave(self, publication: Publication) -> None:
        """Perhaps long after another one has come."""
        with self._lock:
            if self._current is not publication:
                return
            self._current = None
        os.eventfd_write(self.fd, 1)


# There is a point while somebody publishes or waits for him.
_points: weakref.WeakValueDictionary[Publish, PublishingPoint] = weakref.WeakValueDictionary()
_guard = threading.Lock()


def publishing_point(source: Publish) -> PublishingPoint:
    """The one of this source. Raises SourceError."""
    with _guard:
        point = _points.get(source)
        if point is None:
            point = _points[source] = PublishingPoint()
        return point
