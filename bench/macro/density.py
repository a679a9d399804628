"""How many cameras a machine carries: `make bench-density` writes bench/results/density.md.

Every camera has one RTSPS reader; server and load tool share the machine, on all its cores.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import clip
from .one_camera import load
from .servers import PASSWORD, USER, free_port, serving, status

RESULT = Path("bench/results/density.md")
CAMERAS_PER_S = 20  # that get their reader
FILM_BPS = 2_000_000
HEAD = """# Density

Written by `make bench-density`. Each camera is a process of its own and has one RTSPS reader; server and load tool
share the machine. CPU is user and system time of all the server's processes, while all readers play; a core carries so
many cameras as would fill it at that rate. PSS is what a worker costs of the memory, its share of common pages
included. Lost: RTP packets missing, frames missing, frames cut, of all readers. Delay: from capture to arrival, p50 and
p99.
"""


class Kind(NamedTuple):
    """Cameras of one sort, and how many of them are tried."""

    name: str
    path: str  # the URL's last part
    settings: str  # of the stream, TOML
    counts: tuple[int, ...]


def kinds(film: Path) -> list[Kind]:
    passed = f'source = {{ kind = "filelive", path = "{film}" }}'
    video = 'codec = "h264", width = 1280, height = 720, fps = 30, bitrate = "2M", gop = 60'
    encoded = f'source = {{ kind = "testlive" }}\nvideo = {{ {video} }}'
    return [
        Kind("film passed through, 2 Mb/s", "filelive", passed, (100, 300)),
        Kind("test pattern, 720p30, x264, 2 Mb/s", "testlive", encoded, (8, 16)),
    ]


def camera(number: int, kind: Kind) -> str:
    return f'[[cameras]]\nid = "ipc{number}"\n[[cameras.streams]]\nid = "stream1"\n{kind.settings}\n'


def measure(folder: Path, kind: Kind, count: int) -> dict[str, Any]:
    """The load tool's figures, and the PSS of the workers while they played."""
    port, urls = free_port(), folder / "urls.txt"
    numbers = range(1, count + 1)
    base = f"rtsps://{USER}:{PASSWORD}@127.0.0.1:{port}"
    urls.write_text("".join(f"{base}/ipc{number}-stream1/{kind.path}\n" for number in numbers))
    with serving(folder, "".join(camera(number, kind) for number in numbers), (0, port)):
        figures = load(f"@{urls}", count, folder / "state", "--ramp", str(count / CAMERAS_PER_S))
        figures["pss"] = [each["worker_pss_bytes"] for each in status(folder / "state")["cameras"]]
    return figures


def row(kind: Kind, count: int, figures: dict[str, Any]) -> str:
    gaps, delay, cores = figures["gaps"], figures["delay_ms"], figures["server"]["cpu_cores"]
    cells = (
        kind.name,
        f"{figures['readers']['ok']} of {count}",
        f"{gaps['packets_missing']} / {gaps['frames_missing']} / {gaps['frames_incomplete']}",
        f"{delay['p50']:.1f} / {delay['p99']:.1f}",
        f"{cores:.2f}",
        f"{cores / count * 1000:.1f}",
        f"{count / cores:,.0f}",
        f"{statistics.median(figures['pss']) / 1e6:.1f}",
        f"{figures['load_tool']['cpu_cores']:.2f}",
        "; ".join(figures["load_tool"]["bottlenecks"]) or "no",
    )
    return "| " + " | ".join(cells) + " |"


def table(folder: Path, chosen: Callable[[Kind], bool]) -> Iterator[str]:
    yield (
        "| | cameras that play | lost packets / frames / cut | delay, ms | cores | CPU ms per camera-second "
        "| a core carries | PSS, MB | load tool, cores | tool the limit? |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    film = folder / "film.mp4"
    clip.make(film, FILM_BPS)
    for kind in filter(chosen, kinds(film)):
        for count in kind.counts:
            home = Path(tempfile.mkdtemp(dir=folder))
            print(line := row(kind, count, measure(home, kind, count)), file=sys.stderr, flush=True)
            yield line


def main(arguments: list[str]) -> None:
    """Words that stand in a kind's name choose it, and the table goes to the screen only."""
    with tempfile.TemporaryDirectory() as name:
        lines = list(table(Path(name), lambda kind: all(word in kind.name for word in arguments)))
    if not arguments:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
        about = f"{machine}, Python {platform.python_version()}"
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(f"{HEAD}\nMeasured {time.strftime('%Y-%m-%d')} on {about}.\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
