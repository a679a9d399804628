"""The servers that are up: started when they are first asked for, and again after a run that they did not hold."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from .runs import Case
from .servers import SERVERS, Server


class Fleet:
    """A server without readers costs next to nothing, so all may stay up while one is measured."""

    def __init__(self, film: Path, folder: Path, core: int) -> None:
        self._film = film
        self._folder = folder
        self._core = core
        self._started: dict[tuple[str, bool, int], tuple[Server, ExitStack]] = {}

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for key in list(self._started):
            self._stop(key)

    def server(self, case: Case) -> Server:
        key = case.server, case.tls, case.cameras
        if key not in self._started:
            home = Path(tempfile.mkdtemp(dir=self._folder))
            stack = ExitStack()
            server = stack.enter_context(SERVERS[case.server](self._film, home, self._core, case.tls, case.cameras))
            self._started[key] = server, stack
        return self._started[key][0]

    def stop(self, case: Case) -> None:
        self._stop((case.server, case.tls, case.cameras))

    def _stop(self, key: tuple[str, bool, int]) -> None:
        _, stack = self._started.pop(key)
        stack.close()
