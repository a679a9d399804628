"""Files that a configuration names."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .section import Complaint


def absolute(folder: Path, path: str) -> str:
    """For other processes; an empty path stays empty."""
    return str(folder / path) if path else ""


def readable(folder: Path, key: str, path: str) -> Iterator[Complaint]:
    """A complaint about `key` unless `path`, which starts at `folder`, is a file that can be read."""
    file = folder / path
    try:
        with file.open("rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                yield Complaint(key, f"{file} is not a regular file", "a file")
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        yield Complaint(key, f"{file}: {reason}", "a file that can be read")
