"""Failed logins, counted per (address, user) and per address over all connections. Pure: time comes in."""


class Lockout:
    """Bounded memory: the oldest counts are forgotten first."""

    def __init__(
        self,
        *,
        user_failures: int = 10,
        address_failures: int = 50,
        window_s: float = 60,
        lock_s: float = 60,
        max_entries: int = 10_000,
    ) -> None: ...

    def failed(self, address: str, user: str, now_ns: int) -> None:
        """Count one failed login."""

    def succeeded(self, address: str, user: str) -> None:
        """Forget the user's failures from this address."""

    def lock(self, address: str, user: str, seconds: float, now_ns: int) -> None:
        """Another process says so. `user` "" locks the whole address."""

    def is_locked(self, address: str, user: str, now_ns: int) -> bool:
        """Whether logins of this user from this address are refused unread."""
        raise NotImplementedError
