"""The restart policy, in virtual time."""

import pytest
from camfleet.supervisor.arbiter.backoff import BOOT_FAILED, HEALTHY_AFTER_S, PAUSES_S, Backoff


def test_the_first_restart_comes_at_once() -> None:
    assert Backoff().pause_s(0.1) == 0.0


def test_a_worker_that_keeps_dying_waits_longer_each_time_and_never_gives_up() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_s(1.0) for _ in range(12)]
    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize(("lived_s", "pause_s"), [(HEALTHY_AFTER_S - 0.01, PAUSES_S[5]), (HEALTHY_AFTER_S, 0.0)])
def test_a_healthy_life_is_a_new_start(lived_s: float, pause_s: float) -> None:
    backoff = Backoff(failures=5)
    assert backoff.pause_s(lived_s) == pause_s


def test_a_failed_boot_is_not_tried_again_quickly() -> None:
    backoff = Backoff()
    assert backoff.pause_s(0.1, boot_failed=True) == PAUSES_S[BOOT_FAILED] == 4.0
    assert backoff.pause_s(0.1, boot_failed=True) == 8.0
    assert Backoff(failures=8).pause_s(0.1, boot_failed=True) == 30.0
