"""Why connections were turned away: every one counted, a log line for one a second and reason."""

from collections import Counter

from camfleet.core.log import Log

_PERIOD_NS = 1_000_000_000


class Journal:
    """`counts` by reason, for metrics. Time comes in."""

    def __init__(self, log: Log) -> None:
        self.counts: Counter[str] = Counter()
        self._log = log
        self._logged: dict[str, tuple[int, int]] = {}  # reason: when last, and the count then

    def note(self, reason: str, peer: str, detail: str, now_ns: int) -> None:
        """`reason` is one of a small set of words, such as the name of an alert."""
        self.counts[reason] += 1
        when_ns, count = self._logged.get(reason, (now_ns - _PERIOD_NS, 0))
        if now_ns - when_ns < _PERIOD_NS:
            return
        self._logged[reason] = now_ns, self.counts[reason]
        suppressed = self.counts[reason] - count - 1
        self._log.warning("turned_away", peer=peer, reason=reason, detail=detail, suppressed=suppressed)
