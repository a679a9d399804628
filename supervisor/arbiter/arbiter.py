"""The life of the workers: one task for each camera keeps one process alive for it, whatever happens.

    _keep      find a worker of an earlier supervisor, or fork one; wait for its end; pause; again
    _received  news from the bus: Hello makes a process the camera's worker, all else is believed only from such a one
    _tick      every second: Ping, and the end of those who have been silent for too long
    apply      another configuration: start, stop, tell
    replace    a fresh process for a camera, beside the one that serves until it takes over (succession.py)

Two workers never serve one camera: who serves holds RUN/<camera>.lock. A lock that is held names the process to adopt;
the kernel's word (pidfd) is the only one about its end.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

from camfleet.core.build import build
from camfleet.core.log import Log
from camfleet.core.memory import LARGE_SIZE, give_back
from camfleet.core.rtsp import Lockout
from camfleet.core.wire import CameraSpec
from camfleet.core.wire.control import (
    EXIT_BOOT_FAILED,
    WIRE_VERSION,
    Configure,
    Hello,
    LockedOut,
    LoginFailed,
    Message,
    Ping,
    Pong,
    ReplaceRequest,
    Stats,
    StatsRequest,
    Status,
    StatusRequest,
    Stop,
    SuccessionFailed,
)
from camfleet.supervisor.listen import Budget

from .affinity import Affinity
from .backoff import Backoff
from .bus import Bus, Peer
from .channel import HandoffChannel, HandoffListener
from .forkserver import ForkServer, ForkServerError
from .handoff import Handoffs
from .lock import camera_locks, find_worker
from .orders import Orders
from .process import Process, describe
from .registry import Registry, Worker
from .succession import Successions

log = Log("arbiter")

PING_INTERVAL_S = 1.0
ADOPTION_TIMEOUT_S = 2.0  # a worker that lives reconnects within 100 ms
START_TIMEOUT_S = 10.0
# Readers get their goodbye within the first; what is left is killed so that all is over within two seconds.
STOP_DEADLINE_S = 1.0
STOP_GRACE_S = 0.2
STATS_TIMEOUT_S = 1.0


class Arbiter:
    """Made on the event loop, after the fork server has been started."""

    def __init__(
        self,
        run_dir: Path,
        forkserver: ForkServer,
        orders: Orders,
        *,
        budget: Budget,
        lockout: Lockout,
        nonce_key: bytes,
    ) -> None:
        self.registry = Registry()
        self.report: Callable[[], Awaitable[bytes]] | None = None  # answers `camfleet status`
        self._run_dir = run_dir
        self._forkserver = forkserver
        self._orders = orders
        self._lockout = lockout
        self._nonce_key = nonce_key
        self._bus = Bus(run_dir, self._received)
        self._listener = HandoffListener(run_dir, self._introduced)
        self.handoffs = Handoffs(self._bus, budget)
        self.successions = Successions(
            run_dir,
            forkserver,
            self._bus,
            self.registry,
            self.handoffs,
            attach=lambda worker, process: self._attach(worker, process, START_TIMEOUT_S),
            lose=self._lose,
        )
        self._affinity = Affinity(self.registry)
        self._build = build()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._counter = 0  # of pings and requests for statistics
        self._stats: dict[tuple[str, int], asyncio.Future[Stats]] = {}

    # ------------------------------------------------------------ doors

    def start(self) -> None:
        """Begin to keep the cameras; workers of cameras that nobody wants any more are sent home."""
        self._affinity.order(self._orders.cores, self._orders.spread)
        for spec in self._orders.cameras:
            self._begin(Worker(self._settings(spec)))
        for camera, path in camera_locks(self._run_dir).items():
            if self.registry.get(camera) is None and (process := find_worker(path)) is not None:
                self._run(self._dismiss(camera, process))
        self._run(self._tick())

    async def settled(self, timeout_s: float) -> None:
        """Until every camera has a worker that is ready, or until the time is over."""
        waits = [asyncio.create_task(worker.ready.wait()) for worker in self.registry if worker.wanted]
        if waits:
            _, late = await asyncio.wait(waits, timeout=timeout_s)
            for wait in late:
                wait.cancel()

    async def apply(self, orders: Orders) -> None:
        """Make the running state that of `orders`; cameras whose settings are the same are not touched."""
        self._orders = orders
        wanted = {spec.id for spec in orders.cameras}
        removals = [self._remove(worker) for worker in self.registry if worker.wanted and worker.camera not in wanted]
        for spec in orders.cameras:
            known, settings = self.registry.get(spec.id), self._settings(spec)
            if known is None or not known.wanted:
                self._begin(Worker(settings))
            elif known.take(settings):
                self._configure(known)
        self._affinity.order(orders.cores, orders.spread)
        await asyncio.gather(*removals)

    async def stop(self) -> None:
        """End all workers, within two seconds, by force where necessary."""
        for task in (*self._keepers.values(), *self._errands):
            task.cancel()
        await asyncio.gather(*self._keepers.values(), *self._errands, return_exceptions=True)
        await asyncio.gather(*(self._end(worker) for worker in self.registry))
        self.handoffs.close()
        self._listener.close()
        self._bus.close()

    async def stats(self) -> dict[str, Stats]:
        """Fresh statistics by camera; a worker that does not answer in time is missing."""
        self._counter += 1
        asked = {}
        for worker in self.registry:
            if worker.peer is not None and self._bus.send(worker.peer, StatsRequest(id=self._counter)):
                answer: asyncio.Future[Stats] = asyncio.get_running_loop().create_future()
                asked[worker.camera] = self._stats[worker.camera, self._counter] = answer
        number = self._counter
        if asked:
            await asyncio.wait(asked.values(), timeout=STATS_TIMEOUT_S)
        for camera in asked:
            self._stats.pop((camera, number), None)
        return {camera: answer.result() for camera, answer in asked.items() if answer.done()}

    def spread_lockout(self, address: str, user: str) -> None:
        """After a failed login has been counted: when it was one too many, tell all workers."""
        now_ns = time.monotonic_ns()
        for locked in ("", user):  # the whole address, or this user from there
            if self._lockout.is_locked(address, locked, now_ns):
                log.warning("locked_out", address=address, user=locked, seconds=self._orders.lockout_s)
                self._broadcast(LockedOut(address=address, user=locked, seconds=self._orders.lockout_s))
                return

    # ------------------------------------------------------------ one camera

    def _begin(self, worker: Worker) -> None:
        self.registry.add(worker)
        self._keepers[worker.camera] = asyncio.create_task(self._keep(worker), name=f"keep {worker.camera}")
        self._keepers[worker.camera].add_done_callback(_report_failure)

    async def _keep(self, worker: Worker) -> None:
        backoff = Backoff()
        while True:
            worker.changed.clear()
            found = find_worker(self._run_dir / f"{worker.camera}.lock")
            try:
                process = found or await self._forkserver.fork(worker.camera, self._run_dir)
            except ForkServerError as error:
                pause_s = backoff.pause_s(0.0)
                log.error("no_worker", camera=worker.camera, reason=str(error), again_in_s=pause_s)
                await asyncio.sleep(pause_s)
                continue
            log.info("worker_found" if found else "worker_started", camera=worker.camera, pid=process.pid)
            self._attach(worker, process, ADOPTION_TIMEOUT_S if found else START_TIMEOUT_S, found=found is not None)
            process = await self._end_of(worker, process)
            replaced = worker.stopping
            lived_s = (time.monotonic_ns() - worker.attached_ns) / 1e9
            self._lose(worker)
            worker.restarts += 1
            if replaced:
                continue
            status = await process.status()
            pause_s = backoff.pause_s(lived_s, boot_failed=status == EXIT_BOOT_FAILED)
            log.warning(
                "worker_ended", camera=worker.camera, pid=process.pid, reason=describe(status), again_in_s=pause_s
            )
            if await _changed_within(worker, pause_s):
                backoff = Backoff()

    async def _end_of(self, worker: Worker, process: Process) -> Process:
        """The one that has served the camera last, when it has ended."""
        while True:
            await process.ended.wait()
            if worker.process is process and not await self.successions.inherited(worker):
                return process
            process = worker.process or process

    def _attach(self, worker: Worker, process: Process, timeout_s: float, *, found: bool = False) -> None:
        """From now on this process may say that it is the worker, for so long."""
        worker.attach(process, found=found)
        self._affinity.settle(worker)
        asyncio.get_running_loop().call_later(timeout_s, self._kill_if_mute, worker, process)
        if worker.early_hello is not None:
            self._hello(*worker.early_hello)

    def _kill_if_mute(self, worker: Worker, process: Process) -> None:
        if worker.process is process and not worker.ready.is_set() and not worker.stopping:
            log.warning("worker_does_not_report", camera=worker.camera, pid=process.pid)
            process.kill()

    def _lose(self, worker: Worker) -> None:
        pid = worker.pid
        self.registry.introduce(worker, None)
        worker.detach()
        self.handoffs.lost(worker.camera, pid)

    async def _end(self, worker: Worker) -> None:
        """An orderly end in time, or an end."""
        process = worker.process
        if process is None:
            return
        self._tell_stop(worker)
        if worker.peer is None:
            process.kill()
        if not await process.end_within(STOP_DEADLINE_S + STOP_GRACE_S):
            log.warning("worker_killed", camera=worker.camera, pid=process.pid, reason="it did not stop in time")
        if worker.process is process:  # its keeper, if it still has one, may have been faster
            self._lose(worker)

    def _tell_stop(self, worker: Worker) -> None:
        worker.stopping = True
        worker.update()
        if worker.peer is not None:
            self._bus.send(worker.peer, Stop(deadline_s=STOP_DEADLINE_S))

    async def _remove(self, worker: Worker) -> None:
        keeper = self._keepers.pop(worker.camera)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        worker.wanted = False
        log.info("camera_removed", camera=worker.camera)
        await self.successions.abandon(worker)
        await self._end(worker)
        self.registry.remove(worker)

    async def _dismiss(self, camera: str, process: Process) -> None:
        """A worker of an earlier supervisor whose camera is no longer configured: goodbye at its Hello, or the end."""
        worker = Worker(self._settings(CameraSpec(id=camera, name="", streams=())), wanted=False)
        log.info("camera_no_longer_configured", camera=camera, pid=process.pid)
        self.registry.add(worker)
        worker.attach(process)
        worker.stopping = True
        await process.end_within(ADOPTION_TIMEOUT_S + STOP_DEADLINE_S + STOP_GRACE_S)
        self.registry.remove(worker)

    # ------------------------------------------------------------ what workers say

    def _introduced(self, channel: HandoffChannel) -> bool:
        camera = self.registry.get(channel.camera)
        worker = camera.of_pid(channel.pid) if camera is not None else None
        if camera is None or worker is None:
            return False  # a worker of ours that is too early tries again in 100 ms
        if worker.channel is not None:
            worker.channel.close()
        worker.channel = channel
        channel.received = functools.partial(self.handoffs.record, camera)
        channel.closed = functools.partial(_channel_closed, camera, channel)
        worker.update()
        return True

    def _received(self, peer: Peer, message: Message) -> None:
        if isinstance(message, StatusRequest):
            self._run(self._answer_status(peer))
            return
        if isinstance(message, ReplaceRequest):
            self._run(self._answer_replace(peer, message))
            return
        if isinstance(message, Hello):
            self._hello(peer, message)
            return
        worker = self.registry.by_peer(peer)
        if worker is None:
            self._bus.drop(peer, f"{type(message).__name__} of one who is no worker")
            return
        worker.last_heard_ns = time.monotonic_ns()
        match message:
            case Pong():
                if message.id > worker.told and message.settings != worker.digest:
                    log.warning("settings_repeated", camera=worker.camera)
                    self._configure(worker)
            case Stats():
                answer = self._stats.get((message.camera, message.id))
                if message.camera == worker.camera and answer is not None and not answer.done():
                    answer.set_result(message)
            case LoginFailed():
                self._lockout.failed(message.address, message.user, time.monotonic_ns())
                self.spread_lockout(message.address, message.user)
            case SuccessionFailed():
                self.successions.failed(worker, message.reason)
            case _:
                if not self.handoffs.news(worker, message):
                    self._bus.drop(peer, f"{type(message).__name__} of a connection that {worker.camera} does not hold")

    def _hello(self, peer: Peer, hello: Hello) -> None:
        camera = self.registry.get(hello.camera)
        worker = camera.of_pid(hello.pid) if camera is not None else None
        if camera is None or worker is None:
            self._hello_of_stranger(camera, peer, hello)
            return
        self.registry.introduce(worker, peer)
        worker.last_heard_ns = time.monotonic_ns()
        if worker is camera.beside and hello.serving and hello.version == WIRE_VERSION:
            self.successions.take_over(camera, len(hello.connections))
            worker = camera
        if worker is camera.beside:
            self.successions.hello(camera, hello)
            worker.update()
            return
        self.handoffs.restore(worker, hello.connections)
        if hello.version != WIRE_VERSION:
            if not worker.stopping:
                log.error("worker_of_another_version", camera=worker.camera, pid=hello.pid, version=hello.version)
                worker.stopping = True  # nothing is handed over to it
                self._run(self.successions.renew(worker, hello.version))
            return
        if worker.stopping:
            self._tell_stop(worker)
            return
        if worker.found and hello.build != self._build:
            worker.found = False
            log.info("worker_of_another_build", camera=worker.camera, pid=hello.pid)
            self._run(self.successions.renew(worker, hello.version))
        if hello.settings != worker.digest:
            self._configure(worker)
        worker.update()

    def _hello_of_stranger(self, camera: Worker | None, peer: Peer, hello: Hello) -> None:
        """Of one that the fork server has not told us of yet, or of nobody."""
        waiting = [each for each in (camera, camera and camera.beside) if each is not None and each.process is None]
        if waiting:
            waiting[0].early_hello = peer, hello
        else:
            self._bus.drop(peer, f"Hello of process {hello.pid} for {hello.camera!r}, which is not its worker")

    def _settings(self, camera: CameraSpec) -> Configure:
        return Configure(
            version=WIRE_VERSION,
            camera=camera,
            users=list(self._orders.users),
            nonce_key=self._nonce_key,
            orphan_timeout_s=self._orders.orphan_timeout_s,
        )

    def _configure(self, worker: Worker) -> None:
        """What is lost on the way the next Pong brings to light; who is not there yet says Hello first."""
        worker.told = self._counter
        if worker.peer is not None and not worker.stopping:
            self._bus.send(worker.peer, worker.settings)

    def _broadcast(self, message: Message) -> None:
        for worker in self.registry:
            if worker.peer is not None:
                self._bus.send(worker.peer, message)

    async def _answer_status(self, peer: Peer) -> None:
        """Of any version: what is asked for is JSON that every version reads."""
        if self.report is None:
            self._bus.drop(peer, "StatusRequest before there is a report")
            return
        text = await self.report()
        self._bus.send(peer, Status(json=text))
        if len(text) >= LARGE_SIZE:
            give_back()

    async def _answer_replace(self, peer: Peer, request: ReplaceRequest) -> None:
        if request.version != WIRE_VERSION:
            self._bus.drop(peer, f"ReplaceRequest of version {request.version}")
        else:
            self._bus.send(peer, await self.successions.answer(request.camera))

    # ------------------------------------------------------------ time

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL_S)
            self._counter += 1
            self._broadcast(Ping(id=self._counter))
            silent_since_ns = time.monotonic_ns() - int(self._orders.silence_timeout_s * 1e9)
            for worker in self.registry:
                if worker.process is not None and worker.peer is not None and worker.last_heard_ns < silent_since_ns:
                    log.error("worker_is_silent", camera=worker.camera, pid=worker.pid)
                    worker.process.kill()
            self._affinity.look(time.monotonic_ns())

    def _run(self, errand: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        task.add_done_callback(_report_failure)


def _channel_closed(camera: Worker, channel: HandoffChannel) -> None:
    for worker in (camera, camera.beside):
        if worker is not None and worker.channel is channel:
            worker.channel = None
            worker.update()


async def _changed_within(worker: Worker, pause_s: float) -> bool:
    """Whether there are other settings, before the pause is over."""
    try:
        async with asyncio.timeout(pause_s):
            await worker.changed.wait()
    except TimeoutError:
        return False
    return True


def _report_failure(task: asyncio.Task[None]) -> None:
    """A mistake of ours must not pass in silence: nobody awaits these tasks before the end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "a task of the arbiter failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
