"""Runs of many cameras as lines, as a table, and as bench/results/density.md."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .results import commit, machine
from .runs import spread

PAGE = """# Density

Written by `make bench-density`; what it measures and how to repeat it: bench/README.md. On {machine}.

{runs} runs of {commit} ({date}).

Each camera is a process of its own and has one RTSPS reader; server and load tool share the machine. Median
(lowest-highest) of the n runs that count; a run counts when other processes used at most {tolerated:g} of a core.

## What is lost

Of all readers and runs together, over the seconds that were measured, and from each reader's first picture on: RTP
packets missing, frames missing (skipped for a slow reader, too), frames cut. Silence: the longest time that any reader
was without a complete frame. Delay: from capture until the load tool has read the frame, p50 / p99.

{losses}

## What a camera costs

CPU: user and system time of all the server's processes, while all readers play. A core carries as many cameras as fill
it at that rate. PSS, shared pages in parts: of a worker (median), and of all the server's processes, by cameras.

{costs}
{disturbed}"""


class Case(NamedTuple):
    kind: str
    cameras: int


class Run(NamedTuple):
    """What came out."""

    case: Case
    round: int
    seconds: float
    playing: int  # readers
    packets_missing: int
    frames_missing: int
    frames_cut: int
    silence_ms: float
    delay_p50_ms: float
    delay_p99_ms: float
    server_cores: float
    pss_bytes: int  # of all the server's processes; 0: the kernel does not tell
    worker_pss_bytes: float
    tool_cores: float
    tool_limit: str  # why the figures may be the load tool's
    other_cores: float  # what nobody of us used
    disturbed: bool

    @property
    def cpu_ms(self) -> float:
        """Per camera and second."""
        return self.server_cores * 1000 / self.case.cameras

    @property
    def lost(self) -> str:
        return f"{self.packets_missing} / {self.frames_missing} / {self.frames_cut}"


def line(run: Run) -> str:
    """One run, when it has been measured."""
    return (
        f"{run.case.cameras:4} x {run.case.kind:35} {run.playing:4} play, lost {run.lost}, {run.cpu_ms:6.1f} ms, "
        f"server {run.server_cores:4.2f} tool {run.tool_cores:4.2f} others {run.other_cores:5.2f} cores, "
        f"delay {run.delay_p50_ms:.1f} / {run.delay_p99_ms:.1f} ms, {run.worker_pss_bytes / 1e6:.1f} MB"
        f"{', DISTURBED' * run.disturbed}{', ' * bool(run.tool_limit)}{run.tool_limit}"
    )


def table(runs: Sequence[Run]) -> Iterator[str]:
    """Everything, for the screen."""
    yield from losses(runs)
    yield ""
    yield from costs(runs)
    yield from disturbed(runs)


def losses(runs: Sequence[Run]) -> Iterator[str]:
    yield (
        "| | cameras | readers that play | lost packets / frames / cut | in s | silence, ms | delay, ms "
        "| tool the limit? |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for case in cases(runs):
        found = counting(runs, case)
        if not found:
            yield row(case.kind, str(case.cameras), *["-"] * 6)
            continue
        lost = (
            sum(values)
            for values in zip(*((r.packets_missing, r.frames_missing, r.frames_cut) for r in found), strict=True)
        )
        yield row(
            case.kind,
            str(case.cameras),
            str(min(run.playing for run in found)),
            " / ".join(map(str, lost)),
            " + ".join(f"{run.seconds:.0f}" for run in found),
            f"{max(run.silence_ms for run in found):.0f}",
            f"{_spread(found, lambda run: run.delay_p50_ms)} / {_spread(found, lambda run: run.delay_p99_ms)}",
            "; ".join(sorted({run.tool_limit for run in found if run.tool_limit})) or "no",
        )


def costs(runs: Sequence[Run]) -> Iterator[str]:
    yield (
        "| | cameras | n | server, cores | CPU ms per camera-second | cameras that a core carries "
        "| PSS of a worker, MB | PSS of all per camera, MB | load tool, cores |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for case in cases(runs):
        found = counting(runs, case)
        cells: list[str] = ["-"] * 6
        if found:
            each = spread([1000 / run.cpu_ms for run in found])
            assert each
            cells = [
                _spread(found, lambda run: run.server_cores, 2),
                _spread(found, lambda run: run.cpu_ms),
                f"{each.median:,.0f} ({each.low:,.0f}-{each.high:,.0f})",
                _spread(found, lambda run: run.worker_pss_bytes / 1e6),
                _spread(found, lambda run: run.pss_bytes / 1e6 / run.case.cameras) if found[0].pss_bytes else "-",
                _spread(found, lambda run: run.tool_cores, 2),
            ]
        yield row(case.kind, str(case.cameras), str(len(found)), *cells)


def disturbed(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        if run.disturbed:
            yield f"- Does not count: {run.case.cameras} x {run.case.kind}, others used {run.other_cores:.2f} cores."


def page(runs: Sequence[Run], tolerated: float) -> str:
    """`tolerated`: cores that others may have used in a run that counts."""
    spoiled = list(disturbed(runs))
    return PAGE.format(
        machine=", ".join(machine()),
        runs=len(runs),
        commit=commit() or "an unknown commit",
        date=time.strftime("%Y-%m-%d"),
        tolerated=tolerated,
        losses="\n".join(losses(runs)),
        costs="\n".join(costs(runs)),
        disturbed="\n".join(["", *spoiled, ""]) if spoiled else "",
    )


def cases(runs: Sequence[Run]) -> list[Case]:
    return list(dict.fromkeys(run.case for run in runs))


def counting(runs: Sequence[Run], case: Case) -> list[Run]:
    return [run for run in runs if run.case == case and not run.disturbed]


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(runs: Sequence[Run], of: Callable[[Run], float], digits: int = 1) -> str:
    """Median (lowest-highest)."""
    found = spread([of(run) for run in runs])
    assert found
    return f"{found.median:,.{digits}f} ({found.low:,.{digits}f}-{found.high:,.{digits}f})"
