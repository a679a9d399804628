"""The worker that serves, and makes way: it gives up everything, and takes it all back when the successor fails.

prepare      nothing has changed for the readers yet
hold         no frame and no answer leaves any more; each client's state goes over
commit       one datagram with the lock: nothing is ours any more
afterwards   what the supervisor still sends here goes over, too, until it says Stop
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from camfleet.core.log import Log
from camfleet.core.wire.control import Connection
from camfleet.core.wire.succession import (
    SUCCESSION_VERSION,
    Checked,
    Commit,
    Complete,
    Introduction,
    Latecomer,
    MovingClient,
    Numbers,
    Prepared,
    StreamNumbers,
    socket_name,
)
from camfleet.workers.adopt import Handoff
from camfleet.workers.camera import LiveCamera
from camfleet.workers.feed import encodes
from camfleet.workers.pipeline import RUNNING

from .errors import SuccessionError
from .lane import Lane

log = Log("succession")

# Encoders open within a second or two; a busy machine gets more. Nobody waits meanwhile.
PREPARE_TIMEOUT_S = 10.0
# The readers' picture stands still for so long at most, before the predecessor goes on with it.
HOLD_TIMEOUT_S = 2.0


class Predecessor:
    """One attempt to hand `camera` over."""

    def __init__(self, camera_id: str, camera: LiveCamera, lock: int) -> None:
        """`lock`: the descriptor of RUN/<camera>.lock; ours until `committed`."""
        self._camera_id = camera_id
        self._camera = camera
        self._lock = lock
        self._lane: Lane | None = None
        self._left: asyncio.Queue[tuple[MovingClient | None, int]] = asyncio.Queue()
        self._kept: list[tuple[MovingClient, int]] = []
        self._late: asyncio.Queue[Handoff] = asyncio.Queue()
        self._sequences: dict[str, int] = {}
        self.holding = False  # new connections are for `take`
        self.committed = False

    def connections(self) -> list[Connection]:
        """Those that are neither here nor there."""
        return [] if self.committed else [client.connection for client, _ in self._kept]

    def take(self, handoff: Handoff) -> None:
        """A connection that has come while we hold: it is the successor's, or ours if that fails."""
        self._late.put_nowait(handoff)

    async def run(self, run_dir: Path, successor: int) -> None:
        """Raises SuccessionError when nothing has changed."""
        self._lane = Lane.connect(run_dir / socket_name(successor), successor)
        try:
            await self._prepare(self._lane)
            await self._hand_over(self._lane)
        except BaseException:
            self.close()
            raise

    async def forward(self, refused: Callable[[Connection, str], object]) -> None:
        """After the commit, for ever: what comes late."""
        assert self._lane is not None
        while True:
            await self._forward(self._lane, await self._late.get(), refused)

    def close(self) -> None:
        """Nothing more goes to the successor."""
        if self._lane is not None:
            self._lane.close()
            self._lane = None

    async def _forward(self, lane: Lane, handoff: Handoff, refused: Callable[[Connection, str], object]) -> None:
        connection, received, record, descriptor = handoff
        try:
            await lane.send(
                Latecomer(connection=connection, received=received, session=record.session, unread=record.unread),
                descriptor,
            )
        except SuccessionError as error:
            refused(connection, str(error))
        finally:
            os.close(descriptor)

    async def _prepare(self, lane: Lane) -> None:
        introduction = Introduction(
            version=SUCCESSION_VERSION,
            camera=self._camera_id,
            watched=[name for name, stream in self._camera.streams.items() if stream.pipeline.state == RUNNING],
        )
        try:
            async with asyncio.timeout(PREPARE_TIMEOUT_S):
                await lane.send(introduction)
                await lane.expect(Prepared)
        except TimeoutError:
            raise SuccessionError(f"the successor was not ready within {PREPARE_TIMEOUT_S:g} s") from None

    async def _hand_over(self, lane: Lane) -> None:
        self.holding = True
        try:
            async with asyncio.timeout(HOLD_TIMEOUT_S):
                await self._move_all(lane)
                await lane.send(Commit(), self._lock)
        except BaseException as error:
            self._go_on()
            if isinstance(error, TimeoutError):
                raise SuccessionError(f"the successor did not take over within {HOLD_TIMEOUT_S:g} s") from None
            raise
        self.committed = True
        os.close(self._lock)
        for _, descriptor in self._kept:
            os.close(descriptor)
        self._camera.retire()
        log.info("made_way", clients=len(self._kept))
        self._kept.clear()

    async def _move_all(self, lane: Lane) -> None:
        numbers = await self._hold()
        self._sequences = {name: number.sequence for name, number in numbers.items()}
        await lane.send(Numbers(streams=numbers, held_ns=time.monotonic_ns()))
        count = self._camera.registry.begin_move(self._has_left)
        for _ in range(count):
            client, descriptor = await self._left.get()
            if client is not None:
                self._kept.append((client, descriptor))
                await lane.send_client(client, descriptor)
        await lane.send(Complete(clients=len(self._kept)))
        await lane.expect(Checked)

    async def _hold(self) -> dict[str, StreamNumbers]:
        """All streams. What a film has pushed ahead is shown in its time before the others stand still."""
        streams = self._camera.streams.items()
        numbers = {name: stream.media.hold() for name, stream in streams if not encodes(stream.spec)}
        shown_ns = max((number.newest_due_ns for number in numbers.values()), default=0)
        await asyncio.sleep(max(0, shown_ns - time.monotonic_ns()) / 1e9)
        return numbers | {name: stream.media.hold() for name, stream in streams if name not in numbers}

    def _has_left(self, client: MovingClient | None, descriptor: int) -> None:
        if self.holding:
            self._left.put_nowait((client, descriptor))
        elif client is not None:  # its engine was late, and we have given up
            self._camera.registry.resume(client, descriptor, self._sequences, time.monotonic_ns())

    def _go_on(self) -> None:
        """As if nothing had been."""
        self.holding = False
        for stream in self._camera.streams.values():
            stream.go_on()
        while not self._left.empty():
            client, descriptor = self._left.get_nowait()
            if client is not None:
                self._kept.append((client, descriptor))
        now_ns = time.monotonic_ns()
        for client, descriptor in self._kept:
            self._camera.registry.resume(client, descriptor, self._sequences, now_ns)
        self._kept.clear()
        while not self._late.empty():
            self._camera.registry.adopt(self._late.get_nowait(), now_ns)
