"""How many RTSPS sessions a second: `make bench-setup` writes bench/results/setup-rate.md.

A session is all from TCP connect to the last byte of the first key frame: full handshake (ECDSA P-256), DESCRIBE, 401,
DESCRIBE with Digest, SETUP, PLAY. The server is on one core, this client on another. Readers who play already, the
bystanders, must not notice.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from camfleet.bench.load import report
from camfleet.bench.load.connection import TLSClient
from camfleet.bench.load.driver import Driver
from camfleet.bench.load.processes import with_descendants
from camfleet.bench.load.rtsp import StreamURL
from camfleet.bench.load.run import look, plan, raise_descriptor_limit, slowing

from .servers import Server, camfleet

RESULT = Path("bench/results/setup-rate.md")
BYSTANDERS = 50
SETTLE_S = 10.0  # after the ramp, for the slowest
HEAD = """# Set-up rate

Written by `make bench-setup`. RTSPS sessions with full handshakes (ECDSA P-256, TLS 1.3, X25519), Digest, and a stream
so small (640x360, 15 fps, 0.3 Mb/s) that media costs little; the server on one core, the client on another. Time: from
TCP connect to the last byte of the first complete key frame. CPU: milliseconds a session, user and system time of the
server, by thread, while the sessions came; "engine" is the fan-out thread with all the media that it sent meanwhile, to
the bystanders too. Limits of the server wider than the defaults: readers of a camera, connections of an address.
"""
HEADS = (
    "sessions",
    "per second",
    "refused",
    "supervisor, CPU ms",
    "its bus",
    "worker",
    "its bus",
    "its engine",
    "all, CPU ms",
    "first key frame, p50 / p99 ms",
    "RTP holes of bystanders",
    "their longest silence, ms",
    "client, CPU ms",
    "client the limit?",
)


@dataclass(frozen=True)
class Case:
    name: str
    cameras: int
    sessions: int
    ramp_s: float


CASES = (
    Case("ramp, 1 camera", 1, 2000, 10.0),
    Case("ramp, 10 cameras", 10, 2000, 10.0),
    Case("as fast as it goes, 1 camera", 1, 1000, 1.0),
    Case("as fast as it goes, 10 cameras", 10, 1000, 1.0),
)


def make_film(path: Path) -> None:
    """10 s with a key frame every two."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.bit_rate, stream.gop_size, stream.time_base = 300_000, 30, Fraction(1, 15)
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for number in range(150):
            picture = np.full((540, 640), 128, np.uint8)
            picture[number : number + 64] = number
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def cpu_ns(server: Server) -> Counter[str]:
    """Time on a processor so far, by kind of thread (proc(5), schedstat)."""
    found: Counter[str] = Counter()
    for process in with_descendants([server.pid]):
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            kind = "supervisor" if process.pid == server.pid else "worker"
            if name.startswith("ZMQ"):
                kind += " bus"
            elif task.name != str(process.pid):
                kind += " engine"
            found[kind] += int((task / "schedstat").read_text().split()[0])
    return found


def settle(driver: Driver, deadline_s: float) -> None:
    """Until every reader has its picture or has failed."""
    while time.monotonic() < deadline_s:
        if driver.crash:
            raise driver.crash
        if min(driver.engine.totals().started, driver.playing) + driver.failed >= len(driver.readers):
            return
        time.sleep(0.02)


