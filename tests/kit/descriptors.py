"""What this process has open."""

import contextlib
import gc
from pathlib import Path


def descriptors() -> set[str]:
    """Numbers, and what is behind them; without those that wait for the collector."""
    gc.collect()
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:  # of reading this folder
            continue
    return found


def times_open(path: Path, process: int | str = "self") -> int:
    """How often a process has the file open now."""
    names = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names.append(str(link.readlink()))
    return names.count(str(path))
