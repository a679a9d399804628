"""The worker that takes over: it gets ready beside the one that serves, and takes the camera from its hand.

Whoever has RUN/<camera>.lock serves. We get it with the commit; or from the kernel when the predecessor has died, and
then we go on with what it has sent, or like after a crash. Without it we leave as if we had never been.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from camfleet.core.log import Log
from camfleet.core.tls import Session
from camfleet.core.wire import HandoffRecord
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.core.wire.succession import (
    SUCCESSION_VERSION,
    Checked,
    Commit,
    Complete,
    Introduction,
    Latecomer,
    MovingClient,
    Numbers,
    Part,
    Prepared,
    Unfit,
    socket_name,
)
from camfleet.workers import lock
from camfleet.workers.adopt import Handoff
from camfleet.workers.camera import LiveCamera
from camfleet.workers.encoders import EncoderError
from camfleet.workers.feed import encodes
from camfleet.workers.pipeline import FAILED, RUNNING, STANDBY
from camfleet.workers.session import LiveStream
from camfleet.workers.sources import SourceError

from .errors import GoneError, SuccessionError
from .lane import Lane, peer_pid

log = Log("succession")

# From the start to the lock.
TIMEOUT_S = 15.0
# For the first pictures: the predecessor shows its own meanwhile, and gives up after PREPARE_TIMEOUT_S.
PICTURE_TIMEOUT_S = 8.0
# The kernel lets go of a dead process's locks after its sockets.
ORPHAN_TIMEOUT_S = 1.0
POLL_INTERVAL_S = 0.05
FAREWELL_TIMEOUT_S = 0.2


class Successor:
    """Made before the first Hello: when the supervisor hears of us, the predecessor can already come."""

    def __init__(self, camera_id: str, run_dir: Path, parent: int) -> None:
        """`parent`: our own as long as there is a supervisor who can tell the predecessor to make way."""
        self._camera_id = camera_id
        self._parent = parent
        self._lock_path = run_dir / f"{camera_id}.lock"
        self._path = run_dir / socket_name(os.getpid())
        self._loop = asyncio.get_running_loop()
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        self._listener.bind(str(self._path))
        self._listener.listen(1)
        self._lane: Lane | None = None
        self._numbers: Numbers | None = None
        self._clients: list[tuple[MovingClient, int]] = []
        self._warm: list[LiveStream] = []  # run already
        self._cold: list[LiveStream] = []  # begin when they go on
        self.configured: asyncio.Future[LiveCamera] = self._loop.create_future()

    async def run(self) -> int:
        """Until the camera is ours: goes on with everything and returns the lock. Raises SuccessionError."""
        inheriting = asyncio.create_task(self._inherit())
        orphaned = asyncio.create_task(self._watch_lock())
        try:
            lock_descriptor = await self._first_of(inheriting, orphaned)
        except BaseException as error:
            await self._give_up(error)
            raise
        finally:
            for task in (inheriting, orphaned):
                task.cancel()
            await asyncio.gather(inheriting, orphaned, return_exceptions=True)
            self._path.unlink(missing_ok=True)
            self._listener.close()
        lock.sign(lock_descriptor)
        self._take_over(await self.configured)
        return lock_descriptor

    async def latecomers(self) -> AsyncIterator[Handoff]:
        """What the predecessor still gets from the supervisor, until it has gone."""
        if self._lane is None:
            return
        with contextlib.suppress(SuccessionError):
            while True:
                datagram, descriptor = await self._lane.receive()
                if isinstance(datagram, Latecomer) and descriptor is not None:
                    handoff = datagram.connection.handoff
                    record = HandoffRecord(HANDOFF_VERSION, handoff, datagram.session, datagram.unread)
                    yield Handoff(datagram.connection, datagram.received, record, descriptor)
                elif descriptor is not None:
                    os.close(descriptor)

    def close(self) -> None:
        """Nothing more comes from the predecessor."""
        if self._lane is not None:
            self._lane.close()
            self._lane = None

    # ---------------------------------------------------------------- who has the lock

    async def _first_of(self, inheriting: "asyncio.Task[int]", orphaned: "asyncio.Task[int]") -> int:
        _, pending = await asyncio.wait((inheriting, orphaned), timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if len(pending) == 2:
            raise SuccessionError(f"nobody has handed over within {TIMEOUT_S:g} s")
        if not inheriting.done() and orphaned.exception() is not None:
            return orphaned.result()
        if inheriting.done() and inheriting.exception() is None:
            return inheriting.result()
        if not orphaned.done() and isinstance(inheriting.exception(), GoneError):  # has it given up, or died?
            await asyncio.wait((orphaned,), timeout=ORPHAN_TIMEOUT_S)
        if not orphaned.done():
            return inheriting.result()
        log.warning("predecessor_died", clients=len(self._clients))
        if self._numbers is not None:  # what it has sent can still be read
            await asyncio.wait((inheriting,), timeout=ORPHAN_TIMEOUT_S)
        return orphaned.result()

    async def _watch_lock(self) -> int:
        """The kernel tells nobody when a lock is free."""
        while True:
            descriptor = lock.take(self._lock_path)
            if descriptor is not None:
                return descriptor
            if os.getppid() != self._parent and self._lane is None:
                raise SuccessionError("the supervisor has gone")
            await asyncio.sleep(POLL_INTERVAL_S)

    # ---------------------------------------------------------------- from the predecessor

    async def _inherit(self) -> int:
        """The lock, when everything is there."""
        sock, _ = await self._loop.sock_accept(self._listener)
        self._lane = lane = Lane(sock)
        if not peer_pid(sock):
            raise SuccessionError("a stranger wants to hand over")
        introduction = await lane.expect(Introduction)
        if (introduction.version, introduction.camera) != (SUCCESSION_VERSION, self._camera_id):
            raise SuccessionError(f"the predecessor speaks version {introduction.version} of {introduction.camera!r}")
        await self._prepare(introduction)
        await lane.send(Prepared())
        self._numbers = await lane.expect(Numbers)
        await self._receive_clients(lane)
        await lane.send(Checked())
        datagram, descriptor = await lane.receive()
        if not isinstance(datagram, Commit) or descriptor is None:
            raise SuccessionError(f"the predecessor says {type(datagram).__name__} and not Commit")
        return descriptor

    async def _prepare(self, introduction: Introduction) -> None:
        """Start what is watched."""
        camera = await asyncio.shield(self.configured)
        for stream in filter(None, map(camera.named, introduction.watched)):
            if encodes(stream.spec) and not stream.spec.source.is_exclusive:
                stream.pipeline.want()
                self._warm.append(stream)
            else:
                self._cold.append(stream)
        # A film has its key frames where they are, so it begins anew when it goes on; so does an upstream, with the
        # newest key frame that it has had by then.
        rehearsed = (stream for stream in self._cold if not stream.spec.source.is_exclusive)
        await asyncio.gather(*(asyncio.to_thread(_rehearse, stream) for stream in rehearsed))
        try:
            async with asyncio.timeout(PICTURE_TIMEOUT_S):
                while missing := [stream for stream in self._warm if stream.pipeline.state != RUNNING]:
                    for stream in missing:
                        if stream.pipeline.state.startswith((FAILED, STANDBY)) and not stream.pipeline.has_source:
                            raise _without_picture(stream)
                    await camera.stream_change()
        except TimeoutError:
            raise _without_picture(missing[0]) from None

    async def _receive_clients(self, lane: Lane) -> None:
        unsent: dict[int, bytes] = {}
        received: dict[int, bytes] = {}
        while True:
            datagram, descriptor = await lane.receive()
            if isinstance(datagram, MovingClient) and descriptor is not None:
                self._clients.append((_joined(datagram, unsent, received), descriptor))
                _check(datagram)
                continue
            if descriptor is not None:
                os.close(descriptor)
            match datagram:
                case Part(handoff=handoff):
                    unsent[handoff] = unsent.get(handoff, b"") + datagram.unsent
                    received[handoff] = received.get(handoff, b"") + datagram.received
                case Complete(clients=clients) if clients == len(self._clients):
                    return
                case _:
                    raise SuccessionError(f"{type(datagram).__name__} does not fit after {len(self._clients)} clients")

    # ---------------------------------------------------------------- the end

    def _take_over(self, camera: LiveCamera) -> None:
        numbers = self._numbers
        streams = numbers.streams if numbers is not None else {}
        camera.go_on(streams)
        for stream in self._cold:
            stream.pipeline.want()
        sequences = {name: each.sequence for name, each in streams.items()}
        now_ns = time.monotonic_ns()
        for client, descriptor in self._clients:
            camera.registry.resume(client, descriptor, sequences, now_ns)
        for stream in (*self._warm, *self._cold):
            stream.pipeline.unwant()  # those who watch want it by now, and it lingers
        held_ms = round((time.monotonic_ns() - numbers.held_ns) / 1e6, 1) if numbers is not None else None
        log.info("took_over", clients=len(self._clients), held_ms=held_ms)
        self._clients.clear()

    async def _give_up(self, error: BaseException) -> None:
        """Every client is still the predecessor's."""
        if self._lane is not None and not isinstance(error, GoneError):
            with contextlib.suppress(SuccessionError, TimeoutError):
                async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                    await self._lane.send(Unfit(reason=str(error)))
        for _, descriptor in self._clients:
            os.close(descriptor)
        self._clients.clear()
        self.close()


def _joined(client: MovingClient, unsent: dict[int, bytes], received: dict[int, bytes]) -> MovingClient:
    """With what came in Parts."""
    handoff = client.connection.handoff
    if handoff not in unsent:
        return client
    rtsp = msgspec.structs.replace(client.rtsp, received=received.pop(handoff) + client.rtsp.received)
    return msgspec.structs.replace(client, unsent=unsent.pop(handoff) + client.unsent, rtsp=rtsp)


def _without_picture(stream: LiveStream) -> SuccessionError:
    reason = stream.pipeline.state.removeprefix(FAILED).removeprefix(STANDBY)
    return SuccessionError(f"{stream.name}: {reason}")


def _rehearse(stream: LiveStream) -> None:
    try:
        stream.pipeline.rehearse()
    except (SourceError, EncoderError) as error:
        raise SuccessionError(f"{stream.spec.id}: {error}") from None


def _check(client: MovingClient) -> None:
    """While the predecessor can still go on."""
    if client.session:
        try:
            Session.from_export(client.session, time.monotonic_ns()).wipe()
        except ValueError as error:
            raise SuccessionError(f"a TLS session of the predecessor cannot be read: {error}") from None
