"""Keeps each worker on its processor cores: those of the configuration, one core each ("spread"), or all of them.

    order     another configuration: workers get other cores while they play
    settle    a new process of a camera gets what the camera has
    look      what each worker uses; when it is to be spread, one of them may go to another core

A core belongs to the camera: its next process and its successor get the same one.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from camfleet.core.log import Log
from camfleet.supervisor.cores import ranges, usable

from .placement import Placed, least_used, next_move
from .registry import Registry, Worker

log = Log("arbiter")

LOOK_INTERVAL_S = 10.0
NEWEST = 0.5  # the weight of the newest interval in a load


class Look(NamedTuple):
    """At one process's clock of CPU time."""

    pid: int
    at_ns: int
    cpu_ns: int


class Affinity:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._bound: Mapping[str, frozenset[int]] = MappingProxyType({})
        self._spread = False
        self._looks: dict[str, Look] = {}
        self._next_look_ns = 0

    def order(self, bound: Mapping[str, frozenset[int]], spread: bool) -> None:
        """Cores of cameras by id; each of the others has one core, or all."""
        self._bound, self._spread = bound, spread
        placed = [worker for worker in self._registry if worker.process is not None]
        for worker in sorted(placed, key=lambda worker: worker.load or 0.0, reverse=True):  # small ones fill the gaps
            if (cores := self._choice(worker)) != worker.cores:
                self._give(worker, cores)

    def settle(self, worker: Worker) -> None:
        """It has got a process, or is one beside the camera's."""
        camera = self._registry.get(worker.camera) or worker
        self._give(camera, self._choice(camera))

    def look(self, now_ns: int) -> None:
        """Cheap; does nothing more often than every LOOK_INTERVAL_S."""
        if now_ns < self._next_look_ns:
            return
        self._next_look_ns = now_ns + int(LOOK_INTERVAL_S * 1e9)
        self._measure(now_ns)
        if self._spread:
            self._balance()

    def _measure(self, now_ns: int) -> None:
        before, self._looks = self._looks, {}
        for worker in self._registry:
            pid = worker.pid
            cpu_ns = cpu_time_ns(pid) if pid else None
            if cpu_ns is None:
                continue
            self._looks[worker.camera] = Look(pid, now_ns, cpu_ns)
            earlier = before.get(worker.camera)
            if earlier is not None and earlier.pid == pid and now_ns > earlier.at_ns:
                load = (cpu_ns - earlier.cpu_ns) / (now_ns - earlier.at_ns)
                worker.load = load if worker.load is None else NEWEST * load + (1 - NEWEST) * worker.load

    def _balance(self) -> None:
        cores = usable()
        for worker in self._registry:
            if worker.camera not in self._bound and worker.cores and not worker.cores & cores:
                # Taken from the machine or from its cpuset. The kernel lets those that are bound run anywhere then.
                self._give(worker, self._choice(worker))
        move = next_move(cores, {worker.camera: self._placed(worker) for worker in self._registry if worker.pid})
        moved = self._registry.get(move.camera) if move else None
        if move and moved is not None:
            log.info("worker_moved", camera=moved.camera, pid=moved.pid, core=move.core, before=ranges(moved.cores))
            self._give(moved, frozenset((move.core,)))

    def _choice(self, worker: Worker) -> frozenset[int]:
        cores = usable()
        if worker.camera in self._bound:
            return self._bound[worker.camera]
        if not self._spread or len(cores) == 1:
            return cores
        for known in (worker.cores, affinity(worker.pid)):  # the second: as an earlier supervisor has left it
            if len(known) == 1 and known <= cores:
                return known
        others = [self._placed(other) for other in self._registry if other is not worker and other.cores]
        return frozenset((least_used(cores, others),))

    def _placed(self, worker: Worker) -> Placed:
        return Placed(worker.cores, worker.load, worker.camera in self._bound)

    def _give(self, worker: Worker, cores: frozenset[int]) -> None:
        worker.cores = cores
        for each in (worker, worker.beside):
            if each is None or not each.pid or affinity(each.pid) == cores:
                continue
            try:
                bind(each.pid, cores)
            except OSError as error:
                reason = f"{error.strerror}; the kernel decides where it runs"
                log.error("cores_refused", camera=worker.camera, pid=each.pid, cores=ranges(cores), reason=reason)


def bind(pid: int, cores: frozenset[int]) -> None:
    """All threads of a process. One that begins meanwhile has the cores of who began it: look until none is new.
    Raises OSError."""
    bound: set[str] = set()
    while new := set(_threads(pid)) - bound:
        for thread in new:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), cores)
        bound |= new


def cpu_time_ns(pid: int) -> int | None:
    """User and system time of all its threads, by the clock that clock_getcpuclockid(3) makes of a pid; None: gone."""
    try:
        return time.clock_gettime_ns(~pid << 3 | 2)
    except OSError:
        return None


def _threads(pid: int) -> list[str]:
    with contextlib.suppress(FileNotFoundError):  # it has ended
        return [thread.name for thread in Path(f"/proc/{pid}/task").iterdir()]
    return []


def affinity(pid: int) -> frozenset[int]:
    """Of its first thread; empty when there is no such process."""
    with contextlib.suppress(ProcessLookupError):
        return frozenset(os.sched_getaffinity(pid)) if pid else frozenset()
    return frozenset()
