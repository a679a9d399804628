"""The two cores: one for the servers, one for the load tool; and what others did on them meanwhile."""

import os
import resource
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from camfleet.bench.load.processes import ServerWatch

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
IDLE = (3, 4)  # of the columns in /proc/stat: idle, iowait; all others are work, or stolen by the hypervisor
COLUMNS = 8  # guest time, behind them, is in user time already


class Cores(NamedTuple):
    client: int
    server: int


def busy_s(cores: Collection[int], stat: str) -> float:
    """Seconds that they were busy since the start, by the text of /proc/stat (proc(5))."""
    ticks = 0
    for line in stat.splitlines():
        name, *columns = line.split()
        if name in {f"cpu{core}" for core in cores}:
            ticks += sum(int(text) for number, text in enumerate(columns[:COLUMNS]) if number not in IDLE)
    return ticks / TICKS_PER_S


def children_s() -> float:
    """CPU time of the processes that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Watch:
    """From now on: one server, and children that end before `other_cores` is asked."""

    def __init__(self, server_pid: int, cores: Collection[int]) -> None:
        self._cores = cores
        self._server = ServerWatch({server_pid})
        self._before = self._look()

    def other_cores(self) -> float:
        """What was used by nobody of them, in cores."""
        at_s, busy, children = (now - before for now, before in zip(self._look(), self._before, strict=True))
        return (busy - children - self._server.cost().cpu_us / 1e6) / at_s

    def _look(self) -> tuple[float, float, float]:
        return time.monotonic(), busy_s(self._cores, Path("/proc/stat").read_text()), children_s()
