"""`camfleet bench`: arguments, ramp, progress, the measured window."""

import argparse
import contextlib
import itertools
import json
import math
import resource
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import processes, report
from .connection import TLSClient
from .driver import NS, Address, Driver, Reader
from .engine import Totals
from .rtsp import Session, StreamURL

SETTLE_S = 10  # after the ramp, for the slowest joiner
READERS_PER_S = 100  # the default ramp, on average


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="camfleet bench",
        description="Play RTSP streams with many readers at once, count every packet and frame, and say what it costs.",
        fromfile_prefix_chars="@",
        epilog="@FILE reads arguments from a file, one on each line. bench/README.md says what the figures mean.",
    )
    url = "rtsp[s]://[USER:PASSWORD@]HOST[:PORT]/PATH; readers take turns"
    parser.add_argument("urls", nargs="+", metavar="URL", help=url)
    parser.add_argument("--readers", type=int, default=10, metavar="N", help="of all URLs together (10)")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="measured time, after the ramp (10)")
    parser.add_argument(
        "--ramp", type=float, metavar="S", help=f"the readers come over this time (N / {READERS_PER_S})"
    )
    parser.add_argument("--at-play", action="store_true", help="measure when all play, before all have a key frame")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the load tool (1)")
    parser.add_argument("--cafile", metavar="FILE", help="verify certificate and name against this (default: no check)")
    parser.add_argument("--server-pid", type=int, action="append", default=[], metavar="PID", help="with all below it")
    parser.add_argument("--state-dir", metavar="DIR", help="ask camfleet there for the pids of supervisor and workers")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    options = parser.parse_args(argv)
    if not (options.readers >= 1 and options.seconds > 0 and options.threads >= 1 and (options.ramp or 0) >= 0):
        parser.error("--readers, --seconds and --threads are positive, --ramp is not negative")
    return options


def raise_descriptor_limit() -> None:
    """One descriptor a reader."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resolve(url: StreamURL) -> Address:
    """The first address, as most clients take it. Raises ValueError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ValueError(f"{url.host}: {error.strerror}") from None
    return family, address


def slowing(count: int, ramp_s: float) -> list[float]:
    """When each reader comes, in seconds: ever more slowly, as a server that plays for many has less time for new ones.

    One that is measured near its limit would not come through the end of an even ramp.
    """
    return [ramp_s * (1 - math.sqrt(1 - number / count)) for number in range(count)]


def plan(urls: Sequence[StreamURL], offsets_s: Sequence[float]) -> list[Reader]:
    """Readers that come so many seconds from now; URLs take turns."""
    addresses = {url: resolve(url) for url in urls}
    now = time.monotonic_ns()
    targets = zip(itertools.cycle(urls), offsets_s, strict=False)
    return [Reader(url, addresses[url], now + int(offset_s * NS), Session(url)) for url, offset_s in targets]


def look(drivers: Sequence[Driver]) -> report.Look:
    """The sum over all threads, now."""
    every = [driver.engine.totals() for driver in drivers]
    threads = []
    for driver, totals in zip(drivers, every, strict=True):
        try:  # "on a processor, waiting for one, slices"
            cpu, wait, _ = Path(f"/proc/self/task/{driver.native_id}/schedstat").read_text().split()
            threads.append((int(cpu), int(wait)))
        except OSError:  # a kernel without CONFIG_SCHED_INFO
            threads.append((totals.cpu_ns, 0))
    summed = Totals(*(sum(values) for values in zip(*every, strict=True)))
    histograms = (driver.engine.delay_histogram() for driver in drivers)
    delays = [sum(counts) for counts in zip(*histograms, strict=True)]
    return report.Look(time.monotonic_ns(), sum(driver.playing for driver in drivers), summed, delays, threads)


