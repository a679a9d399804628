"""Failed logins, counted per (address, user) and per address over all connections. Pure: time comes in."""

from collections import OrderedDict
from dataclasses import dataclass

from camfleet.core.address import network

_NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class _Count:
    since_ns: int
    failures: int = 0
    locked_until_ns: int = 0


class Lockout:
    """Memory is bounded: the counts that were not touched for longest are forgotten first.

    The limit of an address is above the user's, as many users may share one (NAT, a recorder). All addresses of an IPv6
    /64 are one: who guesses has them all.
    """

    def __init__(
        self,
        *,
        user_failures: int = 10,
        address_failures: int = 50,
        window_s: float = 60,
        lock_s: float = 60,
        max_entries: int = 10_000,
    ) -> None:
        self._address_failures = address_failures
        self._max_entries = max_entries
        self._counts: OrderedDict[tuple[str, str], _Count] = OrderedDict()
        self.set_limits(user_failures=user_failures, window_s=window_s, lock_s=lock_s)

    def set_limits(self, *, user_failures: int, window_s: float, lock_s: float) -> None:
        """From the next failure on; who is locked out stays so for as long as it was meant then."""
        self._user_failures = user_failures
        self._window_ns = int(window_s * _NS_PER_S)
        self._lock_s = lock_s

    def __len__(self) -> int:
        return len(self._counts)

    def failed(self, address: str, user: str, now_ns: int) -> None:
        """Count one failed login. `user` "": the name could not be read, only the address counts."""
        for name, limit in {user: self._user_failures, "": self._address_failures}.items():
            count = self._entry(address, name, now_ns)
            if now_ns - count.since_ns > self._window_ns:
                count.since_ns, count.failures = now_ns, 0
            count.failures += 1
            if count.failures >= limit:
                count.failures = 0
                count.locked_until_ns = now_ns + int(self._lock_s * _NS_PER_S)

    def succeeded(self, address: str, user: str) -> None:
        """Forget the user's failures from this address; the address keeps its own."""
        self._counts.pop((network(address), user), None)

    def lock(self, address: str, user: str, seconds: float, now_ns: int) -> None:
        """Another process says so. `user` "" is the whole address."""
        count = self._entry(address, user, now_ns)
        count.locked_until_ns = max(count.locked_until_ns, now_ns + int(seconds * _NS_PER_S))

    def is_locked(self, address: str, user: str, now_ns: int) -> bool:
        """Whether credentials of this user from this address are refused unread."""
        peer = network(address)
        counts = (self._counts.get((peer, user)), self._counts.get((peer, "")))
        return any(count is not None and now_ns < count.locked_until_ns for count in counts)

    def _entry(self, address: str, user: str, now_ns: int) -> _Count:
        key = network(address), user
        count = self._counts.setdefault(key, _Count(now_ns))
        self._counts.move_to_end(key)
        if len(self._counts) > self._max_entries:
            self._counts.popitem(last=False)
        return count
