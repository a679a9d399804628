"""A camera gets a fresh worker, and its readers notice nothing: our part of core/wire/succession.py.

    Fork       a successor, which gets ready beside the worker that serves
    MakeWay    the two settle it among themselves, over a connection of their own
    Hello      of the successor, `serving`: it is the camera's worker now
    Stop       for the other one, when nothing is under way to it any more

Whatever fails before, the worker that serves goes on; whoever dies, the other one has the camera. So it is if we die:
the next supervisor finds who has the camera's lock.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from camfleet.core.log import Log
from camfleet.core.wire.control import WIRE_VERSION, Hello, MakeWay, Replaced, Stop
from camfleet.core.wire.succession import socket_name

from .bus import Bus
from .forkserver import ForkServer, ForkServerError
from .handoff import HAND_OVER_TIMEOUT_S, Handoffs
from .process import Process, describe
from .registry import Registry, Worker

log = Log("arbiter")

FIRST_VERSION_THAT_MAKES_WAY = 4
# More than a worker gives itself for it, so that its reason comes first.
TIMEOUT_S = 20.0
# After its predecessor's death the successor has the lock within 50 ms.
INHERITANCE_TIMEOUT_S = 2.0
# Those who could not go over (they were being closed, or given back) get so long.
LEAVE_DEADLINE_S = 1.0
LEAVE_GRACE_S = 0.2


class SuccessionError(Exception):
    """The camera has no other worker than before; the text says why."""


class Heir(Worker):
    """A process that gets ready to serve a camera."""

    def __init__(self, predecessor: Worker) -> None:
        super().__init__(predecessor.settings)
        loop = asyncio.get_running_loop()
        self.attempt = asyncio.current_task()
        self.serves: asyncio.Future[int] = loop.create_future()  # with so many sessions; SuccessionError: it will not

    def fail(self, reason: str) -> None:
        if not self.serves.done():
            self.serves.set_exception(SuccessionError(reason))
            self.serves.exception()  # perhaps nobody waits any more


class Successions:
    """All that are under way, one for each camera at most and as many in all as the machine has cores."""

    def __init__(
        self,
        run_dir: Path,
        forkserver: ForkServer,
        bus: Bus,
        registry: Registry,
        handoffs: Handoffs,
        *,
        attach: Callable[[Worker, Process], None],
        lose: Callable[[Worker], None],
    ) -> None:
        """`attach` lets a process speak for a worker, `lose` forgets it and what it held."""
        self._run_dir = run_dir
        self._forkserver = forkserver
        self._bus = bus
        self._registry = registry
        self._handoffs = handoffs
        self._attach = attach
        self._lose = lose
        self._turns = asyncio.Semaphore(os.cpu_count() or 1)

    async def replace(self, worker: Worker) -> int:
        """Give the camera another process; returns how many sessions have moved. Raises SuccessionError."""
        async with self._turns:
            if worker.beside is not None:
                raise SuccessionError("it is just being replaced")
            if worker.peer is None or not worker.wanted:
                raise SuccessionError("it has no worker that could hand over")
            heir = worker.beside = Heir(worker)
            try:
                sessions = await self._succeed(worker, heir)
            except BaseException as error:
                await self._part(worker)
                if isinstance(error, TimeoutError | ForkServerError):
                    raise SuccessionError(str(error) or f"nothing came of it within {TIMEOUT_S:g} s") from None
                raise
            worker.replacements += 1
            await self._send_home(worker)
            return sessions

    async def answer(self, camera: str) -> Replaced:
        """To `camfleet replace`: by a process of the code that is on disk now."""
        worker, sessions, problem = self._registry.get(camera), 0, ""
        if worker is None or not worker.wanted:
            return Replaced(camera=camera, problem="there is no such camera")
        try:
            await self._forkserver.refresh()
            sessions = await self.replace(worker)
        except SuccessionError as error:
            problem = str(error)
            log.warning("not_replaced", camera=camera, pid=worker.pid, reason=problem)
        return Replaced(camera=camera, pid=worker.pid, sessions=sessions, problem=problem)

    async def renew(self, worker: Worker, version: int) -> None:
        """Its process runs other code than a new one would. One that we cannot talk to does not stay."""
        process = worker.process
        try:
            if version < FIRST_VERSION_THAT_MAKES_WAY:
                raise SuccessionError("it cannot hand over")
            await self.replace(worker)
        except SuccessionError as error:
            log.warning("not_replaced", camera=worker.camera, pid=worker.pid, reason=str(error))
            if version != WIRE_VERSION and process is not None and worker.process is process:
                process.kill()

    async def abandon(self, worker: Worker) -> None:
        """Whoever serves the camera is about to end, and nobody shall come after it."""
        if isinstance(worker.beside, Heir) and worker.beside.attempt is not None:
            worker.beside.attempt.cancel()
            await asyncio.gather(worker.beside.attempt, return_exceptions=True)

    async def inherited(self, worker: Worker) -> bool:
        """The camera's process has ended. Whether the one beside it serves in its place; if not, that one ends too."""
        dead, heir = worker.process, worker.beside
        if not isinstance(heir, Heir):
            return False
        await asyncio.wait((heir.serves,), timeout=INHERITANCE_TIMEOUT_S)
        if worker.process is not dead:
            worker.restarts += 1
            return True
        if heir.process is not None:
            heir.process.kill()
        return False

    def take_over(self, worker: Worker, sessions: int) -> None:
        """The one that got ready serves."""
        heir = worker.beside
        assert isinstance(heir, Heir)
        log.info("worker_replaced", camera=worker.camera, pid=heir.pid, predecessor=worker.pid, sessions=sessions)
        self._registry.exchange(worker)
        if not heir.serves.done():
            heir.serves.set_result(sessions)

    def hello(self, worker: Worker, hello: Hello) -> None:
        """Of the one beside it, which does not serve: it gets ready, or leaves."""
        heir = worker.beside
        if not isinstance(heir, Heir) or heir.serves.done() or heir.peer is None:
            return
        if hello.version != WIRE_VERSION:
            heir.fail(f"the new code speaks version {hello.version} of the bus, we {WIRE_VERSION}: restart the server")
        elif hello.settings != worker.digest:
            self._bus.send(heir.peer, worker.settings)

    def failed(self, worker: Worker, reason: str) -> None:
        """So says one of the two."""
        for each in (worker, worker.beside):
            if isinstance(each, Heir):
                each.fail(reason)

    async def _succeed(self, worker: Worker, heir: Heir) -> int:
        async with asyncio.timeout(TIMEOUT_S):
            process = await self._forkserver.fork(worker.camera, self._run_dir, successor=True)
            self._attach(heir, process)
            watching = asyncio.create_task(_watch(heir, process))
            ready = asyncio.create_task(heir.ready.wait())
            try:
                await asyncio.wait((ready, heir.serves), return_when=asyncio.FIRST_COMPLETED)
                if not heir.serves.done() and worker.peer is not None:
                    self._bus.send(worker.peer, MakeWay(successor=process.pid))
                return await heir.serves
            finally:
                watching.cancel()
                ready.cancel()

    async def _part(self, worker: Worker) -> None:
        """Only the one that serves stays."""
        other = worker.beside
        worker.beside = None
        if other is not None and other.process is not None:
            other.process.kill()
            await other.process.ended.wait()
            (self._run_dir / socket_name(other.pid)).unlink(missing_ok=True)
            self._lose(other)

    async def _send_home(self, worker: Worker) -> None:
        """The predecessor, when all that was under way to it has gone on to the successor."""
        leaving = worker.beside
        assert leaving is not None
        assert leaving.process is not None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
                    await self._handoffs.quiet(leaving.pid)
            leaving.stopping = True
            if leaving.peer is not None:
                self._bus.send(leaving.peer, Stop(deadline_s=LEAVE_DEADLINE_S))
            if not await leaving.process.end_within(LEAVE_DEADLINE_S + LEAVE_GRACE_S):
                log.warning("worker_killed", camera=worker.camera, pid=leaving.pid, reason="it did not leave in time")
        finally:
            await self._part(worker)


async def _watch(heir: Heir, process: Process) -> None:
    status = await process.status()
    heir.fail(f"the new process ended before it could serve: {describe(status)}")
