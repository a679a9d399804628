"""An arbiter with real sockets, and fork server, processes and workers of paper."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import zmq
from camfleet.core.rtsp import Lockout
from camfleet.core.wire import CameraSpec, UserSpec
from camfleet.core.wire.control import WIRE_VERSION, Configure, Hello, Message, decode, encode
from camfleet.supervisor.arbiter import Arbiter, Orders
from camfleet.supervisor.arbiter.forkserver import ForkServerError
from camfleet.supervisor.config import Limits
from camfleet.supervisor.listen import Budget

from tests.kit.supervisor import until

USER = UserSpec(name="viewer", ha1_md5="0" * 32)


class PaperProcess:
    """Ends when it is told to. Its pid is ours by default, as the kernel says of the sockets that its worker opens."""

    def __init__(self, pid: int = 0) -> None:
        self.pid = pid or os.getpid()
        self.ended = asyncio.Event()
        self.killed = False
        self.successor = False
        self.exit_status = -9

    def kill(self) -> None:
        self.killed = True
        self.ended.set()

    def end(self, exit_status: int) -> None:
        self.exit_status = exit_status
        self.ended.set()

    async def end_within(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self.ended.wait()
        except TimeoutError:
            self.kill()
            return False
        return True

    async def status(self) -> int:
        await self.ended.wait()
        return self.exit_status


class PaperForkServer:
    """Counts the forks; `broken` it says no, and counts that; not `open` it says nothing."""

    def __init__(self) -> None:
        self.forks: list[tuple[float, str, PaperProcess]] = []
        self.broken = False
        self.refusals = 0
        self.pid = 0
        self.refreshed = 0
        self.open = asyncio.Event()
        self.open.set()

    async def refresh(self) -> None:
        self.refreshed += 1

    async def fork(self, camera: str, _: Path, *, successor: bool = False) -> PaperProcess:
        if self.broken:
            self.refusals += 1
            raise ForkServerError("broken")
        await self.open.wait()
        process = PaperProcess(self.pid)
        process.successor = successor
        self.forks.append((time.monotonic(), camera, process))
        return process

    def of(self, camera: str) -> list[PaperProcess]:
        return [process for _, forked, process in self.forks if forked == camera]


class PaperWorker:
    """A worker's two connections."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._context = zmq.Context()
        self.bus = self._context.socket(zmq.DEALER)
        self.bus.set(zmq.LINGER, 0)
        self.bus.connect(f"ipc://{run_dir / 'bus.sock'}")
        self.hand_offs: socket.socket | None = None

    def close(self) -> None:
        if self.hand_offs is not None:
            self.hand_offs.close()
        self.bus.close()
        self._context.term()

    def connect(self, camera: str = "ipc1") -> socket.socket:
        if self.hand_offs is not None:
            self.hand_offs.close()
        self.hand_offs = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.hand_offs.setblocking(False)
        self.hand_offs.connect(str(self._run_dir / "handoff.sock"))
        self.hand_offs.send(camera.encode())
        return self.hand_offs

    def say(self, message: Message) -> None:
        self.bus.send(encode(message))

    def hello(
        self, camera: str = "ipc1", pid: int = 0, settings: str = "", version: int = WIRE_VERSION, **others: Any
    ) -> None:
        self.say(Hello(version=version, camera=camera, pid=pid or os.getpid(), settings=settings, **others))

    async def hears(self, kind: type[Message], timeout_s: float = 5.0) -> Message:
        """The next message of this type; others are passed over."""
        heard: list[Message] = []

        def look() -> bool:
            while self.bus.poll(0):
                heard.append(decode(self.bus.recv()))
            return any(isinstance(message, kind) for message in heard)

        await until(look, timeout_s)
        return next(message for message in heard if isinstance(message, kind))

    async def is_silent(self, duration_s: float = 0.1) -> bool:
        """For so long: there is no sign of what does not come."""
        await asyncio.sleep(duration_s)
        return not self.bus.poll(0)


def orders(*cameras: str, **others: Any) -> Orders:
    return Orders([CameraSpec(id=camera, name=camera, streams=()) for camera in cameras], [USER], **others)


class Rig:
    def __init__(self, folder: Path, *cameras: str, **others: float) -> None:
        self.folder = folder
        self.forks = PaperForkServer()
        self.lockout = Lockout(user_failures=2)
        self.orders = orders(*cameras, **others)
        self.arbiter = Arbiter(
            folder,
            self.forks,  # type: ignore[arg-type]  # all of a fork server that it needs
            self.orders,
            budget=Budget(Limits()),
            lockout=self.lockout,
            nonce_key=b"n" * 32,
        )
        self.workers: list[PaperWorker] = []

    def worker(self) -> PaperWorker:
        self.workers.append(PaperWorker(self.folder))
        return self.workers[-1]

    async def ready(self, camera: str = "ipc1") -> PaperWorker:
        """A worker that has reported and been configured."""
        await until(lambda: (known := self.arbiter.registry.get(camera)) and known.pid)
        worker = self.worker()
        worker.hello(camera)
        await worker.hears(Configure)
        worker.connect(camera)
        await until(lambda: self.state(camera) == "running")
        return worker

    def state(self, camera: str = "ipc1") -> str:
        worker = self.arbiter.registry.get(camera)
        return worker.state(time.monotonic_ns(), 3_000_000_000) if worker else "unknown"


R = TypeVar("R", bound=Rig)


@contextlib.asynccontextmanager
async def running_as(kind: type[R], folder: Path, *cameras: str, **others: float) -> AsyncIterator[R]:
    rig = kind(folder, *(cameras or ("ipc1",)), **others)
    rig.arbiter.start()
    try:
        yield rig
    finally:
        for _, _, process in rig.forks.forks:
            process.ended.set()
        await rig.arbiter.stop()
        for worker in rig.workers:
            worker.close()


def running(folder: Path, *cameras: str, **others: float) -> contextlib.AbstractAsyncContextManager[Rig]:
    return running_as(Rig, folder, *cameras, **others)


async def forked(rig: Rig, count: int, camera: str = "ipc1") -> list[PaperProcess]:
    await until(lambda: len(rig.forks.of(camera)) >= count)
    return rig.forks.of(camera)