class Progress:
    """One line a second on a terminal."""

    def __init__(self, drivers: Sequence[Driver], wanted: int, at_play: bool) -> None:
        self.drivers = drivers
        self.wanted = wanted
        self.at_play = at_play
        self.shown = sys.stderr.isatty()
        self.begin_ns = time.monotonic_ns()
        self.last = look(drivers)

    def sleep_until(self, deadline_ns: int, settled: bool = False) -> None:
        """Returns earlier when `settled` and every reader has its picture (`at_play`: plays) or has failed."""
        while (now := time.monotonic_ns()) < deadline_ns:
            crash = next((driver.crash for driver in self.drivers if driver.crash), None)
            if crash:
                raise crash
            if now - self.last.at_ns >= NS:
                self._show()
            if settled and self._settled():
                return
            time.sleep(min(0.05, (deadline_ns - now) / NS))

    def _settled(self) -> bool:
        """A picture may be there before its PLAY answer has been read, and both counts matter to `look`."""
        ready = sum(driver.playing for driver in self.drivers)
        if not self.at_play:
            ready = min(ready, sum(driver.engine.totals().started for driver in self.drivers))
        return ready + sum(driver.failed for driver in self.drivers) >= self.wanted

    def _show(self) -> None:
        now, before = look(self.drivers), self.last
        self.last = now
        if not self.shown:
            return
        seconds = (now.at_ns - before.at_ns) / NS
        failed = sum(driver.failed for driver in self.drivers)
        busy = sum(b[0] - a[0] for a, b in zip(before.threads, now.threads, strict=True)) / NS / seconds
        print(
            f"{(now.at_ns - self.begin_ns) / NS:5.0f} s  readers {now.playing}/{self.wanted}"
            f"  failed {failed}  {(now.totals.octets - before.totals.octets) * 8 / seconds / 1e6:8.1f} Mb/s"
            f"  {(now.totals.frames - before.totals.frames) / seconds:8.0f} frames/s"
            f"  gaps RTP {now.totals.sequence_gaps} frames {now.totals.frame_gaps + now.totals.frames_incomplete}"
            f"  tool {busy:.0%} CPU",
            file=sys.stderr,
        )


def given_pids(options: argparse.Namespace) -> set[int]:
    """Of --server-pid and --state-dir. Raises ValueError when they do not run."""
    given = set(options.server_pid)
    for pid in given:
        if processes.read(pid) is None:
            raise ValueError(f"there is no process {pid}")
    return given | processes.of_state_folder(options.state_dir) if options.state_dir else given


def server_pids(urls: Sequence[StreamURL]) -> set[int]:
    """When every URL is local, whoever holds sockets of these ports. Empty: unknown."""
    if not all(processes.is_local(host) for host in {url.host for url in urls}):
        return set()
    return processes.owners({url.port for url in urls})


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 when every reader was ok, 1 when one failed, 2 for a usage error."""
    options = arguments(argv)
    try:
        urls = [StreamURL.parse(url) for url in options.urls]
        ramp_s = options.readers / READERS_PER_S if options.ramp is None else options.ramp
        tls = TLSClient(options.cafile)
        given = given_pids(options)
        readers = plan(urls, slowing(options.readers, ramp_s))
    except ValueError as error:
        print(f"camfleet bench: {error}", file=sys.stderr)
        return 2
    raise_descriptor_limit()
    drivers = [Driver(readers[number :: options.threads], tls) for number in range(min(options.threads, len(readers)))]
    for driver in drivers:
        driver.start()
    try:
        progress = Progress(drivers, len(readers), options.at_play)
        progress.sleep_until(progress.begin_ns + int((ramp_s + SETTLE_S) * NS), settled=True)
        pids = given or server_pids(urls)
        watch = processes.ServerWatch(pids) if pids else None
        first = look(drivers)
        with contextlib.suppress(KeyboardInterrupt):  # a measurement may be ended early
            progress.sleep_until(first.at_ns + int(options.seconds * NS))
        last = look(drivers)
        cost = watch.cost() if watch else None
        outcomes = [outcome for driver in drivers for outcome in driver.outcomes()]
    except KeyboardInterrupt:
        return 130
    finally:
        for driver in drivers:
            driver.stop.set()
        for driver in drivers:
            driver.join()
    result = report.result(outcomes, first, last, cost)
    print(json.dumps(result, indent=2) if options.json else report.text(result))
    return 0 if not result["readers"]["failed"] else 1
