"""Failed logins over all connections; time is an argument."""

from camfleet.core.rtsp import Lockout

from tests.kit.rtsp import SECOND

HERE, THERE = "192.0.2.1", "192.0.2.2"


def test_a_user_is_locked_at_one_address_and_for_a_time() -> None:
    lockout = Lockout(user_failures=3, address_failures=100, window_s=60, lock_s=30)
    assert [lockout.failed(HERE, "viewer", i) for i in range(3)] == [[], [], [(HERE, "viewer")]]
    assert lockout.is_locked(HERE, "viewer", 2)
    assert not lockout.is_locked(HERE, "guard", 2)
    assert not lockout.is_locked(THERE, "viewer", 2)
    assert lockout.is_locked(HERE, "viewer", 30 * SECOND + 1)
    assert not lockout.is_locked(HERE, "viewer", 30 * SECOND + 2)


def test_an_address_is_locked_for_all_users() -> None:
    lockout = Lockout(user_failures=3, address_failures=5, lock_s=30)
    locked = [lockout.failed(HERE, f"user{i}", 0) for i in range(5)]
    assert locked == [[], [], [], [], [(HERE, "")]]
    assert lockout.is_locked(HERE, "anybody", 0)
    assert lockout.is_locked(HERE, "", 0)
    assert not lockout.is_locked(THERE, "user1", 0)


def test_a_name_that_could_not_be_read_counts_for_the_address_only() -> None:
    lockout = Lockout(user_failures=1, address_failures=3)
    assert [lockout.failed(HERE, "", 0) for _ in range(3)] == [[], [], [(HERE, "")]]


def test_failures_are_forgotten_after_the_window() -> None:
    lockout = Lockout(user_failures=2, window_s=60)
    for i in range(10):
        assert lockout.failed(HERE, "viewer", i * 61 * SECOND) == []
    assert lockout.failed(HERE, "viewer", 9 * 61 * SECOND) == [(HERE, "viewer")]


def test_counting_begins_again_after_the_lock() -> None:
    lockout = Lockout(user_failures=2, lock_s=1, window_s=60)
    lockout.failed(HERE, "viewer", 0)
    assert lockout.failed(HERE, "viewer", 0)
    assert lockout.failed(HERE, "viewer", 2 * SECOND) == []
    assert not lockout.is_locked(HERE, "viewer", 2 * SECOND)
    assert lockout.failed(HERE, "viewer", 2 * SECOND)


def test_success_forgets_the_user_and_not_the_address() -> None:
    lockout = Lockout(user_failures=2, address_failures=3)
    lockout.failed(HERE, "viewer", 0)
    lockout.succeeded(HERE, "viewer")
    assert lockout.failed(HERE, "viewer", 0) == []
    assert lockout.failed(HERE, "guard", 0) == [(HERE, "")]


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
    assert lockout.failed(HERE, "old", 0) == []
    assert lockout.failed(HERE, "old", 0) == [(HERE, "old")]
