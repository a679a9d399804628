import pytest
from camfleet.supervisor.config import Limits
from camfleet.supervisor.listen import Budget
from camfleet.supervisor.listen.budget import OverLimitError

LIMITS = Limits(connections=4, connections_per_address=3, pending_per_address=2)


def test_connections_in_all() -> None:
    budget = Budget(LIMITS)
    leases = [budget.admit(f"192.0.2.{n}") for n in range(4)]
    with pytest.raises(OverLimitError, match=r"limits\.connections = 4"):
        budget.admit("192.0.2.9")
    leases[0].release()
    budget.admit("192.0.2.9")


def test_pending_connections_of_one_address() -> None:
    budget = Budget(LIMITS)
    first, _ = budget.admit("192.0.2.1"), budget.admit("192.0.2.1")
    with pytest.raises(OverLimitError, match=r"limits\.pending_per_address = 2"):
        budget.admit("192.0.2.1")
    budget.admit("192.0.2.2")
    first.logged_in()
    budget.admit("192.0.2.1")


def test_connections_of_one_address() -> None:
    budget = Budget(LIMITS)
    leases = []
    for _ in range(3):
        leases.append(budget.admit("192.0.2.1"))
        leases[-1].logged_in()
    with pytest.raises(OverLimitError, match=r"limits\.connections_per_address = 3"):
        budget.admit("192.0.2.1")
    leases[1].release()
    budget.admit("192.0.2.1")


def test_every_step_counts_once() -> None:
    budget = Budget(LIMITS)
    lease = budget.admit("192.0.2.1")
    other = budget.admit("192.0.2.1")
    for step in (lease.logged_in, lease.logged_in, lease.release, lease.release, lease.logged_in):
        step()
    assert budget.connections == 1
    other.release()
    assert budget.connections == 0
    for _ in range(2):  # and nothing went below zero
        budget.admit("192.0.2.1")
    with pytest.raises(OverLimitError):
        budget.admit("192.0.2.1")


def test_an_ipv6_network_is_one_address() -> None:
    budget = Budget(LIMITS)
    budget.admit("2001:db8::1")
    budget.admit("2001:db8:0:0:ffff::2")
    with pytest.raises(OverLimitError):
        budget.admit("2001:db8::3")
    budget.admit("2001:db8:0:1::1")


def test_restored_connections_are_counted_and_never_refused() -> None:
    budget = Budget(LIMITS)
    leases = [budget.restore("192.0.2.1") for _ in range(9)]
    assert budget.connections == 9
    with pytest.raises(OverLimitError):
        budget.admit("192.0.2.2")
    for lease in leases:
        lease.release()
    assert budget.connections == 0


def test_addresses_without_connections_are_forgotten() -> None:
    budget = Budget(LIMITS)
    for n in range(1000):
        budget.admit(f"10.0.{n >> 8}.{n & 255}").release()
    assert not budget._accounts
