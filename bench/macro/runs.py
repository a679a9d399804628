"""One run: the load tool plays from a server for some seconds. What it cost, and whether it counts."""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from .clip import FPS
from .cores import Cores, Watch
from .servers import Server, pinned

READERS_PER_S = 300  # of the ramp
MANY = 1000  # readers from which on they come ...
MANY_PER_S = 100  # ... so slowly: each costs milliseconds, and the server is busy with media
STOP_S = 5.0  # what else a run takes
LATE_MS = 100.0  # the 99th percentile of the delay from capture to arrival: over it a run has late frames
ENOUGH = 0.99  # of the frames that the readers should get
SILENT_MS = 1000.0  # without a frame: a reader that plays no more
CLIENT_TIMEOUT_S = 120


class Case(msgspec.Struct, frozen=True):
    """What was measured."""

    server: str
    tls: bool
    cameras: int
    readers: int  # of all cameras together

    @property
    def transport(self) -> str:
        return "RTSPS" if self.tls else "RTSP"

    @property
    def count(self) -> str:
        return str(self.readers) if self.cameras == 1 else f"{self.cameras} x {self.readers // self.cameras}"

    def of(self, server: str) -> "Case":
        """The same with another server."""
        return msgspec.structs.replace(self, server=server)


class Run(msgspec.Struct, frozen=True):
    """What came out. A run that does not count has a reason for it, the server's or the client's."""

    case: Case
    round: int
    cpu_us: float  # per reader and second: user and system, all processes of the server
    server_cores: float
    client_cores: float
    other_cores: float  # of these two, what nobody of us used
    delay_p50_ms: float
    delay_p99_ms: float
    server_limit: str  # why the server did not hold so many readers
    client_limit: str  # why the figures are the client's
    disturbance: str  # why they are of the machine's other work
    commit: str = ""  # that was measured; empty when it is not known
    date: str = ""

    @property
    def counts(self) -> bool:
        return not self.reason

    @property
    def reason(self) -> str:
        """Why it does not count."""
        return self.spoiled or self.server_limit

    @property
    def spoiled(self) -> str:
        """Why it says nothing of the server, neither way: the first that makes the other doubtful."""
        return self.disturbance or self.client_limit


def ramp_s(readers: int) -> float:
    return readers / (READERS_PER_S if readers < MANY else MANY_PER_S)


def measure(case: Case, number: int, server: Server, cores: Cores, seconds: float, tolerated: float) -> Run:
    """One run of the load tool on its core; the server is on another one. `tolerated`: of both cores, for others."""
    command = [sys.executable, "-m", "camfleet.supervisor", "bench", *server.urls, "--json", "--at-play"]
    command += ["--readers", str(case.readers), "--ramp", f"{ramp_s(case.readers):.2f}"]
    command += ["--seconds", str(seconds), "--server-pid", str(server.pid)]
    command = pinned(cores.client, *command)
    watch = Watch(server.pid, cores)
    answer = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=False)
    if not answer.stdout:
        raise RuntimeError(f"the load tool has failed: {answer.stderr}")
    return judged(case, number, json.loads(answer.stdout), watch.other_cores(), tolerated)


def judged(case: Case, number: int, figures: dict[str, Any], other_cores: float, tolerated: float) -> Run:
    """By the load tool's figures (bench/load/report.py)."""
    delay, cost, tool = figures["delay_ms"] or {}, figures["server"] or {}, figures["load_tool"]
    return Run(
        case,
        number,
        cpu_us=cost.get("cpu_us_per_reader_second") or 0.0,
        server_cores=cost.get("cpu_cores", 0.0),
        client_cores=tool["cpu_cores"],
        other_cores=other_cores,
        delay_p50_ms=delay.get("p50", 0.0),
        delay_p99_ms=delay.get("p99", 0.0),
        server_limit=server_limit(case, figures),
        client_limit="; ".join(tool["bottlenecks"]),
        disturbance=f"other processes used {other_cores:.2f} of the two cores" if other_cores > tolerated else "",
    )


def server_limit(case: Case, figures: dict[str, Any]) -> str:
    """A reader that failed or fell silent, a packet or a frame that is missing, frames that come late. Empty: it
    holds."""
    reasons, gaps, delay = figures["readers"]["reasons"], figures["gaps"], figures["delay_ms"]
    found = [f"{count} readers failed ({reason})" for reason, count in reasons.items()]
    words = {
        "packets_missing": "packets missing",
        "frames_missing": "frames missing",
        "frames_incomplete": "frames cut",
        "malformed": "packets malformed",
    }
    found += [f"{gaps[name]} {text}" for name, text in words.items() if gaps[name]]
    seconds = figures["seconds"]
    frames = figures["frames_per_s"] * seconds
    due = case.readers * (FPS * seconds - 1)  # one frame of each reader may lie just outside the window
    if frames < ENOUGH * due:
        found.append(f"{frames:.0f} frames instead of {due:.0f}")
    silence = figures["longest_without_frame_ms"]
    if silence and silence["max"] > SILENT_MS:
        found.append(f"{silence['max'] / 1000:.1f} s without a frame")
    if not delay:
        found.append("no frame of a known time")
    elif delay["p99"] > LATE_MS:
        found.append(f"delay p99 {delay['p99']:.0f} ms")
    if not figures["server"]:
        found.append("the server has ended")
    return "; ".join(found)


# ---------------------------------------------------------------- what several runs say together


class Spread(msgspec.Struct, frozen=True):
    """Of the runs of one case that count."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Sequence[float]) -> Spread | None:
    return Spread(statistics.median(values), min(values), max(values), len(values)) if values else None


def counting(runs: Sequence[Run], case: Case) -> list[Run]:
    return [run for run in runs if run.case == case and run.counts]


def costs(runs: Sequence[Run], case: Case) -> Spread | None:
    return spread([run.cpu_us for run in counting(runs, case)])


def ratios(runs: Sequence[Run], case: Case, base: Case) -> Spread | None:
    """Of `case` to `base`, each within its round: what the machine does to both cancels out."""
    bases = {run.round: run.cpu_us for run in counting(runs, base) if run.cpu_us}
    return spread([run.cpu_us / bases[run.round] for run in counting(runs, case) if run.round in bases])
