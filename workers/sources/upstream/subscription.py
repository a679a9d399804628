"""The thread of an upstream, and the streams that it is for."""

import threading
import time
from collections.abc import Callable

from camfleet.core.log import Log
from camfleet.core.wire import Source

from ...clockmap import NS_PER_S
from ...codecs import Description
from ..arrivals import Arrival, Arrivals
from ..base import SourceError
from .session import Interrupt, LeftError, Listener, Session

log = Log("sources")

# Streams that fail are tried again every two seconds; a camera that is asked so often with a wrong password locks its
# user out, or us.
REFUSAL_REST_NS = 60 * NS_PER_S


class Subscription:
    """One stream's end of an upstream: what has arrived for it, from a key frame on. Belongs to the stream's thread."""

    def __init__(self, upstream: "Upstream", wake: Callable[[], object]) -> None:
        self.is_kept = False  # what has arrived is for later: no more of it than begins with the newest key frame
        self._upstream = upstream
        self._wake = wake
        self._arrivals = Arrivals()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._arrivals)

    @property
    def failure(self) -> str:
        """Why nothing will come any more; empty: it may."""
        return self._upstream.failure

    @property
    def absence(self) -> str:
        """Why nothing comes now, though something may."""
        return self._upstream.absence

    @property
    def description(self) -> Description | None:
        """What the server has said before the first picture."""
        return self._upstream.description

    @property
    def skipped(self) -> int:
        return self._upstream.skipped + self._arrivals.overflows

    def want_key_frame(self) -> None:
        """Nothing else is of use; cameras that can be asked are."""
        self._upstream.key_frame_is_wanted = True

    def take(self) -> Arrival | None:
        with self._lock:
            return self._arrivals.take()

    def catch_up(self, before_ns: int) -> None:
        """If the next unit was captured before that, go on with the newest key frame that waits, if there is one."""
        with self._lock:
            if (first := self._arrivals.first) is not None and first.unit.capture_ns < before_ns:
                self._arrivals.skip_to_newest_key_frame()

    def close(self) -> None:
        self._upstream.leave(self)

    def put(self, arrival: Arrival) -> None:
        """From the upstream's thread."""
        with self._lock:
            if self.is_kept and arrival.unit.key_frame:
                self._arrivals.begin_anew()
            self._arrivals.put(arrival)
            if self._arrivals.needs_key_frame:
                self.want_key_frame()
        self._wake()

    def wake(self) -> None:
        self._wake()


OpenSession = Callable[[Interrupt, Listener], Session]

_upstreams: dict[Source, "Upstream"] = {}
_guard = threading.Lock()


def subscribe(source: Source, open_session: OpenSession, wake: Callable[[], object]) -> Subscription:
    """To the upstream that runs already, or to a new one. Never waits; `wake` is called when there is something new.
    Raises SourceError."""
    with _guard:
        upstream = _upstreams.get(source)
        if upstream is None or (upstream.failure and time.monotonic_ns() >= upstream.rests_until_ns):
            upstream = _upstreams[source] = Upstream(source, open_session)
        return upstream.join(wake)


class Upstream:
    """Runs while somebody is subscribed. After a failure it is of no more use: who comes then gets another one."""

    def __init__(self, source: Source, open_session: OpenSession) -> None:
        self.failure = ""
        self.rests_until_ns = 0  # who comes until then hears of the same failure
        self.description: Description | None = None
        self.key_frame_is_wanted = False  # until one comes
        self._source = source
        self._users: tuple[Subscription, ...] = ()
        self._interrupt = Interrupt()
        listener = Listener(self._described, self._arrived, lambda: self.key_frame_is_wanted)
        try:
            self._session = open_session(self._interrupt, listener)
        except BaseException:
            self._interrupt.close()
            raise
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    @property
    def absence(self) -> str:
        return self._session.absence

    @property
    def skipped(self) -> int:
        return self._session.skipped

    def join(self, wake: Callable[[], object]) -> Subscription:
        """Under the guard, as `leave`. The session begins with the first user, who misses nothing of it."""
        user = Subscription(self, wake)
        self._users = (*self._users, user)
        if self._thread.ident is None:
            self._thread.start()
        return user

    def leave(self, user: Subscription) -> None:
        with _guard:
            self._users = tuple(each for each in self._users if each is not user)
            if self._users:
                return
            if _upstreams.get(self._source) is self and time.monotonic_ns() >= self.rests_until_ns:
                del _upstreams[self._source]
            self._interrupt.set()

    def _run(self) -> None:
        try:
            self._session.run()
        except LeftError:
            return
        except SourceError as error:
            if self._session.refused:
                self.rests_until_ns = time.monotonic_ns() + REFUSAL_REST_NS
            self.failure = str(error)
        except Exception:  # a defect of ours: the streams must hear of it
            log.exception("upstream_broken")
            self.failure = "internal error, see the log"
        finally:
            with _guard:
                self._interrupt.close()
        for user in self._users:
            user.wake()

    def _described(self, description: Description) -> None:
        self.description = description
        for user in self._users:
            user.wake()

    def _arrived(self, arrival: Arrival) -> None:
        self.description = arrival.description
        if arrival.unit.key_frame:
            self.key_frame_is_wanted = False
        for user in self._users:
            user.put(arrival)
