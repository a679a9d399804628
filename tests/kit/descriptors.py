"""What this process has open."""

import gc
import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
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
        with suppress(FileNotFoundError):  # closed meanwhile
            names.append(str(link.readlink()))
    return names.count(str(path))


@contextmanager
def limit_of_open_files(limit: int) -> Iterator[None]:
    """New ones have numbers below it; those that are open stay."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def none_left() -> AbstractContextManager[None]:
    return limit_of_open_files(3)  # those of standard input, output and errors; and poll() takes no more than the limit
