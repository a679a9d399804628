import time

from camfleet.workers.clockmap import unix_offset_ns


def test_the_offset_turns_monotonic_into_unix_time() -> None:
    offset_ns = unix_offset_ns()
    before_ns = time.time_ns()
    mapped_ns = time.monotonic_ns() + offset_ns
    after_ns = time.time_ns()
    assert before_ns - 1_000_000 <= mapped_ns <= after_ns + 1_000_000
