"""What ends a session, in a worker that has more descriptors than select() knows."""

import fcntl
import os
import resource
import threading
import time
from collections.abc import Iterator

import pytest
from camfleet.workers.sources.upstream import Interrupt, LeftError

FAR = 1500


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], FAR + 100), limits[1]))
    interrupt = Interrupt()
    near, interrupt.fd = interrupt.fd, fcntl.fcntl(interrupt.fd, fcntl.F_DUPFD_CLOEXEC, FAR)
    os.close(near)
    yield interrupt
    interrupt.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_it_waits(interrupt: Interrupt) -> None:
    began_ns = time.monotonic_ns()
    interrupt.wait_until(began_ns + 50_000_000)
    assert time.monotonic_ns() - began_ns >= 50_000_000


def test_it_wakes_who_waits(interrupt: Interrupt) -> None:
    threading.Timer(0.05, interrupt.set).start()
    with pytest.raises(LeftError):
        interrupt.wait_until(time.monotonic_ns() + 60_000_000_000)
