"""`make bench`: floor, camfleet and gst-rtsp-server in turn, servers on one core, the load tool on another."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from . import clip, results, table
from .cores import Cores
from .fleet import Fleet
from .limit import given_up, like, next_count
from .runs import STOP_S, Case, Run, measure, ramp_s
from .servers import MOST_CAMERAS, SERVERS

COUNTS = "1,50,100,200,400,800,10x20,100x4"
ATTEMPTS = 2  # of a run that other processes disturb
PROBES = 4  # runs for one server's limit
MANY_READERS = 400  # fewer are measured half as long: the time goes where the result is looked for
LEAST_S = 2.5  # and longer than from one key frame of the film to the next


def count(text: str) -> tuple[int, int]:
    """(cameras, readers in all) of "400" or of "10x20"."""
    cameras, _, readers = text.rpartition("x")
    return int(cameras or 1), int(cameras or 1) * int(readers)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--servers", default=",".join(SERVERS), metavar="NAME,...", help="(%(default)s)")
    parser.add_argument("--readers", default=COUNTS, metavar="N,CxN,...", help="of one or C cameras (%(default)s)")
    transport = parser.add_mutually_exclusive_group()
    transport.add_argument("--plain", action="store_const", const=[False], dest="transports", help="RTSP alone")
    transport.add_argument("--tls", action="store_const", const=[True], dest="transports", help="RTSPS alone")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(%(default)s)")
    measured = f"measured time of a run with {MANY_READERS} readers or more (%(default)s); with fewer half of it"
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help=measured)
    parser.add_argument("--limits", action="store_true", help="then look for the most that each server holds")
    parser.add_argument("--minutes", type=float, default=14.0, metavar="M", help="for all of it (%(default)s)")
    parser.add_argument("--cores", metavar="CLIENT,SERVER", help="(the first and the last)")
    tolerated = "of both cores, that other processes may use in a run that counts (%(default)s)"
    parser.add_argument("--others", type=float, default=0.1, metavar="SHARE", help=tolerated)
    parser.add_argument("--clip", type=Path, metavar="FILE", help="the film; made when it is not there")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write results there")
    parser.add_argument("--add", action="store_true", help="to the runs that are there")
    options = parser.parse_args()
    options.transports = options.transports or [False, True]
    options.servers = options.servers.split(",")
    if unknown := set(options.servers) - set(SERVERS):
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(SERVERS)}")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        parser.error("two cores are needed: one for the servers, one for the load tool")
    options.cores = Cores(*map(int, options.cores.split(",") if options.cores else (usable[0], usable[-1])))
    try:
        options.counts = [count(text) for text in options.readers.split(",")]
    except ValueError:
        parser.error(f"{options.readers}: not counts of readers")
    return options


class Bench:
    """All runs; `runs` grows."""

    def __init__(self, options: argparse.Namespace, film: Path, folder: Path) -> None:
        self.options = options
        self.film = film
        self.folder = folder
        self.deadline_s = time.monotonic() + options.minutes * 60
        self.runs: list[Run] = results.load(options.out) if options.add else []
        self.commit = results.commit()
        self.first_round = max((run.round for run in self.runs), default=-1) + 1

    def run(self) -> None:
        for group in self.groups():
            with Fleet(self.film, self.folder, self.options.cores.server) as fleet:
                for number in range(self.first_round, self.first_round + self.options.rounds):
                    for case in group:
                        if not given_up(self.runs, case):
                            self.measure(fleet, case, number)
        for case in self.limits() if self.options.limits else ():
            with Fleet(self.film, self.folder, self.options.cores.server) as fleet:
                self.find_limit(fleet, case)

    def groups(self) -> Iterator[list[Case]]:
        """The cases between which the rounds go: with one camera the servers take turns, so that they meet the same
        machine. Many cameras are alone on it: those of camfleet run for a while after their last reader."""
        cases = [
            Case(name, tls, cameras, readers)
            for tls in self.options.transports
            for cameras, readers in self.options.counts
            for name in self.options.servers
            if cameras <= MOST_CAMERAS.get(name, cameras)
        ]
        yield [case for case in cases if case.cameras == 1]
        for case in cases:
            if case.cameras > 1:
                yield [case]

    def limits(self) -> Iterator[Case]:
        """RTSPS first, should the time not be enough for all."""
        for tls in reversed(self.options.transports):
            for name in self.options.servers:
                yield Case(name, tls, 1, 0)

    def measure(self, fleet: Fleet, case: Case, number: int) -> None:
        options = self.options
        seconds = options.seconds if case.readers >= MANY_READERS else max(options.seconds / 2, LEAST_S)
        for _ in range(ATTEMPTS):
            if time.monotonic() + ramp_s(case.readers) + seconds + STOP_S > self.deadline_s:
                return
            run = measure(case, number, fleet.server(case), options.cores, seconds, options.others)
            run = msgspec.structs.replace(run, commit=self.commit, date=time.strftime("%Y-%m-%d"))
            self.runs.append(run)
            print(table.line(run), file=sys.stderr, flush=True)
            if run.server_limit:
                fleet.stop(case)
            if not run.disturbance:
                return

    def find_limit(self, fleet: Fleet, wanted: Case) -> None:
        for _ in range(PROBES):
            readers = next_count(like(self.runs, wanted))
            if readers:
                self.measure(fleet, Case(wanted.server, wanted.tls, 1, readers), self.first_round)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = (options.clip or folder / "clip.mp4").absolute()
        if not film.exists():
            film.parent.mkdir(exist_ok=True)
            clip.make(film)
        bench = Bench(options, film, folder)
        try:
            bench.run()
        finally:  # interrupted, too: what was measured is worth something
            if options.out:
                results.write(options.out, bench.runs)
    print("\n".join(table.costs_table(bench.runs)))


if __name__ == "__main__":
    main()
