"""A camera's process from the fork to its end: composition root and life cycle.

    fork -> own session, no core dump -> RUN/<camera>.lock -> bus: Hello ... Configure -> serve -> goodbye -> exit

A successor says Hello and is configured without the lock, and gets it from the one that serves (succession/).

The main thread runs asyncio and only ever sees RTSP text; media is made by the pipelines' threads and sent by the
fan-out thread, and nothing there waits for this one.
"""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from pathlib import Path

from camfleet.core import log as logs
from camfleet.core.build import build
from camfleet.core.memory import LARGE_SIZE, give_back
from camfleet.core.tls.aead import gcm_library
from camfleet.core.wire import WIRE_VERSION, HandoffRecord, control

from . import lock
from .adopt import Adopter, Handoff, HandoffSocket
from .bus import Bus
from .camera import LiveCamera
from .encoders import probing
from .succession import Predecessor, SuccessionError, Successor

log = logs.Log("worker")

BUILD = build()  # when the fork server has loaded it
TICK_S = 1.0
# Without a Configure for this long there is nothing to serve; the next supervisor starts us again.
BOOT_TIMEOUT_NS = 10_000_000_000
STOP_DEADLINE_S = 2.0
# A predecessor stays for what the supervisor has still sent to it, and a dead supervisor sends no Stop.
LEAVE_TIMEOUT_S = 5.0


def main(camera: str, run_dir: str, successor_by: int | None = None) -> None:
    """The whole life of a forked worker; never returns. Exit codes: core.wire.control. `successor_by`: the process that
    has forked us as a successor, and ends with its supervisor."""
    _leave_the_parent()
    logs.tag(camera=camera)
    probing.keep_in(Path(run_dir))
    try:
        code = asyncio.run(_serve(camera, Path(run_dir), successor_by))
    except Exception:  # a crash; the supervisor sees the code
        log.exception("crashed")
        code = 1
    # Without the interpreter's own end: it would touch, and so copy, every page shared with the fork server.
    os._exit(code)


async def _serve(camera: str, run_dir: Path, successor_by: int | None) -> int:
    descriptor = lock.take(run_dir / f"{camera}.lock")
    if descriptor is None and successor_by is None:
        log.error("locked", reason="another worker of this camera is running")
        return control.EXIT_LOCKED
    successor = Successor(camera, run_dir, successor_by) if descriptor is None and successor_by is not None else None
    return await Worker(camera, run_dir, descriptor, successor).serve()


def _leave_the_parent() -> None:
    """Keep nothing of the terminal and of the descriptors that only the fork server needs. What else it has prepared is
    meant for us: no core dump, not dumpable, deaf to Ctrl-C and SIGHUP.

    Random state needs no care: the standard library and libcrypto reseed after a fork, the engine asks the kernel.
    """
    os.setsid()
    os.closerange(3, 1 + max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()))


