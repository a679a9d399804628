"""How many connections the server has, and from whom."""

from dataclasses import dataclass

from camfleet.core.address import network
from camfleet.supervisor.config import Limits


class OverLimitError(Exception):
    """A connection that may not come in; the text says which limit."""


@dataclass(slots=True)
class _Account:
    connections: int = 0
    pending: int = 0


class Lease:
    """One connection's place. Each step counts once, however often it is said."""

    __slots__ = ("_address", "_budget", "_pending", "_released")

    def __init__(self, budget: "Budget", address: str, pending: bool) -> None:
        self._budget = budget
        self._address = address
        self._pending = pending
        self._released = False

    def logged_in(self) -> None:
        """Somebody has logged in on the connection."""
        if self._pending:
            self._pending = False
            self._budget.count(self._address, pending=-1)

    def release(self) -> None:
        """The connection is closed, here or in a worker."""
        self.logged_in()
        if not self._released:
            self._released = True
            self._budget.count(self._address, connections=-1)


class Budget:
    """Admits within the limits. An address is what `core.address.network` says of it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits  # may be replaced: connections over a lower limit stay, new ones wait
        self.connections = 0
        self._accounts: dict[str, _Account] = {}

    def admit(self, address: str) -> Lease:
        """A place for a new connection from this address. Raises OverLimitError."""
        limits = self.limits
        key = network(address)
        account = self._accounts.get(key, _Account())
        if self.connections >= limits.connections:
            raise OverLimitError(f"limits.connections = {limits.connections}")
        if account.connections >= limits.connections_per_address:
            raise OverLimitError(f"limits.connections_per_address = {limits.connections_per_address}")
        if account.pending >= limits.pending_per_address:
            raise OverLimitError(f"limits.pending_per_address = {limits.pending_per_address}")
        self.count(key, connections=1, pending=1)
        return Lease(self, key, pending=True)

    def restore(self, address: str) -> Lease:
        """A connection that lives already, in a worker that outlived a supervisor: counted, never refused."""
        key = network(address)
        self.count(key, connections=1)
        return Lease(self, key, pending=False)

    def count(self, key: str, *, connections: int = 0, pending: int = 0) -> None:
        """Only addresses with connections have an account."""
        account = self._accounts.setdefault(key, _Account())
        account.connections += connections
        account.pending += pending
        self.connections += connections
        if not account.connections:
            del self._accounts[key]
