"""An upstream's access units as they are."""

from camfleet.core.wire import Source

from ...codecs import CODECS, AccessUnit, Description
from ..base import Place, SourceError
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
        self._shift_ns: int | None = None
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
    def skipped(self) -> int:
        return self._subscription.skipped

    def read(self, _now_ns: int, _force_key: bool) -> list[AccessUnit]:
        arrival = self._subscription.take()
        if arrival is None:
            self.description = self.description or self._subscription.description
            if self._subscription.failure:
                raise SourceError(self._subscription.failure)
            return []
        self.description = arrival.description
        if arrival.description.codec not in CODECS:
            raise SourceError(f"the stream is {arrival.description.codec}, not H.264 or H.265; {RE_ENCODE}")
        if self._shift_ns is None:
            self._shift_ns = max(0, self._start_ns - arrival.unit.capture_ns)
        return [arrival.unit.later(self._shift_ns) if self._shift_ns else arrival.unit]

    def close(self) -> None:
        self._subscription.close()
