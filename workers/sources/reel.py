"""A film that is read once for all streams of a camera that show it, so that they show the same moment of it.

    a file, or a list of them --- Reel --- Cursor --- ReelPassThrough       a stream that passes it through
                                     `---- Cursor --- ReelFilm              pictures for all that encode it anew

There is no thread: whoever asks first when something is due reads it for all, in its pipeline's thread. What one stream
alone shows is taken as it is read, and nothing of it is kept.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Protocol

from camfleet.core.wire import FileLive

from ..clockmap import NS_PER_S
from ..codecs import AccessUnit, Colours, Description
from .arrivals import MAX_WAITING_SIZE, Arrival, Arrivals
from .base import Feed, SourceError
from .filelive import MAX_LATE_NS
from .lineup import Lineup

# Who begins in the middle of a group of pictures shows what there was of it so many times faster than life, until life
# is caught up with: half a minute in less than a second.
MAX_HURRY = 40
# Of what has been kept: the readers' thread is handed 256 at most, and has to wake up first.
MAX_AT_ONCE = 50
PAUSE_NS = NS_PER_S // 100
NOW_NS = 0


class FilmFeed(Feed, Protocol):
    """A Feed of files: `description`, and the rest of this, is that of all units that the last `read` gives."""

    @property
    def description(self) -> Description: ...
    @property
    def colours(self) -> Colours: ...
    @property
    def pixel_aspect(self) -> Fraction | None:
        """As the container says."""


class Cursor:
    """One stream's end of a reel, from a key frame on. Belongs to the stream's thread."""

    def __init__(self, reel: "Reel") -> None:
        self.arrivals = Arrivals()  # guarded by the reel
        self.begins_ns = reel.feed.due_ns
        self.description = reel.feed.description  # of what comes first
        self.colours = reel.feed.colours
        self._reel = reel

    @property
    def due_ns(self) -> int:
        """When to `take` next."""
        return NOW_NS if self.arrivals or self._reel.failure else self._reel.feed.due_ns

    @property
    def skipped(self) -> int:
        return self._reel.feed.skipped + self.arrivals.overflows

    def take_all(self, now_ns: int) -> Iterator[AccessUnit] | None:
        """What is due, each unit read when it is asked for. None: others show it too, or have."""
        units = self._reel.take_all(self, now_ns)
        self.description = self._reel.feed.description
        return units

    def take(self, now_ns: int) -> Arrival | None:
        """The next, read or not yet. Raises SourceError after the last."""
        return self._reel.take(self, now_ns)

    def catch_up(self, now_ns: int) -> None:
        """Leave out what is late, if there is a newer key frame to go on with."""
        self._reel.catch_up(self, now_ns)

    def close(self) -> None:
        self._reel.leave(self)


class _Newest:
    """What begins with the newest key frame that is due, and what has been read ahead."""

    def __init__(self) -> None:
        self._groups: deque[list[Arrival]] = deque()  # the second begins with a key frame that is not due yet
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __iter__(self) -> Iterator[Arrival]:
        return (arrival for group in self._groups for arrival in group)

    def add(self, arrival: Arrival) -> None:
        if arrival.unit.key_frame:
            self._groups.append([])
        elif not self._groups:
            return
        self._groups[-1].append(arrival)
        self._size += arrival.size
        if self._size > MAX_WAITING_SIZE:
            self.clear()

    def forget(self, now_ns: int) -> None:
        """What nobody begins with any more."""
        while len(self._groups) > 1 and self._groups[1][0].unit.due_ns <= now_ns:
            self._size -= sum(arrival.size for arrival in self._groups.popleft())

    def clear(self) -> None:
        self._groups.clear()
        self._size = 0


_reels: dict[FileLive, "Reel"] = {}
_guard = threading.Lock()


def join(source: FileLive, lineup: Lineup, open_feed: Callable[[], FilmFeed], start_ns: int) -> Cursor:
    """Of the reel that runs, if it has a picture to begin with; else of a new one. `start_ns`: of the stream."""
    with _guard:
        reel = _reels.get(source)
        if reel is not None and (cursor := reel.join(start_ns)) is not None:
            return cursor
        reel = _reels[source] = Reel(source, lineup, open_feed())
        return reel.first


class Reel:
    """Runs while it has users. After a failure it is of no more use: who comes then gets another one."""

    def __init__(self, source: FileLive, lineup: Lineup, feed: FilmFeed) -> None:
        self.feed = feed
        self.failure: SourceError | None = None
        self._source = source
        self._lineup = lineup
        self._lock = threading.Lock()
        self._users = [Cursor(self)]
        self._batch: Iterator[AccessUnit] | None = None  # what the feed gives, each unit read when it is asked for
        self._is_shared = self._keeps = False  # until now; who reads alone does so without the lock
        self._newest = _Newest()

    @property
    def first(self) -> Cursor:
        return self._users[0]

    def join(self, now_ns: int) -> Cursor | None:
        """None: there is no picture to begin with now."""
        with self._lock:
            if self.failure or (self._batch is not None and not self._newest):
                return None
            cursor = Cursor(self)
            self._begin(cursor, now_ns)
            if (first := cursor.arrivals.first) is not None:
                cursor.begins_ns, cursor.description = first.unit.due_ns, first.description
            self._users.append(cursor)
            self._is_shared = True
            return cursor

    def leave(self, cursor: Cursor) -> None:
        with _guard, self._lock:
            self._users.remove(cursor)
            if self._users:
                return
            if _reels.get(self._source) is self:
                del _reels[self._source]
            self._batch = None  # it refers to the feed
            self.feed.close()

    def take_all(self, cursor: Cursor, now_ns: int) -> Iterator[AccessUnit] | None:
        with self._lock:
            if self._is_shared:
                return None
            try:
                if not self._read(now_ns):
                    return iter(())
            except BaseException as error:
                self._fail(error)
                raise
            if self._is_shared:
                return None
            cursor.arrivals.needs_key_frame = False  # it goes on from here
            return self._batch

    def take(self, cursor: Cursor, now_ns: int) -> Arrival | None:
        with self._lock:
            while not cursor.arrivals:
                if self.failure:
                    raise SourceError(str(self.failure), shown=self.failure.shown)
                try:
                    while (unit := self._next()) is None:
                        if not self._read(now_ns):
                            return None
                except BaseException as error:
                    self._fail(error)
                    raise
                self._put(unit)
            return cursor.arrivals.take()

    def catch_up(self, cursor: Cursor, now_ns: int) -> None:
        with self._lock:
            late = cursor.arrivals.first
            newest = next(iter(self._newest), None)
            if late is None or newest is None or late.unit.due_ns >= now_ns - MAX_LATE_NS:
                return
            if late.unit.due_ns < newest.unit.due_ns:
                cursor.arrivals.overflows += len(cursor.arrivals)
                cursor.arrivals.begin_anew()
                self._begin(cursor, now_ns)

    def _begin(self, cursor: Cursor, now_ns: int) -> None:
        self._newest.forget(now_ns)
        for arrival in self._newest:
            cursor.arrivals.put(arrival)

    def _read(self, now_ns: int) -> bool:
        """Whether there is something to read now."""
        if now_ns < self.feed.due_ns:
            return False
        self._batch = iter(self.feed.read(now_ns, False))
        # Nobody comes to one whose place another reel has taken.
        self._keeps = self._lineup.is_shared(self._source) and _reels.get(self._source) is self
        if self._keeps:
            self._is_shared = True
            self._newest.forget(now_ns)
        else:
            self._newest.clear()
        return True

    def _next(self) -> AccessUnit | None:
        return next(self._batch, None) if self._batch is not None else None

    def _put(self, unit: AccessUnit) -> None:
        """To all, and to those who come later."""
        arrival = Arrival(unit, self.feed.description, self.feed.pixel_aspect)
        for user in self._users:
            user.arrivals.put(arrival)
        if self._keeps:
            self._newest.add(arrival)

    def _fail(self, error: BaseException) -> None:
        """For all."""
        internal = SourceError("internal error, see the log", shown="internal error")
        self.failure = error if isinstance(error, SourceError) else internal


class ReelPassThrough:
    """A Feed."""

    encoder = "pass-through"
    absence = ""

    def __init__(self, source: FileLive, lineup: Lineup, open_feed: Callable[[], FilmFeed], start_ns: int) -> None:
        """Nothing is captured before `start_ns`, so that the stream's times only grow."""
        self._cursor = join(source, lineup, open_feed, start_ns)
        self.description = self._cursor.description
        self._start_ns = start_ns
        self._is_late = self._cursor.begins_ns < start_ns
        self._held: Arrival | None = None  # the first of another description, or after a pause
        self._resumes_ns = NOW_NS

    @property
    def due_ns(self) -> int:
        return max(NOW_NS if self._held else self._cursor.due_ns, self._resumes_ns)

    @property
    def skipped(self) -> int:
        return self._cursor.skipped

    def read(self, now_ns: int, _force_key: bool) -> Iterator[AccessUnit]:
        """What is due and of one description, each unit read when it is asked for."""
        if (units := self._cursor.take_all(now_ns)) is not None:
            self.description = self._cursor.description
            return units
        arrival = self._held or self._cursor.take(now_ns)
        self._held = None
        if arrival is None:
            return iter(())
        self.description = arrival.description
        return self._units(arrival, now_ns)

    def _units(self, arrival: Arrival | None, now_ns: int) -> Iterator[AccessUnit]:
        for _ in range(MAX_AT_ONCE):
            if arrival is None:
                return
            if arrival.description is not self.description:
                self._held = arrival
                return
            yield self._in_step(arrival.unit) if self._is_late else arrival.unit
            arrival = self._cursor.take(now_ns)
        if arrival is not None:
            self._held, self._resumes_ns = arrival, now_ns + PAUSE_NS

    def _in_step(self, unit: AccessUnit) -> AccessUnit:
        """What was shown before the start, in a hurry; pictures keep their order."""
        hurried_ns = self._start_ns + (unit.capture_ns - self._cursor.begins_ns) // MAX_HURRY
        if hurried_ns <= unit.capture_ns:
            return unit
        return AccessUnit(unit.data, hurried_ns, unit.key_frame, unit.due_ns)

    def close(self) -> None:
        self._cursor.close()
