"""Waiting for a condition with a deadline: the only way in which a test of real processes may let time pass."""

import time
from collections.abc import Callable


def wait_for(
    condition: Callable[[], object], timeout_s: float = 5.0, why: str | Callable[[], str] = "condition not met"
) -> float:
    """Returns the seconds it took; raises AssertionError with `why` at the deadline."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout_s:
            raise AssertionError(f"{why() if callable(why) else why} within {timeout_s:g} s")
        time.sleep(0.002)
    return time.monotonic() - start
