"""An upstream's access units as they are."""

from camfleet.core.wire import Source

from ...codecs import CODECS, AccessUnit, Description
from ..base import Place, SourceError
from .clock import MAX_HURRY
from .subscription import OpenSession, subscribe

RE_ENCODE = "give the stream `video` settings to re-encode it"
NOW_NS, NEVER_NS = 0, 1 << 62


class UpstreamPassThrough:
    """A Feed. The units come when they come: `Place.wake` is called then."""

    encoder = "pass-through"

    def __init__(self, source: Source, open_session: OpenSession, place: Place, start_ns: int) -> None:
        """Nothing is captured before `start_ns`, so that the stream's times only grow."""
        self.description: Description | None = None
        self._start_ns = start_ns
        self._first_ns: int | None = None  # when the first unit was captured
        self._hurries = False
        self._subscription = subscribe(source, open_session, place.wake)

    @property
    def due_ns(self) -> int:
        subscription = self._subscription
        news = self.description is None and subscription.description is not None
        return NOW_NS if subscription or news or subscription.failure else NEVER_NS

    @property
    def absence(self) -> str:
        return self._subscription.absence

    @property
    def failure(self) -> str:
        return self._subscription.failure

    @property
    def skipped(self) -> int:
        return self._subscription.skipped

    def keep(self) -> bool:
        """Until the first `read` the newest group of pictures is kept, to begin with. Whether there is one."""
        self._subscription.is_kept = True
        return len(self._subscription) > 0

    def read(self, now_ns: int, force_key: bool) -> list[AccessUnit]:
        if self._subscription.is_kept:
            self._subscription.is_kept, self._hurries = False, True
            self._start_ns = max(self._start_ns, now_ns)
        arrival = self._subscription.take()
        if arrival is None:
            self.description = self.description or self._subscription.description
            if self._subscription.failure:
                raise SourceError(self._subscription.failure)
            return []
        if force_key and not arrival.unit.key_frame:
            self._subscription.want_key_frame()
        self.description = arrival.description
        if arrival.description.codec not in CODECS:
            raise SourceError(f"the stream is {arrival.description.codec}, not H.264 or H.265; {RE_ENCODE}")
        late_ns = self._late_ns(arrival.unit.capture_ns)
        return [arrival.unit.later(late_ns) if late_ns > 0 else arrival.unit]

    def _late_ns(self, capture_ns: int) -> int:
        """What was captured before the start is shown from then on; what was kept, in a hurry, until life is caught up
        with. Pictures keep their order."""
        if self._first_ns is None:
            self._first_ns = capture_ns
        passed_ns = capture_ns - self._first_ns if self._hurries else 0
        return self._start_ns - self._first_ns - passed_ns + passed_ns // MAX_HURRY

    def close(self) -> None:
        self._subscription.close()
