"""A pipeline's part for one source, without the pipeline."""

import threading
import time

import pytest
from camfleet.core.wire import Source
from camfleet.workers.codecs import AccessUnit
from camfleet.workers.sources import Place, SourceError, open_pass_through


class Reader:
    """A pipeline's part: reads when it is told to."""

    def __init__(self, source: Source, start_ns: int = 0) -> None:
        self._woken = threading.Event()
        self.feed = open_pass_through(source, Place("ipc1-stream1", "Lobby", 0, self._woken.set), start_ns)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.close()

    def units(self, count: int) -> list[AccessUnit]:
        got: list[AccessUnit] = []
        deadline = time.monotonic() + 15
        while len(got) < count:
            if self.feed.due_ns <= time.monotonic_ns():
                got += self.feed.read(time.monotonic_ns(), False)
                continue
            assert self._woken.wait(deadline - time.monotonic()), f"{len(got)} units"
            self._woken.clear()
        return got

    def failure(self) -> str:
        with pytest.raises(SourceError) as error:
            self.units(10_000)
        return str(error.value)
