"""Files that a configuration names."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .section import Complaint


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


def read_password_file(path: Path) -> str:
    """The first and only line of a password file. Raises ValueError with the reason."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8 text") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise ValueError(f"{path}: is empty")
    if len(password) > 256 or not password.isprintable():
        raise ValueError(f"{path}: is not one line of at most 256 printable characters")
    return password


def holds_password(folder: Path, path: str) -> Iterator[Complaint]:
    """The check of a key of that name."""
    if path:
        try:
            read_password_file(folder / path)
        except ValueError as error:
            yield Complaint("password_file", str(error), "a readable file with the password as its only line")
