"""When a certificate's end is near: a warning at each of these days, once, and one when it is over."""

import math
from collections.abc import Iterable

from camfleet.core.log import Log
from camfleet.supervisor.examine import Description

log = Log("certs")

WARN_AT_DAYS = (30, 14, 7, 1, 0)
_DAY_S = 86_400


def days_left(description: Description, now_s: float) -> int:
    """Whole days until the first of the chain ends; negative when it is over."""
    return math.floor((description.not_after_unix_s - now_s) / _DAY_S)


def is_over(description: Description, now_s: float) -> bool:
    return now_s >= description.not_after_unix_s


def warning(description: Description, now_s: float) -> str:
    """For the status: empty as long as there is time enough."""
    days = days_left(description, now_s)
    if is_over(description, now_s) or description.not_after_unix_s - now_s > WARN_AT_DAYS[0] * _DAY_S:
        return ""
    return f"ends in {days} day{'s' * (days != 1)}" if days else "ends within a day"


class Expiry:
    """Remembers what has been said."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], int] = {}  # identity and fingerprint to the last of WARN_AT_DAYS

    def look(self, served: Iterable[tuple[str, Description]], now_s: float) -> None:
        """`served`: identities with each of their certificates."""
        said: dict[tuple[str, str], int] = {}
        for identity, description in served:
            key = identity, description.fingerprint
            left_s = description.not_after_unix_s - now_s
            due = min((days for days in WARN_AT_DAYS if left_s <= days * _DAY_S), default=None)
            if due is None:
                continue
            if due < self._said.get(key, WARN_AT_DAYS[0] + 1):
                _say(identity, description, now_s)
            said[key] = due
        self._said = said


def _say(identity: str, description: Description, now_s: float) -> None:
    fields = {"identity": identity, "subject": description.subject, "fingerprint": description.fingerprint}
    if is_over(description, now_s):
        log.error("certificate_expired", **fields)
    else:
        log.warning("certificate_expires", days_left=days_left(description, now_s), **fields)
