"""`make bench`: floor, camfleet and gst-rtsp-server in turn, servers on one core, the load tool on another."""

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from . import clip, table
from .runs import Case, Run, measure
from .servers import SERVERS

READERS = (1, 50, 100, 200, 400, 800)


def arguments() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--servers", type=lambda text: text.split(","), default=list(SERVERS), metavar="NAME,...")
    parser.add_argument("--readers", type=numbers, default=list(READERS), metavar="N,...")
    transport = parser.add_mutually_exclusive_group()
    transport.add_argument("--plain", action="store_const", const=[False], dest="transports", help="RTSP alone")
    transport.add_argument("--tls", action="store_const", const=[True], dest="transports", help="RTSPS alone")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="measured time of a run (4)")
    parser.add_argument("--cores", type=numbers, metavar="CLIENT,SERVER", help="default: the first and the last")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="the film; made when it is not there")
    options = parser.parse_args()
    options.transports = options.transports or [False, True]
    usable = sorted(os.sched_getaffinity(0))
    options.cores = options.cores or [usable[0], usable[-1]]
    if set(options.servers) - set(SERVERS):
        parser.error(f"the servers are {', '.join(SERVERS)}")
    if len(usable) < 2:
        parser.error("two cores are needed: one for the servers, one for the load tool")
    return options


def run_all(options: argparse.Namespace, film: Path, folder: Path) -> list[Run]:
    """All servers run all the time; those that have no readers cost nothing."""
    runs: list[Run] = []
    client, core = options.cores
    for tls in options.transports:
        with contextlib.ExitStack() as stack:
            started = {}
            for name in options.servers:
                home = folder / f"{name}-{tls}"
                home.mkdir()
                started[name] = stack.enter_context(SERVERS[name](film, home, core, tls, 1))
            for number in range(options.rounds):
                for readers in options.readers:
                    for name, server in started.items():
                        runs.append(measure(Case(name, tls, 1, readers), number, server, client, options.seconds))
                        print(table.line(runs[-1]), file=sys.stderr)
    return runs


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = (options.clip or folder / "clip.mp4").absolute()
        if not film.exists():
            film.parent.mkdir(exist_ok=True)
            clip.make(film)
        runs = run_all(options, film, folder)
    print("\n".join(table.table(runs)))


if __name__ == "__main__":
    main()
