"""The files of results: every run as JSON, and made of them a page with tables and a plot."""

import os
import platform
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from .plot import svg
from .runs import LATE_MS, Run
from .servers import SYSTEM_PYTHON
from .table import costs_table, left_out, limits_table

NAME = "side-by-side"
GST_VERSION = """import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
print(Gst.version_string())"""
PAGE = """# Side by side

Written by `make bench`; what it measures and how to read it: bench/README.md. {about}

![Readers against the share of a core that they take]({name}.svg)

Behind the names stands how many readers a core held; + when more were not tried.

## What a reader costs

CPU microseconds per reader and second, user and system, of all the server's processes: median (lowest-highest) of the
runs that count. 1,000 means that 1,000 readers take a core. Ratios are of runs of the same round. `10 x 20`: 10 cameras
with 20 readers each. `-`: no run counts.

{costs}

## How many readers one core holds

Without a packet missing, and with 99 % of the frames there {late:.0f} ms after their capture.

{limits}

## Runs that do not count

{left_out}
"""


def load(folder: Path) -> list[Run]:
    """The runs of an earlier measurement. Raises OSError, msgspec.ValidationError."""
    return msgspec.json.decode((folder / f"{NAME}.json").read_bytes(), type=list[Run])


def write(folder: Path, runs: Sequence[Run]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    encoded = ",\n".join(msgspec.json.encode(run).decode() for run in runs)
    (folder / f"{NAME}.json").write_text(f"[\n{encoded}\n]\n")
    (folder / f"{NAME}.svg").write_text(svg(runs))
    text = PAGE.format(
        about=about(),
        name=NAME,
        costs="\n".join(costs_table(runs)),
        late=LATE_MS,
        limits="\n".join(limits_table(runs)),
        left_out="\n".join(left_out(runs)) or "None.",
    )
    (folder / f"{NAME}.md").write_text(text)


def about() -> str:
    return f"Measured {time.strftime('%Y-%m-%d')} on " + ", ".join(machine()) + "."


def machine() -> Iterator[str]:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    yield next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    yield f"{os.cpu_count()} cores"
    yield f"Linux {platform.release()}"
    yield "TCP " + Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    yield ssl.OPENSSL_VERSION
    yield f"Python {platform.python_version()}"
    yield said(SYSTEM_PYTHON, "-c", GST_VERSION) or "no GStreamer"
    yield " ".join(["camfleet", version("camfleet"), said("git", "rev-parse", "--short", "HEAD")]).strip()


def said(*command: str) -> str:
    """What a command prints; empty when it fails or does not exist."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
