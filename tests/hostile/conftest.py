"""A running server with bystanders, and what every test in this folder must leave as it was."""

import contextlib
import itertools
import operator
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.hostile.client import URL, Client
from tests.kit.rtsp import request
from tests.kit.server import Server
from tests.kit.wait import wait_for

CAMERAS = ("ipc1", "ipc2")
GUARD, GUARD_PASSWORD = "guard", "not-a-secret-77b1"
# The tests share two cores with four players, two encoders and whatever else the machine does.
MAX_GAP_MS = 2_000.0
# Of one process over a module: what the allocator keeps after floods. A handshake that is not freed is 60 KB.
MAX_GROWTH = 6 * 1024 * 1024

_VALUE = r'(?:[^\s"=\\]*|"(?:[^"\\]|\\.)*")'
_LOG_LINE = re.compile(rf"time=\S+ level=(?:debug|info|warning) room=\w+ event=\w+(?: \w+={_VALUE})*")


class Ward:
    """The server, one plain and one TLS reader of each camera, and the state to which all must come back."""

    def __init__(self, server: Server, stack: contextlib.ExitStack) -> None:
        """What it opens is closed by `stack`."""
        self.server = server
        self._addresses = itertools.count(1)
        self._log = stack.enter_context(server.log.open("rb"))
        self._log.seek(0, os.SEEK_END)
        self.watches = [
            stack.enter_context(server.watch(camera, tls=tls)) for camera in CAMERAS for tls in (False, True)
        ]
        self._unfinished = b""
        for tls in (False, True):  # once everything, so that what is made at the first need is there
            with self.client(tls=tls, adopted=True) as client:
                client.play()
                client.ask("TEARDOWN")
                client.session = ""
                client.ask("DESCRIBE", URL.replace("ipc1", "ipc2"))
        for watch in self.watches:
            watch.wait_for_frames(2)
        wait_for(lambda: self.connections() == len(self.watches), why=lambda: f"{self.connections()} connections")
        self.processes = [psutil.Process(pid) for pid in (server.pid, *sorted(server.workers()))]
        self.descriptors = self.count_descriptors()
        self.memory = [process.memory_info().rss for process in self.processes]

    def new_address(self) -> str:
        """One of the loopback that nobody has used: failed logins and limits count by address."""
        number = next(self._addresses)
        return f"127.{1 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"

    def client(
        self, *, tls: bool, adopted: bool, source: str = "", version: int | None = None, secure_port: bool | None = None
    ) -> Client:
        """A new connection, whose next request is the first one, or is read by the worker that has already got it."""
        port = self.server.rtsps_port if (tls if secure_port is None else secure_port) else self.server.rtsp_port
        options = {} if version is None else {"version": version}
        client = Client(port, tls=tls, source=source or self.new_address(), **options)
        if adopted:
            client.send(request("OPTIONS", URL))
            assert client.reply().status == 200
        return client

    # ------------------------------------------------------------ what must not change

    def count_descriptors(self) -> list[int]:
        return [process.num_fds() for process in self.processes]

    def connections(self) -> int:
        return int(self.server.status()["supervisor"]["connections"])

    def check(self, since_ns: int) -> None:
        """After one attack: the bystanders played on, others are served, no descriptor is left, the log is well."""
        self.check_bystanders(since_ns)
        for camera in CAMERAS:
            with self.server.connect(camera, tls=False) as client:
                assert client.request("DESCRIBE").status == 200
        wait_for(
            lambda: all(map(operator.le, self.count_descriptors(), self.descriptors)),
            why=lambda: f"{self.count_descriptors()} descriptors, at the start {self.descriptors}",
        )
        self.read_log()

    def check_bystanders(self, since_ns: int) -> None:
        for watch in self.watches:
            assert watch.error is None
            assert not watch.ended, "a bystander's connection was closed"
            assert watch.video.holes == 0
            arrivals = watch.video.frame_ns
            gap_ms = max(watch.video.largest_gap_ms(since_ns), (time.monotonic_ns() - arrivals[-1]) / 1e6)
            assert gap_ms < MAX_GAP_MS

    def read_log(self) -> str:
        """What is new in the log: whole lines, nothing forged, nothing raw, no mistake of ours."""
        *lines, self._unfinished = (self._unfinished + self._log.read()).split(b"\n")
        for line in lines:
            text = line.decode()
            assert text.isprintable()
            assert _LOG_LINE.fullmatch(text), text
        return b"\n".join(lines).decode()

    def check_start(self) -> None:
        """At the end: connections and memory are those of the start."""
        wait_for(lambda: self.connections() == len(self.watches), why=lambda: f"{self.connections()} connections")
        growth = [process.memory_info().rss - start for process, start in zip(self.processes, self.memory, strict=True)]
        assert max(growth) < MAX_GROWTH, f"bytes more in supervisor and workers: {growth}"
        assert {process.pid for process in self.processes[1:]} == self.server.workers()


@pytest.fixture(scope="module")
def limits() -> str:
    """Lines for [limits] of the server's configuration; a module may say others."""
    return ""


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, limits: str) -> Iterator[Ward]:
    users = f'[[users]]\nname = "{GUARD}"\npassword = "{GUARD_PASSWORD}"\n'
    folder: Path = tmp_path_factory.mktemp("s")  # short: the names of Unix sockets are limited
    with Server(folder, CAMERAS, tail=f"{users}[limits]\n{limits}") as server, contextlib.ExitStack() as stack:
        ward = Ward(server, stack)
        yield ward
        ward.check_start()


@pytest.fixture(autouse=True)
def _nobody_is_touched(ward: Ward) -> Iterator[None]:
    since_ns = time.monotonic_ns()
    yield
    ward.check(since_ns)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[False, True], ids=["first", "adopted"])
def adopted(request: pytest.FixtureRequest) -> bool:
    """Whether a worker has the connection already, or the supervisor reads it as the first request."""
    return bool(request.param)


@pytest.fixture
def client(ward: Ward, tls: bool, adopted: bool) -> Iterator[Client]:
    with ward.client(tls=tls, adopted=adopted) as client:
        yield client
