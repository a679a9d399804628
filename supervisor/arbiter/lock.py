"""Locks of the run folder: flock(2) files with the holder's pid inside. The kernel lets go when the holder dies.

`supervisor.lock` is ours; `<camera>.lock` is held by the camera's worker for its whole life.
"""

import fcntl
import os
from pathlib import Path

SUPERVISOR_LOCK = "supervisor.lock"


class AlreadyRunning(Exception):
    """Another supervisor has this state folder."""


class SupervisorLock:
    """Held from construction to `release`, or to the end of the process."""

    def __init__(self, run_dir: Path) -> None:
        path = run_dir / SUPERVISOR_LOCK
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise AlreadyRunning(f"another camfleet (pid {_read_pid(path) or '?'}) serves {run_dir.parent}") from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, b"%d\n" % os.getpid())

    def release(self) -> None:
        os.close(self._descriptor)


def holder(path: Path) -> int | None:
    """The pid in a lock file that somebody holds; None when it is free, or held by one who has not written it yet."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(path)
    finally:
        os.close(descriptor)
    return None


def camera_locks(run_dir: Path) -> dict[str, Path]:
    """Camera ids with a lock file, held or left behind."""
    return {path.stem: path for path in sorted(run_dir.glob("*.lock")) if path.name != SUPERVISOR_LOCK}


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
