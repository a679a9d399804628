"""RUN/<camera>.lock: who has it serves the camera, and nobody else does.

A flock(2), so the kernel lets go when its last holder dies. A successor gets the descriptor itself from its predecessor
(workers/succession): the lock is never free in between.
"""

import fcntl
import os
from pathlib import Path


def take(path: Path) -> int | None:
    """The lock, our pid inside, to be held for the life of the process; None when somebody else serves."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    sign(descriptor)
    return descriptor


def sign(descriptor: int) -> None:
    """Our pid, for those who look for the camera's worker. The file is never empty meanwhile."""
    text = b"%d\n" % os.getpid()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
