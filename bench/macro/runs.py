"""One run: the load tool plays from a server for some seconds. What it cost, and whether it counts."""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .servers import Server, pinned

READERS_PER_S = 200  # of the ramp
LATE_MS = 100.0  # the 99th percentile of the delay from capture to arrival: over it a run has late frames
CLIENT_TIMEOUT_S = 120


@dataclass(frozen=True)
class Case:
    """What was measured."""

    server: str
    tls: bool
    cameras: int
    readers: int  # in all

    @property
    def transport(self) -> str:
        return "RTSPS" if self.tls else "RTSP"


@dataclass(frozen=True)
class Run:
    """What came out. A run that does not count has a reason for it, the server's or the client's."""

    case: Case
    round: int
    cpu_us: float  # per reader and second: user and system, all processes of the server
    cores: float
    delay_p50_ms: float
    delay_p99_ms: float
    server_limit: str  # why the server did not hold so many readers
    client_limit: str  # why the figures are the client's

    @property
    def counts(self) -> bool:
        return not self.server_limit and not self.client_limit


def measure(case: Case, number: int, server: Server, core: int, seconds: float) -> Run:
    """One run of the load tool on its core; the servers are on another one."""
    command = [sys.executable, "-m", "camfleet.supervisor", "bench", *server.urls, "--json"]
    command += ["--readers", str(case.readers), "--ramp", f"{case.readers / READERS_PER_S:.2f}"]
    command += ["--seconds", str(seconds), "--server-pid", str(server.pid)]
    answer = subprocess.run(
        pinned(core, *command), capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=False
    )
    if not answer.stdout:
        raise RuntimeError(f"the load tool has failed: {answer.stderr}")
    return judged(case, number, json.loads(answer.stdout))


def judged(case: Case, number: int, figures: dict[str, Any]) -> Run:
    """By the load tool's figures: see bench/load/report.py."""
    delay, cost = figures["delay_ms"] or {}, figures["server"] or {}
    return Run(
        case,
        number,
        cost.get("cpu_us_per_reader_second") or 0.0,
        cost.get("cpu_cores") or 0.0,
        delay.get("p50", 0.0),
        delay.get("p99", 0.0),
        server_limit(figures),
        "; ".join(figures["load_tool"]["bottlenecks"]),
    )


def server_limit(figures: dict[str, Any]) -> str:
    """A reader that failed, a packet or a frame that is missing, frames that come late. Empty: it holds."""
    readers, gaps, delay = figures["readers"], figures["gaps"], figures["delay_ms"]
    found = [f"{count} readers failed: {reason}" for reason, count in readers["reasons"].items()]
    found += [
        f"{gaps[name]} {words}"
        for name, words in (
            ("packets_missing", "packets missing"),
            ("frames_missing", "frames missing"),
            ("frames_incomplete", "frames cut"),
        )
        if gaps[name]
    ]
    if not delay:
        found.append("no frame with a known time")
    elif delay["p99"] > LATE_MS:
        found.append(f"p99 of the delay {delay['p99']:.0f} ms")
    return "; ".join(found)


@dataclass(frozen=True)
class Spread:
    """Of the runs of one case that count."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        return cls(statistics.median(values), min(values), max(values), len(values)) if values else None


def costs(runs: Sequence[Run], case: Case) -> Spread | None:
    return Spread.of([run.cpu_us for run in runs if run.case == case and run.counts])


def ratios(runs: Sequence[Run], case: Case, base: Case) -> Spread | None:
    """Of `case` to `base`, each in its own round: what the machine does to both cancels out."""
    by_round = {run.round: run.cpu_us for run in runs if run.case == base and run.counts}
    return Spread.of(
        [run.cpu_us / by_round[run.round] for run in runs if run.case == case and run.counts and run.round in by_round]
    )
