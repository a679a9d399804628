"""How many cameras a machine carries: `make bench-density` writes bench/results/density.md.

Every camera has one RTSPS reader; server and load tool share the machine, on all its cores.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from camfleet.bench.load.processes import ServerWatch

from . import clip
from .cores import Watch
from .density_page import Case, Run, line, page, table
from .one_camera import load
from .screen import painted
from .servers import PASSWORD, USER, free_port, serving, status

RESULT = Path("bench/results/density.md")
CAMERAS_PER_S = 25  # that get their reader
FILM_BPS = 2_000_000
START_STOP_S = 10.0  # what else a run takes


class Trial(NamedTuple):
    """So many cameras, measured for so long, so many times."""

    cameras: int
    seconds: float
    rounds: int


class Kind(NamedTuple):
    """Cameras of one sort, and how many of them are tried."""

    name: str
    path: str  # the URL's last part
    settings: str  # of the stream, TOML
    trials: tuple[Trial, ...]


def kinds(film: Path, display: str) -> list[Kind]:
    passed = f'source = {{ kind = "filelive", path = "{film}" }}'
    encoder = 'codec = "h264", encoder = "x264", fps = 30, gop = 60'
    size = 'width = 1280, height = 720, bitrate = "2M"'
    pattern = f'source = {{ kind = "testlive" }}\nvideo = {{ {encoder}, {size} }}'
    fastest = f'source = {{ kind = "testlive" }}\nvideo = {{ {encoder}, {size}, preset = "ultrafast" }}'
    screen = f'source = {{ kind = "screenlive", display = "{display}" }}\n'
    screen += f'video = {{ {encoder}, width = 1920, height = 1080, bitrate = "5M" }}'
    return [
        Kind("film passed through, 2 Mb/s", "filelive", passed, (Trial(100, 10, 3), Trial(300, 60, 2))),
        Kind("test pattern, 720p30, x264, 2 Mb/s", "testlive", pattern, (Trial(8, 8, 3), Trial(16, 8, 3))),
        Kind("test pattern, 720p30, x264 ultrafast, 2 Mb/s", "testlive", fastest, (Trial(16, 8, 3), Trial(24, 8, 3))),
        Kind("screen, 1080p30, x264, 5 Mb/s", "screenlive", screen, (Trial(1, 8, 3), Trial(2, 8, 3))),
    ]


def named(words: Iterable[str]) -> list[Kind]:
    """All of them without words."""
    return [kind for kind in kinds(Path(), "") if all(word in kind.name for word in words)]


def cameras(kind: Kind, count: int, affinity: str) -> str:
    each = f'[[cameras.streams]]\nid = "stream1"\n{kind.settings}\n'
    every = (f'[[cameras]]\nid = "ipc{number}"\n{each}' for number in range(1, count + 1))
    return f'[workers]\naffinity = "{affinity}"\n' + "".join(every)


def measure(
    folder: Path, kind: Kind, trial: Trial, beside: Iterable[int], options: argparse.Namespace, number: int
) -> Run:
    """One run. `beside`: processes that belong to it, but not to the server."""
    port, urls, count = free_port(), folder / "urls.txt", trial.cameras
    base = f"rtsps://{USER}:{PASSWORD}@127.0.0.1:{port}"
    urls.write_text("".join(f"{base}/ipc{camera}-stream1/{kind.path}\n" for camera in range(1, count + 1)))
    ramp = "--ramp", str(count / CAMERAS_PER_S)
    with serving(folder, cameras(kind, count, options.affinity), (0, port)) as pid:
        scene, watch, began = ServerWatch(set(beside)), Watch(pid, os.sched_getaffinity(0)), time.monotonic()
        figures = load(f"@{urls}", count, folder / "state", *ramp, "--seconds", str(options.seconds or trial.seconds))
        scene_cores = scene.cost().cpu_us / 1e6 / (time.monotonic() - began)
        others = watch.other_cores() - scene_cores
        # The readers are gone, but their streams go on for ten seconds.
        workers = [each["worker_pss_bytes"] for each in status(folder / "state")["cameras"]]
    return run(Case(kind.name, count), number, figures, workers, others, options.others)


def run(case: Case, number: int, figures: dict[str, Any], workers: list[int], others: float, tolerated: float) -> Run:
    """By the load tool's figures (bench/load/report.py) and the PSS of the workers."""
    gaps, delay, silence = figures["gaps"], figures["delay_ms"] or {}, figures["longest_without_frame_ms"] or {}
    return Run(
        case,
        number,
        seconds=figures["seconds"],
        playing=figures["readers"]["ok"],
        packets_missing=gaps["packets_missing"],
        frames_missing=gaps["frames_missing"],
        frames_cut=gaps["frames_incomplete"],
        silence_ms=silence.get("max", 0.0),
        delay_p50_ms=delay.get("p50", 0.0),
        delay_p99_ms=delay.get("p99", 0.0),
        server_cores=figures["server"]["cpu_cores"],
        pss_bytes=figures["server"]["pss_bytes"] or 0,
        worker_pss_bytes=statistics.median(workers),
        tool_cores=figures["load_tool"]["cpu_cores"],
        tool_limit="; ".join(figures["load_tool"]["bottlenecks"]),
        other_cores=others,
        disturbed=others > tolerated,
    )


def runs(folder: Path, options: argparse.Namespace, done: Callable[[Run], None]) -> None:
    """Rounds through all trials, so that a slow minute of the machine meets not only one of them."""
    deadline_s = time.monotonic() + options.minutes * 60
    film = folder / "film.mp4"
    clip.make(film, FILM_BPS)
    chosen = named(options.words)
    for number in range(options.rounds or max(trial.rounds for kind in chosen for trial in kind.trials)):
        for name in (kind.name for kind in chosen):
            with scene(name) as (display, beside):
                kind = next(kind for kind in kinds(film, display) if kind.name == name)
                for trial in kind.trials:
                    seconds = (options.seconds or trial.seconds) + trial.cameras / CAMERAS_PER_S + START_STOP_S
                    if number < (options.rounds or trial.rounds) and time.monotonic() + seconds < deadline_s:
                        home = Path(tempfile.mkdtemp(dir=folder))
                        done(measure(home, kind, trial, beside, options, number))


@contextlib.contextmanager
def scene(name: str) -> Iterator[tuple[str, list[int]]]:
    """An X display with a program that paints all the time, and the pids of both, where a kind shows it."""
    if not name.startswith("screen"):
        yield "", []
        return
    with painted() as (display, pids):
        yield display, pids


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-density", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="in a kind's name: only these, to the screen")
    parser.add_argument("--rounds", type=int, metavar="N", help="(2 of 300 films, 3 of all else)")
    parser.add_argument("--seconds", type=float, metavar="S", help="measured time of each run (60 of 300 films, 8-10)")
    parser.add_argument("--affinity", default="none", choices=("none", "spread"), help="of the workers (%(default)s)")
    tolerated = "cores that other processes may use in a run that counts (%(default)s)"
    parser.add_argument("--others", type=float, default=0.1, metavar="CORES", help=tolerated)
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="for all of it (%(default)s)")
    parser.add_argument("--screen", action="store_true", help="show the table, write no results")
    options = parser.parse_args()
    if not named(options.words):
        parser.error(f"{' '.join(options.words)}: in no kind's name")
    return options


def main() -> None:
    options, found = arguments(), list[Run]()

    def done(run: Run) -> None:
        found.append(run)
        print(line(run), file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        runs(Path(name), options, done)
    if options.words or options.screen:
        print("\n".join(table(found)))
    else:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(page(found, options.others))


if __name__ == "__main__":
    main()
