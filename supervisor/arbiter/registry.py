"""Who works for which camera. The arbiter writes it; router and status read it."""

import asyncio
import time
from collections.abc import Iterator

from camfleet.core.wire import CameraSpec
from camfleet.core.wire.control import Configure, Hello

from .bus import Peer
from .channel import HandoffChannel
from .process import Process

# What a Worker has of its process, as against what it has of its camera.
_OF_THE_PROCESS = (
    "process",
    "peer",
    "channel",
    "early_hello",
    "stopping",
    "found",
    "attached_ns",
    "last_heard_ns",
    "told",
)


class Worker:
    """One camera and the process that serves it, through all its restarts.

    state        process  peer  channel
    restarting   -        -     -          between two processes
    starting     yes      ?     ?          forked, or found at work for an earlier supervisor; not yet heard both ways
    running      yes      yes   yes        takes hand-overs
    silent       yes      yes   yes        has not answered for a while
    stopping     yes      ?     ?          told to stop
    """

    def __init__(self, settings: Configure, *, wanted: bool = True) -> None:
        self.settings = settings
        self.digest = settings.digest()
        self.told = 0  # the number of the last Ping before the settings were sent: an older Pong tells of others
        self.changed = asyncio.Event()  # other settings, for who waits to try them
        self.wanted = wanted  # False: the last days of a camera that is no longer configured
        self.process: Process | None = None
        self.peer: Peer | None = None
        self.channel: HandoffChannel | None = None
        self.early_hello: tuple[Peer, Hello] | None = None  # heard before the fork server told us the pid
        self.stopping = False
        self.found = False  # at work for an earlier supervisor
        self.beside: Worker | None = None  # the other process of a succession: getting ready, or leaving
        self.restarts = 0
        self.replacements = 0
        self.attached_ns = 0
        self.last_heard_ns = 0
        self.cores: frozenset[int] = frozenset()  # that its process has been given; empty: none yet
        self.load: float | None = None  # processor cores that it uses; None: not measured yet
        self.ready = asyncio.Event()

    @property
    def camera(self) -> str:
        return self.spec.id

    @property
    def spec(self) -> CameraSpec:
        return self.settings.camera

    def take(self, settings: Configure) -> bool:
        """From now on these are wanted; False when they are the same."""
        digest = settings.digest()
        if digest == self.digest:
            return False
        self.settings, self.digest = settings, digest
        self.changed.set()
        return True

    @property
    def pid(self) -> int:
        """0: none. Status asks from a thread of its own, in which `process` may go from one look to the next."""
        process = self.process
        return process.pid if process is not None else 0

    def state(self, now_ns: int, silent_after_ns: int) -> str:
        if self.process is None:
            return "restarting"
        if self.stopping:
            return "stopping"
        if not self.ready.is_set():
            return "starting"
        return "silent" if now_ns - self.last_heard_ns > silent_after_ns else "running"

    def of_pid(self, pid: int) -> "Worker | None":
        """This one, or the one beside it."""
        return next((each for each in (self, self.beside) if each is not None and each.pid == pid), None)

    def attach(self, process: Process, *, found: bool = False) -> None:
        self.process = process
        self.found = found
        self.stopping = False
        self.attached_ns = self.last_heard_ns = time.monotonic_ns()

    def detach(self) -> None:
        """Its process is gone."""
        channel = self.channel
        self.process = self.peer = self.channel = self.early_hello = None
        self.ready.clear()
        if channel is not None:
            channel.close()

    def update(self) -> None:
        """Ready means: heard on both ways, and not about to stop."""
        if self.peer is not None and self.channel is not None and not self.stopping:
            self.ready.set()
        else:
            self.ready.clear()


class Registry:
    """Cameras by id, and by the bus's name of their worker."""

    def __init__(self) -> None:
        self._by_camera: dict[str, Worker] = {}
        self._by_peer: dict[Peer, Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._by_camera.values()))

    def get(self, camera: str) -> Worker | None:
        return self._by_camera.get(camera)

    def by_peer(self, peer: Peer) -> Worker | None:
        return self._by_peer.get(peer)

    def introduce(self, worker: Worker, peer: Peer | None) -> None:
        """From now on `peer`, and no other, speaks for this worker; None: nobody does."""
        if worker.peer is not None:
            self._by_peer.pop(worker.peer, None)
        worker.peer = peer
        if peer is not None:
            self._by_peer[peer] = worker

    def exchange(self, worker: Worker) -> None:
        """The process beside it serves from now on, and the one that has served is beside."""
        other = worker.beside
        assert other is not None
        for name in _OF_THE_PROCESS:
            ours, theirs = getattr(worker, name), getattr(other, name)
            setattr(worker, name, theirs)
            setattr(other, name, ours)
        for each in (worker, other):
            if each.peer is not None:
                self._by_peer[each.peer] = each
            each.update()

    def add(self, worker: Worker) -> None:
        self._by_camera[worker.camera] = worker

    def remove(self, worker: Worker) -> None:
        if self._by_camera.get(worker.camera) is worker:
            del self._by_camera[worker.camera]
