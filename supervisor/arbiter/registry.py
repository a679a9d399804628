"""Who works for which camera. The arbiter writes it; router and status read it."""

import asyncio
import time
from collections.abc import Iterator

from camfleet.core.wire import CameraSpec

from .bus import Peer
from .channel import HandoffChannel
from .process import Process


class Worker:
    """One camera and the process that serves it, through all its restarts.

    state      process  peer  channel
    waiting    -        -     -          between two processes: back-off, or looking for a worker of an earlier supervisor
    starting   yes      ?     ?          forked or found; not yet heard on both ways
    running    yes      yes   yes        takes hand-overs
    stopping   yes      ?     ?          told to stop; it is not asked for anything more
    """

    def __init__(self, spec: CameraSpec) -> None:
        self.spec = spec
        self.process: Process | None = None
        self.peer: Peer | None = None
        self.channel: HandoffChannel | None = None
        self.stopping = False
        self.restarts = 0
        self.started_ns = 0
        self.last_heard_ns = 0
        self.ready = asyncio.Event()

    @property
    def camera(self) -> str:
        return self.spec.id

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    @property
    def state(self) -> str:
        if self.process is None:
            return "waiting"
        if self.stopping:
            return "stopping"
        return "running" if self.ready.is_set() else "starting"

    def attach(self, process: Process) -> None:
        self.process = process
        self.started_ns = self.last_heard_ns = time.monotonic_ns()

    def detach(self) -> None:
        """Its process is gone, or no longer ours."""
        self.process = self.peer = None
        self.ready.clear()
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.close()

    def update(self) -> None:
        """Ready means: heard on both ways."""
        if self.peer is not None and self.channel is not None and not self.stopping:
            self.ready.set()
        else:
            self.ready.clear()


class Registry:
    """Cameras by id and by the bus's name of their worker."""

    def __init__(self) -> None:
        self._by_camera: dict[str, Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._by_camera.values()))

    def __len__(self) -> int:
        return len(self._by_camera)

    def get(self, camera: str) -> Worker | None:
        return self._by_camera.get(camera)

    def by_peer(self, peer: Peer) -> Worker | None:
        return next((worker for worker in self._by_camera.values() if worker.peer == peer), None)

    def add(self, worker: Worker) -> None:
        self._by_camera[worker.camera] = worker

    def remove(self, worker: Worker) -> None:
        if self._by_camera.get(worker.camera) is worker:
            del self._by_camera[worker.camera]
