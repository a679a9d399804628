"""What an upstream is made of: a session in a thread, what arrives by it, and what ends it."""

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...codecs import Description
from ..arrivals import Arrival
from ..descriptors import new_eventfd


class LeftError(Exception):
    """Nobody wants the upstream any more."""


class Interrupt:
    """Ends a session, for good; from any thread."""

    def __init__(self) -> None:
        """Raises SourceError."""
        self.fd = new_eventfd()
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        if self.fd >= 0:
            os.eventfd_write(self.fd, 1)

    def check(self) -> None:
        """In the session's thread. Raises LeftError."""
        if self._is_set:
            raise LeftError

    def wait_until(self, deadline_ns: int) -> None:
        """Raises LeftError, perhaps long before."""
        wait_ns = deadline_ns - time.monotonic_ns()
        if wait_ns > 0:
            ready = select.poll()  # select() knows descriptors up to 1023 only: a worker with many readers has more
            ready.register(self.fd, select.POLLIN)
            ready.poll(wait_ns / 1e6)
        self.check()

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        os.close(fd)


class Session(Protocol):
    """One visit to a server. Of other codecs than H.264 and H.265 every unit counts as a key frame."""

    @property
    def skipped(self) -> int:
        """Access units that were damaged, or referred to such."""

    @property
    def absence(self) -> str:
        """Why nothing comes now, though something may; empty when it does, or nobody knows."""

    @property
    def refused(self) -> bool:
        """The server does not want our user or password."""

    def run(self) -> None:
        """Ends with SourceError, or with LeftError after the interrupt."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What a session calls, from its thread."""

    described: Callable[[Description], object]  # the stream is known before its first picture is
    arrived: Callable[[Arrival], object]
    key_frame_is_wanted: Callable[[], bool]  # by a stream: who can ask the sender for one does
