"""Which core a worker gets, as a function of what all of them use. Loads are in cores: 0.5 is half of one."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

# What a worker that nobody watches uses, more or less: so these are spread, too.
LEAST_LOAD = 0.001
# Cores that differ by less are left alone: workers come to rest, whatever small changes there are.
MUCH = 0.2
# A load of more than this share of the difference is not moved: the cores would differ by over half as much again, and
# the worker would soon go back.
LARGEST_SHARE = 0.75


class Placed(NamedTuple):
    """One camera's worker."""

    cores: Collection[int]  # it uses them evenly
    load: float | None  # None: not measured yet; it counts as those that are, on average
    bound: bool = False  # by configuration


class Move(NamedTuple):
    camera: str
    core: int


def used(cores: Iterable[int], placed: Collection[Placed]) -> dict[int, float]:
    """How much of each core."""
    known = [worker.load for worker in placed if worker.load is not None]
    average = sum(known) / len(known) if known else LEAST_LOAD
    found = dict.fromkeys(sorted(cores), 0.0)
    for worker in placed:
        share = max(average if worker.load is None else worker.load, LEAST_LOAD) / max(len(worker.cores), 1)
        for core in worker.cores:
            if core in found:
                found[core] += share
    return found


def least_used(cores: Iterable[int], placed: Collection[Placed]) -> int:
    """For a worker that has none yet."""
    found = used(cores, placed)
    return min(found, key=found.__getitem__)


def next_move(cores: Iterable[int], placed: Mapping[str, Placed]) -> Move | None:
    """The one that brings the emptiest core and another one closest together; None: all is well, or no move helps."""
    found = used(cores, placed.values())
    core = min(found, key=found.__getitem__)
    best: tuple[float, Move] | None = None
    for camera, worker in placed.items():
        if worker.bound or worker.load is None or len(worker.cores) != 1:
            continue
        difference = sum(found.get(own, 0.0) for own in worker.cores) - found[core]
        if difference < MUCH or worker.load > LARGEST_SHARE * difference:
            continue
        closer = difference - abs(difference - 2 * worker.load)
        if closer > 0 and (best is None or closer > best[0]):
            best = closer, Move(camera, core)
    return best and best[1]
