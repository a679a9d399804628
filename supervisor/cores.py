"""Processor cores as Linux numbers them, in words."""

import os
from collections.abc import Iterable


def usable() -> frozenset[int]:
    """Those that this process may run on: of the machine, or of its container or cpuset."""
    return frozenset(os.sched_getaffinity(0))


def ranges(cores: Iterable[int]) -> str:
    """As taskset(1) and cpuset(7) write them: {0, 1, 2, 5} as "0-2,5"."""
    found: list[list[int]] = []
    for core in sorted(cores):
        if found and core == found[-1][-1] + 1:
            found[-1] = [found[-1][0], core]
        else:
            found.append([core])
    return ",".join("-".join(map(str, ends)) for ends in found)
