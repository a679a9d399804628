"""The files of results: every run as JSON, and made of them a page with tables and a plot."""

import os
import platform
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from .plot import svg
from .runs import LATE_MS, Run
from .servers import SYSTEM_PYTHON
from .table import costs_table, delays_table, limits_table, not_held, spoiled

NAME = "side-by-side"
GST_VERSION = """import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
print(Gst.version_string())"""
PAGE = """# Side by side

Written by `make bench`; what it measures and how to read it: bench/README.md. On {machine}.

{origin}

![Readers against the share of a core that they take]({name}.svg)

Behind the names stands how many readers a core held; + when no count is known that is too many.

## What a reader costs

CPU microseconds per reader and second, user and system, of all the server's processes: median (lowest-highest) of the
n runs that count. 1,000 means that 1,000 readers take a core. `2 of 3 rounds`: one of them the server did not hold.
`-`: no run says anything. Ratios are of runs of the same round. `10 x 20`: 10 cameras with 20 readers each.

{costs}

## Delay, and how full the core was

Delay from capture to arrival in ms, p50 / p99, and the share of its core that the server used: medians of the runs that
count.

{delays}

## How many readers one core holds

Without a packet missing or a reader left out, and with 99 % of the frames there {late:.0f} ms after their capture.

{limits}

## Runs that a server did not hold

{not_held}

## Runs that do not count, neither way

Other processes disturbed them, or the load tool was the limit.

{spoiled}
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
        machine=", ".join(machine()),
        origin=origin(runs),
        name=NAME,
        costs="\n".join(costs_table(runs)),
        delays="\n".join(delays_table(runs)),
        late=LATE_MS,
        limits="\n".join(limits_table(runs)),
        not_held="\n".join(not_held(runs)) or "None.",
        spoiled="\n".join(spoiled(runs)) or "None.",
    )
    (folder / f"{NAME}.md").write_text(text)


def origin(runs: Sequence[Run]) -> str:
    """Which code was measured, and when."""
    found = Counter((run.commit or "an unknown commit", run.date or "no date") for run in runs)
    text = "; ".join(f"{number} of {commit} ({date})" for (commit, date), number in found.items())
    mixed = len({run.commit for run in runs}) > 1
    return f"Runs: {text}.{' **They are not all of one commit.**' if mixed else ''}"


def commit() -> str:
    """Of the sources here. Results that an earlier measurement wrote are no other code."""
    changed = said("git", "status", "--porcelain", "--untracked-files=no", ":(top,exclude)bench/results")
    return said("git", "describe", "--always") + ("-dirty" if changed else "")


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
    yield f"camfleet {version('camfleet')}"


def said(*command: str) -> str:
    """What a command prints; empty when it fails or does not exist."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
