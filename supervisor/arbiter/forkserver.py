"""The supervisor's end of the fork server (core/wire/forking.py): asks for workers, never blocks on the answer."""

import asyncio
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

import msgspec
from camfleet.core.build import build
from camfleet.core.log import Log
from camfleet.core.wire.forking import MAX_ORDER_SIZE, Exited, Fork, Forked, decode, encode

from ..environment import for_workers
from .process import Process

log = Log("arbiter")

# By name only: the supervisor never imports a worker's code. -P: nor does anybody the working directory's.
COMMAND = [sys.executable, "-P", "-m", "camfleet.workers.forkserver"]
FORK_TIMEOUT_S = 10.0  # the first fork waits for the imports: 0.2 s on an idle machine, seconds on a cold or busy one


class ForkServerError(Exception):
    """No worker could be forked."""


class ForkServer:
    """Started before the supervisor has loaded any secret, and started again when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._build = ""
        self._children: dict[int, Process] = {}
        self._waiting: deque[tuple[str, asyncio.Future[Process]]] = deque()  # the answers come in order

    @property
    def pid(self) -> int:
        """0: it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Run it, unless it runs. Imports go on while the supervisor does other things."""
        if self._orders is not None:
            return
        self._build = build()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=theirs.fileno(),
                env=for_workers(),
                start_new_session=True,
            )
        ours.setblocking(False)
        self._orders = ours
        asyncio.get_running_loop().add_reader(ours, self._on_readable)

    async def refresh(self) -> None:
        """Fork from the code as it is on disk now."""
        if self._orders is not None and self._build != build():
            log.info("fork_server_renewed", reason="the code has changed")
            await self.stop()
            self.start()

    async def fork(self, camera: str, run_dir: Path, *, successor: bool = False) -> Process:
        """A new worker of this camera, or a successor of the one that serves. Raises ForkServerError."""
        self.start()
        assert self._orders is not None
        answer: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
        try:
            self._orders.send(encode(Fork(camera, str(run_dir), successor)), socket.MSG_NOSIGNAL)
        except OSError as error:  # full, or gone and not yet noticed
            raise ForkServerError(f"fork server: {error}") from None
        self._waiting.append((camera, answer))
        try:
            async with asyncio.timeout(FORK_TIMEOUT_S):
                return await answer
        except TimeoutError:
            self._restart("it does not answer")
            raise ForkServerError("the fork server did not answer") from None
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                answer.result().kill()  # forked for a caller that is no longer there
            raise

    async def stop(self) -> None:
        """End it; what it has forked lives on."""
        process = self._process
        self._close()
        if process is not None:
            await _reap(process)

    def _restart(self, reason: str) -> None:
        process = self._process
        log.error("fork_server_lost", pid=self.pid, reason=reason)
        self._close()
        if process is not None:
            process.kill()
            process.wait()

    def _close(self) -> None:
        if self._orders is not None:
            asyncio.get_running_loop().remove_reader(self._orders)
            self._orders.close()
        self._orders = self._process = None
        self._children.clear()
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(ForkServerError("the fork server ended"))

    def _on_readable(self) -> None:
        assert self._orders is not None
        try:
            data, descriptors, _, _ = socket.recv_fds(self._orders, MAX_ORDER_SIZE, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._restart("it has ended")
            return
        try:
            order = decode(data)
        except msgspec.MsgspecError as error:
            self._restart(f"it does not speak our language: {error}")
            return
        if isinstance(order, Forked) and descriptors:
            self._forked(order, descriptors[0])
        elif isinstance(order, Exited):
            process = self._children.pop(order.pid, None)
            if process is not None and not process.exit_status.done():
                process.exit_status.set_result(order.status)

    def _forked(self, order: Forked, pidfd: int) -> None:
        process = self._children[order.pid] = Process(order.pid, pidfd)
        camera, answer = self._waiting.popleft()
        if camera == order.camera and not answer.done():
            answer.set_result(process)
        else:  # nobody waits any more
            process.kill()


async def _reap(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself when its socket is closed; a second is more than it needs."""
    try:
        await asyncio.to_thread(process.wait, 1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