def measure(case: Case, server: Server) -> dict[str, Any]:
    urls, tls = [StreamURL.parse(url) for url in server.urls], TLSClient()
    bystanders = Driver(plan(urls, slowing(BYSTANDERS, 0.5)), tls)
    bystanders.start()
    settle(bystanders, time.monotonic() + SETTLE_S)
    crowd = Driver(plan(urls, [number * case.ramp_s / case.sessions for number in range(case.sessions)]), tls)
    spent, first, seen = cpu_ns(server), look([crowd]), look([bystanders])
    crowd.start()
    settle(crowd, time.monotonic() + case.ramp_s + SETTLE_S)
    last, then = look([crowd]), look([bystanders])
    spent = cpu_ns(server) - spent
    outcomes, others = crowd.outcomes(), bystanders.outcomes()
    for driver in (crowd, bystanders):
        driver.stop.set()
    for driver in (crowd, bystanders):
        driver.join()
    figures = report.result(outcomes, first, last, None)
    beside = report.result(others, seen, then, None)
    ok = [outcome for outcome in outcomes if not outcome.failure]
    began = min(outcome.reader.started_ns for outcome in outcomes)
    seconds = (max(outcome.times.first_key_ns for outcome in ok) - began) / 1e9 if ok else 0.0
    return {
        "ok": len(ok),
        "reasons": figures["readers"]["reasons"],
        "per_s": len(ok) / seconds if ok else 0.0,
        "ms": {kind: used / 1e6 / case.sessions for kind, used in spent.items()},
        "client_ms": (last.threads[0][0] - first.threads[0][0]) / 1e6 / case.sessions,
        "first_key_frame_ms": figures["first_key_frame_ms"],
        "steps_ms": figures["steps_ms"],
        "holes": figures["gaps"]["sequence_gaps"],
        "bystanders": beside["readers"]["reasons"],
        "bystander_holes": beside["gaps"]["sequence_gaps"],
        "bystander_silence_ms": beside["longest_without_frame_ms"],
        "bottlenecks": figures["load_tool"]["bottlenecks"],
    }


def row(case: Case, figures: dict[str, Any]) -> str:
    ms, first = figures["ms"], figures["first_key_frame_ms"] or {"p50": 0.0, "p99": 0.0}
    kinds = ("supervisor", "supervisor bus", "worker", "worker bus", "worker engine")
    refused = case.sessions - figures["ok"]
    cells = (
        case.name,
        f"{figures['ok']} in {case.ramp_s:g} s",
        f"{figures['per_s']:.0f}",
        str(refused),
        *(f"{ms.get(kind, 0.0):.2f}" for kind in kinds),
        f"{sum(ms.values()):.2f}",
        f"{first['p50']:.0f} / {first['p99']:.0f}",
        f"{figures['bystander_holes'] + len(figures['bystanders'])}",
        f"{(figures['bystander_silence_ms'] or {'max': 0.0})['max']:.0f}",
        f"{figures['client_ms']:.2f}",
        "; ".join(figures["bottlenecks"]) or "no",
    )
    return "| " + " | ".join(cells) + " |"


def table(cases: Sequence[Case], cores: tuple[int, int]) -> Iterator[str]:
    yield "| | " + " | ".join(HEADS) + " |"
    yield "|" + "---|" * (1 + len(HEADS))
    client, core = cores
    os.sched_setaffinity(0, [client])
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_film(folder / "film.mp4")
            with camfleet(folder / "film.mp4", folder, core, True, case.cameras) as server:
                figures = measure(case, server)
        print(line := row(case, figures), file=sys.stderr)
        for name, value in (*figures["steps_ms"].items(), *figures["reasons"].items()):
            print(f"    {name}: {value}", file=sys.stderr)
        yield line


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-setup", description=__doc__)
    parser.add_argument("--case", type=int, action="append", metavar="N", help="of 1, 2, 3, 4; nothing is written then")
    options = parser.parse_args()
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        parser.error("two cores are needed: one for the server, one for the client")
    raise_descriptor_limit()
    cases = [CASES[number - 1] for number in options.case or ()] or CASES
    lines = list(table(cases, (usable[0], usable[-1])))
    about = f"{platform.machine()}, {len(usable)} cores, Linux {platform.release()}, Python {platform.python_version()}"
    if not options.case:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(f"{HEAD}\nMeasured {time.strftime('%Y-%m-%d')} on {about}.\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
