"""Locks of the state folder: flock(2) files with the holder's pid inside. The kernel lets go when the holder dies.

STATE_DIR/supervisor.lock is ours; RUN/<camera>.lock is held by the worker that serves the camera, and goes from hand to
hand in a succession. They are never removed: who locks a removed file would lock nothing.
"""

import fcntl
import os
from pathlib import Path

from camfleet.supervisor import StartError

from .process import Process

SUPERVISOR_LOCK = "supervisor.lock"
WORKER_MODULE = b"camfleet.workers"  # in the command line of the fork server, and so of every worker


class SupervisorLock:
    """Held from construction to `release`, or to the end of the process. Raises StartError when another has it."""

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / SUPERVISOR_LOCK
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise StartError(
                f"another camfleet (pid {_read_pid(path) or 'unknown'}) serves the state folder {state_dir}; "
                "stop it, or choose another folder with --state-dir"
            ) from None
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


def find_worker(lock: Path) -> Process | None:
    """The worker that holds a camera's lock.

    One that has just taken it has not yet overwritten the pid of its predecessor, which may be anybody's by now: whom
    we adopt we may kill, so it must have a worker's command line.
    """
    pid = holder(lock)
    try:
        process = Process.open(pid) if pid is not None else None
        if process is None or WORKER_MODULE in Path(f"/proc/{pid}/cmdline").read_bytes():
            return process
    except (ProcessLookupError, FileNotFoundError):
        return None
    process.forget()
    return None


def camera_locks(run_dir: Path) -> dict[str, Path]:
    """Camera ids with a lock file, held or left behind."""
    return {path.stem: path for path in sorted(run_dir.glob("*.lock"))}


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
