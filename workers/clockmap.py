"""Monotonic time to Unix time. Media time is monotonic; only sender reports and burnt-in clocks need more."""

import time

NS_PER_S = 1_000_000_000


def unix_offset_ns() -> int:
    """Unix time minus monotonic time now. Taken once per worker, so that a step of the wall clock cannot tear a stream.

    Of several readings the one whose two clock calls lie closest together, good to about a microsecond.
    """
    best_gap_ns, best_offset_ns = NS_PER_S, 0
    for _ in range(10):
        before_ns = time.monotonic_ns()
        unix_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        if after_ns - before_ns < best_gap_ns:
            best_gap_ns = after_ns - before_ns
            best_offset_ns = unix_ns - (before_ns + after_ns) // 2
    return best_offset_ns
