"""Failed logins over all connections; time is an argument."""

from camfleet.core.rtsp import Lockout

from tests.kit.rtsp import SECOND

HERE, THERE = "192.0.2.1", "192.0.2.2"


def fail(lockout: Lockout, user: str, now_ns: int = 0) -> bool:
    """Whether the user is locked out here after one more failure."""
    lockout.failed(HERE, user, now_ns)
    return lockout.is_locked(HERE, user, now_ns)


def test_a_user_is_locked_at_one_address_and_for_a_time() -> None:
    lockout = Lockout(user_failures=3, address_failures=100, window_s=60, lock_s=30)
    assert [fail(lockout, "viewer", i) for i in range(3)] == [False, False, True]
    assert not lockout.is_locked(HERE, "guard", 2)
    assert not lockout.is_locked(THERE, "viewer", 2)
    assert lockout.is_locked(HERE, "viewer", 30 * SECOND + 1)
    assert not lockout.is_locked(HERE, "viewer", 30 * SECOND + 2)


def test_an_address_is_locked_for_all_users() -> None:
    lockout = Lockout(user_failures=3, address_failures=5, lock_s=30)
    assert [fail(lockout, f"user{i}") for i in range(5)] == [False] * 4 + [True]
    assert lockout.is_locked(HERE, "anybody", 0)
    assert lockout.is_locked(HERE, "", 0)
    assert not lockout.is_locked(THERE, "user1", 0)


def test_a_name_that_could_not_be_read_counts_for_the_address_only() -> None:
    lockout = Lockout(user_failures=1, address_failures=3)
    assert [fail(lockout, "") for _ in range(3)] == [False, False, True]
    assert lockout.is_locked(HERE, "viewer", 0)


def test_failures_are_forgotten_after_the_window() -> None:
    lockout = Lockout(user_failures=2, window_s=60)
    assert not any(fail(lockout, "viewer", i * 61 * SECOND) for i in range(10))
    assert fail(lockout, "viewer", 9 * 61 * SECOND)


def test_counting_begins_again_after_the_lock() -> None:
    lockout = Lockout(user_failures=2, lock_s=1, window_s=60)
    assert [fail(lockout, "viewer") for _ in range(2)] == [False, True]
    assert [fail(lockout, "viewer", 2 * SECOND) for _ in range(2)] == [False, True]


def test_success_forgets_the_user_and_not_the_address() -> None:
    lockout = Lockout(user_failures=2, address_failures=3)
    assert not fail(lockout, "viewer")
    lockout.succeeded(HERE, "viewer")
    assert not fail(lockout, "viewer")
    assert fail(lockout, "guard")


def test_a_lock_from_another_process() -> None:
    lockout = Lockout()
    lockout.lock(HERE, "viewer", 5, 0)
    lockout.lock(HERE, "viewer", 1, 0)  # the longer one stays
    lockout.lock(THERE, "", 5, 0)
    assert lockout.is_locked(HERE, "viewer", 4 * SECOND)
    assert not lockout.is_locked(HERE, "guard", 0)
    assert lockout.is_locked(THERE, "guard", 0)
    assert not lockout.is_locked(HERE, "viewer", 5 * SECOND)


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    lockout = Lockout(user_failures=2, address_failures=10**9, max_entries=100)
    lockout.failed(HERE, "old", 0)
    for i in range(1000):
        lockout.failed(THERE, f"user{i}", 0)
        assert len(lockout) <= 100
    assert [fail(lockout, "old") for _ in range(2)] == [False, True]


def test_all_of_an_ipv6_customers_addresses_are_one() -> None:
    lockout = Lockout(user_failures=3)
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"):
        lockout.failed(address, "viewer", 0)
    assert lockout.is_locked("2001:db8::4", "viewer", 0)
    assert not lockout.is_locked("2001:db8:0:1::1", "viewer", 0)
    lockout.lock("2001:db8:0:2::1", "", 60, 0)
    assert lockout.is_locked("2001:db8:0:2::2", "viewer", 0)
    assert len(lockout) == 3


def test_a_login_from_another_address_of_the_customer_counts_too() -> None:
    lockout = Lockout(user_failures=2)
    lockout.failed("2001:db8::1", "viewer", 0)
    lockout.succeeded("2001:db8::2", "viewer")
    lockout.failed("2001:db8::3", "viewer", 0)
    assert not lockout.is_locked("2001:db8::1", "viewer", 0)