class Worker:
    """Between the supervisor's orders and the camera."""

    def __init__(
        self,
        camera_id: str,
        run_dir: Path,
        lock_descriptor: int | None,
        successor: Successor | None = None,
        tick_s: float = TICK_S,
    ) -> None:
        """With the lock, or as a successor that gets it."""
        self._camera_id = camera_id
        self._run_dir = run_dir
        self._lock = lock_descriptor
        self._successor = successor
        self._predecessor: Predecessor | None = None
        self._camera: LiveCamera | None = None
        self._began_ns = time.monotonic_ns()
        self._orphan_timeout_ns = BOOT_TIMEOUT_NS
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[tuple[int, float]] = self._loop.create_future()
        # Not the loop's add_signal_handler, which asks for all signals that there are: 0.2 MB of pages to copy.
        signal.signal(signal.SIGTERM, lambda *_: self._loop.call_soon_threadsafe(self._stop, 0, "SIGTERM"))
        self._adopter = Adopter(joined=self._adopt, known=self._knows, news=self._news)
        self._bus = Bus(run_dir / "bus.sock", hello=self._hello, received=self.obey)
        self._handoff = HandoffSocket(
            run_dir / "handoff.sock", camera_id, arrived=self._record, news=self._bus.send, lost=self._lost
        )
        self._tick_s = tick_s
        self._timer = self._loop.call_later(tick_s, self._tick)
        self._errands: set[asyncio.Task[None]] = set()
        if self._successor is not None:
            self._run(self._succeed(self._successor))

    async def serve(self) -> int:
        """Until the end; returns the exit code."""
        code, deadline_s = await self._end
        self._timer.cancel()
        for errand in self._errands:
            errand.cancel()
        for relative in (self._predecessor, self._successor):
            if relative is not None:
                relative.close()
        self._adopter.close()
        if self._camera is not None:
            await self._camera.close(deadline_s)
        self._handoff.close()
        self._bus.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return code

    # ---------------------------------------------------------------- orders

    def obey(self, message: control.Message) -> None:
        now_ns = time.monotonic_ns()
        match message:
            case control.Configure():
                self._configure(message)
            case control.Adopt() if self._camera is not None:
                self._adopter.order(message, now_ns)
            case control.Adopt():
                self._news(control.Refused(handoff=message.connection.handoff, reason="not configured yet"))
            case control.Ping():
                self._news(control.Pong(id=message.id, settings=self._settings()))
            case control.StatsRequest() if self._camera is not None:
                stats = self._camera.registry.stats(message.id, now_ns)
                self._news(stats)
                if len(stats.readers) >= LARGE_SIZE:
                    give_back()
            case control.LockedOut() if self._camera is not None:
                self._camera.registry.lockout.lock(message.address, message.user, message.seconds, now_ns)
            case control.MakeWay():
                self._run(self._make_way(message.successor))
            case control.Stop():
                self._stop(0, "stop ordered", message.deadline_s)
            case _:
                log.warning("order_ignored", order=type(message).__name__)

    def _configure(self, order: control.Configure) -> None:
        if order.version != WIRE_VERSION or order.camera.id != self._camera_id:
            log.error("order_ignored", order="Configure", version=order.version, of=order.camera.id)
            return
        self._orphan_timeout_ns = int(order.orphan_timeout_s * 1e9)
        if self._camera is not None:
            self._camera.configure(order)
            log.info("configured", settings=self._settings())
            return
        try:
            self._camera = LiveCamera(
                order,
                news=self._news,
                hand_back=self._hand_back,
                failed=lambda reason: self._stop(1, reason),
                held=self._lock is None,
            )
        except Exception:  # whatever it is, the same settings will not do better a moment later
            log.exception("boot_failed")
            self._stop(control.EXIT_BOOT_FAILED, "the camera cannot be built")
            return
        if self._successor is not None:
            self._successor.configured.set_result(self._camera)
        log.info("serving", pid=os.getpid(), streams=len(order.camera.streams), aes_gcm=gcm_library())

    def _stop(self, code: int, reason: str, deadline_s: float = STOP_DEADLINE_S) -> None:
        if not self._end.done():
            log.info("stopping", reason=reason)
            self._end.set_result((code, deadline_s))

    # ---------------------------------------------------------------- news

    def _news(self, message: control.Message) -> bool:
        return self._bus.send(message)

    def _hello(self) -> control.Hello:
        camera = self._camera
        return control.Hello(
            version=WIRE_VERSION,
            camera=self._camera_id,
            pid=os.getpid(),
            settings=self._settings(),
            serving=self._lock is not None,
            build=BUILD,
            connections=self._connections(camera) if camera else [],
        )

    def _connections(self, camera: LiveCamera) -> list[control.Connection]:
        moving = self._predecessor.connections() if self._predecessor else []
        return [*camera.registry.connections(), *self._handoff.connections(), *moving]

    def _settings(self) -> str:
        return self._camera.registry.settings if self._camera is not None else ""

    # ---------------------------------------------------------------- succession

    async def _succeed(self, successor: Successor) -> None:
        """Become the one that serves, or leave."""
        try:
            self._lock = await successor.run()
        except SuccessionError as error:
            log.warning("not_needed", reason=str(error))
            self._news(control.SuccessionFailed(reason=str(error)))
            self._stop(0, "no succession")
            return
        self._bus.say_hello(time.monotonic_ns())
        async for handoff in successor.latecomers():
            self._adopt(handoff)

    async def _make_way(self, successor: int) -> None:
        """Hand the camera over, or go on."""
        if self._camera is None or self._lock is None or self._predecessor is not None:
            self._news(control.SuccessionFailed(reason="it has nothing to hand over, or is just doing so"))
            return
        self._predecessor = Predecessor(self._camera_id, self._camera, self._lock)
        try:
            await self._predecessor.run(self._run_dir, successor)
        except SuccessionError as error:
            self._predecessor = None
            log.warning("goes_on", reason=str(error))
            self._news(control.SuccessionFailed(reason=str(error)))
            return
        self._lock = None
        self._loop.call_later(LEAVE_TIMEOUT_S, self._stop, 0, "succeeded")
        await self._predecessor.forward(self._refuse)

    def _refuse(self, connection: control.Connection, reason: str) -> None:
        self._news(control.Refused(handoff=connection.handoff, reason=reason))

    def _run(self, errand: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(self._guarded(errand))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _guarded(self, errand: Coroutine[None, None, None]) -> None:
        """A mistake of ours that leaves the camera in nobody's hands is a crash: the supervisor starts it again."""
        try:
            await errand
        except Exception:
            log.exception("succession_failed")
            self._stop(1, "succession failed")

    # ---------------------------------------------------------------- connections

    def _knows(self, handoff: int) -> bool:
        return self._camera is not None and self._camera.registry.knows(handoff)

    def _record(self, record: HandoffRecord, descriptor: int) -> None:
        self._adopter.record(record, descriptor, time.monotonic_ns())

    def _adopt(self, handoff: Handoff) -> None:
        if self._predecessor is not None and self._predecessor.holding:
            self._predecessor.take(handoff)
        elif self._camera is not None:
            self._camera.registry.adopt(handoff, time.monotonic_ns())

    def _hand_back(self, message: control.HandBack, record: HandoffRecord, descriptor: int) -> None:
        self._handoff.hand_back(message, record, descriptor, time.monotonic_ns())

    def _lost(self, handoff: int, reason: str) -> None:
        log.warning("hand_back_lost", handoff=handoff, reason=reason)
        self._news(control.Ended(handoff=handoff, reason=reason))

    # ---------------------------------------------------------------- time

    def _tick(self) -> None:
        """The worker's only timer. Deadlines of clients are seconds long and may be met a second late."""
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        now_ns = time.monotonic_ns()
        self._bus.tick(now_ns)
        self._adopter.tick(now_ns)
        self._handoff.tick(now_ns)
        if self._camera is not None:
            self._camera.tick(now_ns)
        if now_ns - self._bus.last_heard_ns > self._orphan_timeout_ns:
            code = 0 if self._camera is not None else control.EXIT_BOOT_FAILED
            self._stop(code, "no supervisor")
