"""What a reader and a camera keep of the memory: `make bench-memory`.

Private bytes of the worker and of the supervisor, by which they grow from 100 readers to 900 that play at the same
time and of which the status has been asked; PSS of the workers of 100 cameras, each passing a file of 4 Mb/s through to
one reader.
"""

import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import clip
from .servers import Server, camfleet, status, wait_until

READERS = 100, 900
READERS_PER_S = 60
CAMERAS = 100
PLAY_S = 60
SETTLE_S = 10  # of playing: the window of frames is full
LOOKS, LOOK_S = 12, 0.35  # over two groups of pictures: a worker keeps the newest, however far it has come
THIN_BPS = 300_000  # for the readers: what the stream itself keeps must not hide what they do


def private_bytes(pid: int) -> int:
    """What it has written and shares with nobody. Clean pages are of files: they come and go as the kernel likes."""
    smaps = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_Dirty: +(\d+) kB$", smaps, re.MULTILINE)) * 1024


@contextlib.contextmanager
def playing(
    server: Server, folder: Path, readers: int, in_all: int, readers_per_s: int = READERS_PER_S
) -> Iterator[None]:
    """So many readers more, until the end of the context."""
    command = [sys.executable, "-m", "camfleet.supervisor", "bench", *server.urls, "--readers", str(readers)]
    command += ["--ramp", str(readers / readers_per_s), "--seconds", str(PLAY_S)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    try:
        wait_until(lambda: count_playing(folder) == in_all, process)
        yield
    finally:
        process.terminate()
        process.wait()


def count_playing(folder: Path) -> int:
    cameras = status(folder / "state").get("cameras", [])  # none: it was too busy to say
    return sum(reader["state"] == "playing" for each in cameras for reader in each["readers"])


def of_a_reader(
    film: Path, folder: Path, tls: bool, readers: tuple[int, int] = READERS, readers_per_s: int = READERS_PER_S
) -> tuple[float, float]:
    """Bytes in the worker, bytes in the supervisor."""
    first, last = readers
    core = sorted(os.sched_getaffinity(0))[-1]
    with camfleet(film, folder, core, tls, 1) as server, playing(server, folder, first, first, readers_per_s):
        found = status(folder / "state")
        pids = found["cameras"][0]["worker_pid"], found["supervisor"]["pid"]
        before = [private_bytes(pid) for pid in pids]
        with playing(server, folder, last - first, last, readers_per_s):
            grown = [private_bytes(pid) - size for pid, size in zip(pids, before, strict=True)]
    return grown[0] / (last - first), grown[1] / (last - first)


def of_cameras(film: Path, folder: Path) -> list[int]:
    """PSS of the workers while each has a reader, several times over."""
    core = sorted(os.sched_getaffinity(0))[-1]
    with camfleet(film, folder, core, False, CAMERAS) as server, playing(server, folder, CAMERAS, CAMERAS):
        time.sleep(SETTLE_S)
        found: list[int] = []
        for _ in range(LOOKS):
            found += [each["worker_pss_bytes"] for each in status(folder / "state")["cameras"]]
            time.sleep(LOOK_S)
        return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        film, thin = Path(name) / "clip.mp4", Path(name) / "thin.mp4"
        clip.make(film)
        clip.make(thin, THIN_BPS)
        for tls in (False, True):
            folder = Path(tempfile.mkdtemp(dir=name))
            worker, supervisor = of_a_reader(thin, folder, tls)
            kind = "RTSPS" if tls else "RTSP"
            print(f"{kind} reader: {worker:,.0f} bytes in its worker, {supervisor:,.0f} in the supervisor")
        sizes = of_cameras(film, Path(tempfile.mkdtemp(dir=name)))
        mean, largest = statistics.mean(sizes) / 1e6, max(sizes) / 1e6
        print(f"worker of a pass-through camera, one of {CAMERAS}: {mean:.2f} MB PSS, at most {largest:.2f}")


if __name__ == "__main__":
    main()
