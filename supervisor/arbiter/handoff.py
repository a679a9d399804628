"""Connections on their way to a worker, at a worker, and on their way back.

    hand_over    Adopt on the bus, then record and descriptor; our copy is closed; Adopted or Refused comes back
    Ended        the worker has closed it: its place in the budget is free again
    HandBack     on the bus, record and descriptor by the channel, in either order; joined by id, given to `returned`

A worker is believed only about connections that it holds.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from camfleet.core.log import Log
from camfleet.core.tls import Session
from camfleet.core.wire import HandoffRecord
from camfleet.core.wire.control import Adopt, Adopted, Connection, Ended, HandBack, Message, Refused
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.supervisor.listen import Budget, Channel, Lease

from .bus import Bus
from .channel import ChannelError
from .registry import Worker

log = Log("handoff")

HAND_OVER_TIMEOUT_S = 3.0
# For the second half of a hand-back. The worker sends both at once.
HALF_TIMEOUT_S = 3.0
# Halves that wait: each holds a descriptor, or the 16 KiB of a request.
MAX_HALVES = 1024


class HandOverError(Exception):
    """The worker could not take a connection, which is still the caller's."""


class Returned(NamedTuple):
    """A connection that asks for another camera: route it like a new one."""

    connection: Connection
    channel: Channel


@dataclass
class _Held:
    connection: Connection
    camera: str
    lease: Lease
    answer: asyncio.Future[Adopted | Refused]


class Handoffs:
    """The table of all connections that workers hold."""

    def __init__(self, bus: Bus, budget: Budget) -> None:
        self.returned: Callable[[Returned], None] = lambda returned: None
        self._bus = bus
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self._held: dict[int, _Held] = {}
        self._messages: dict[int, HandBack] = {}
        self._records: dict[int, tuple[HandoffRecord, int]] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def hand_over(self, worker: Worker, connection: Connection, received: bytes, channel: Channel) -> None:
        """Give `channel` to a ready worker, with plaintext that the worker shall read first.

        Raises HandOverError while the connection is still ours; later the worker answers for it.
        """
        answer: asyncio.Future[Adopted | Refused] = self._loop.create_future()
        self._held[connection.handoff] = _Held(connection, worker.camera, channel.lease, answer)
        try:
            await self._pass(worker, connection, received, channel)
        except BaseException:
            del self._held[connection.handoff]
            raise
        channel.detach()
        try:
            async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
                await answer
        except TimeoutError:  # it stays in the table: a slow worker may still take it, a dead one is cleaned up after
            log.warning("hand-over unanswered", camera=worker.camera, handoff=connection.handoff)

    async def _pass(self, worker: Worker, connection: Connection, received: bytes, channel: Channel) -> None:
        if worker.peer is None or worker.channel is None:
            raise HandOverError("it has just gone")
        if not self._bus.send(worker.peer, Adopt(connection=connection, received=received)):
            raise HandOverError("it does not read the bus")
        export = b"" if channel.session is None else channel.session.export(time.monotonic_ns())
        record = HandoffRecord(HANDOFF_VERSION, connection.handoff, export, channel.unread)
        try:
            async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
                await worker.channel.send(record, channel.sock.fileno())
        except (ChannelError, TimeoutError) as error:
            if export:
                channel.session = Session.from_export(export, time.monotonic_ns())
            raise HandOverError(str(error) or "it does not read its hand-offs") from None

    # ------------------------------------------------------------ what workers say

    def restore(self, worker: Worker, connections: Iterable[Connection]) -> None:
        """The connections of a worker's Hello: all that it holds."""
        for connection in connections:
            if connection.handoff not in self._held:
                lease = self._budget.restore(connection.peer.host, time.monotonic_ns())
                answer: asyncio.Future[Adopted | Refused] = self._loop.create_future()
                answer.set_result(Adopted(handoff=connection.handoff))
                self._held[connection.handoff] = _Held(connection, worker.camera, lease, answer)

    def news(self, worker: Worker, message: Message) -> bool:
        """Adopted, Refused, Ended, HandBack; False when the worker does not hold such a connection."""
        match message:
            case HandBack():
                handoff = message.connection.handoff
            case Adopted() | Refused() | Ended():
                handoff = message.handoff
            case _:
                return False
        held = self._held.get(handoff)
        if held is None or held.camera != worker.camera:
            return False
        if isinstance(message, HandBack):
            self._messages[handoff] = message
            self._join(handoff)
            return True
        if isinstance(message, Adopted | Refused) and not held.answer.done():
            held.answer.set_result(message)
        if isinstance(message, Refused):
            log.warning("hand-over refused", camera=worker.camera, handoff=handoff, reason=message.reason)
        if not isinstance(message, Adopted):
            self._forget(handoff)
        return True

    def record(self, worker: Worker, record: HandoffRecord, descriptor: int) -> None:
        """The half of a hand-back that carries the descriptor, which is now ours."""
        held = self._held.get(record.handoff)
        if held is None or held.camera != worker.camera or record.handoff in self._records or self._is_full():
            log.warning("hand-back dropped", camera=worker.camera, handoff=record.handoff)
            os.close(descriptor)
            return
        self._records[record.handoff] = record, descriptor
        self._join(record.handoff)

    def lost(self, camera: str) -> None:
        """The camera's worker is gone, and every connection with it."""
        for handoff in [handoff for handoff, held in self._held.items() if held.camera == camera]:
            held = self._held[handoff]
            if not held.answer.done():
                held.answer.set_result(Refused(handoff=handoff, reason="the worker died"))
            if handoff not in self._records:  # it gave this one back as its last deed
                self._forget(handoff)

    def close(self) -> None:
        for handoff in list(self._held):
            self._forget(handoff)

    # ------------------------------------------------------------ inside

    def _is_full(self) -> bool:
        return len(self._records) + len(self._messages) >= MAX_HALVES

    def _join(self, handoff: int) -> None:
        if handoff not in self._messages or handoff not in self._records:
            self._loop.call_later(HALF_TIMEOUT_S, self._give_up, handoff)
            return
        message, (record, descriptor) = self._messages.pop(handoff), self._records.pop(handoff)
        held = self._held.pop(handoff)
        try:
            session = Session.from_export(record.session, time.monotonic_ns()) if record.session else None
        except ValueError as error:
            log.warning("hand-back dropped", camera=held.camera, handoff=handoff, reason=str(error))
            os.close(descriptor)
            held.lease.release()
            return
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        connection = held.connection  # what we know of it, whatever the worker says
        channel = Channel(
            sock,
            connection.peer,
            held.lease,
            session=session,
            tls=connection.tls,
            unread=record.unread,
            received=message.received,
        )
        self.returned(Returned(connection, channel))

    def _give_up(self, handoff: int) -> None:
        if handoff in self._messages or handoff in self._records:
            log.warning("hand-back without its other half", handoff=handoff)
            self._forget(handoff)

    def _forget(self, handoff: int) -> None:
        self._messages.pop(handoff, None)
        half = self._records.pop(handoff, None)
        if half is not None:
            os.close(half[1])
        held = self._held.pop(handoff, None)
        if held is not None:
            held.lease.release()
