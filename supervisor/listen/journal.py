"""Why connections were turned away: every one counted, a log line for one a second and reason."""

from collections import Counter

from camfleet.core.log import LineLimit, Log
from camfleet.core.wire.control import Endpoint


class Journal:
    """`counts` by reason, for metrics. Time comes in."""

    def __init__(self, log: Log) -> None:
        self.counts: Counter[str] = Counter()
        self._log = log
        self._limit = LineLimit()

    def note(self, reason: str, peer: Endpoint, detail: str, now_ns: int) -> None:
        """`reason` is one of a small set of words, such as the name of an alert."""
        self.counts[reason] += 1
        suppressed = self._limit.suppressed(reason, now_ns)
        if suppressed is not None:
            self._log.warning("turned_away", peer=peer, reason=reason, detail=detail, suppressed=suppressed)
