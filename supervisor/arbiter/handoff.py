"""Connections on their way to a worker, at a worker, and on their way back.

    hand_over    record and descriptor, then Adopt on the bus; at Adopted our copy of the descriptor is closed
    Ended        the worker has closed it: its place in the budget is free again
    HandBack     on the bus, record and descriptor by the channel, in either order; joined by id, given to `returned`

A worker is believed only about connections that it holds.
"""

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from camfleet.core.log import Log
from camfleet.core.tls import Session
from camfleet.core.wire import HandoffRecord
from camfleet.core.wire.control import Adopt, Adopted, Connection, Ended, HandBack, LoggedIn, Message, Refused
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.supervisor.listen import Budget, Channel, Lease

from .bus import Bus
from .channel import ChannelError
from .registry import Worker

log = Log("handoff")

HAND_OVER_TIMEOUT_S = 3.0
# For the second half of a hand-back. The worker sends both at once.
HALF_TIMEOUT_S = 3.0


class HandOverError(Exception):
    """The worker could not take a connection, which is still the caller's."""


class Returned(NamedTuple):
    """A connection that asks for another camera: route it like a new one."""

    connection: Connection
    channel: Channel


@dataclass(slots=True)
class _Held:
    connection: Connection  # as we know it; the worker hears less where it trusts another authority
    camera: str
    lease: Lease
    pid: int  # of the process that has it, or is to have it: a camera may have two for a moment
    answer: asyncio.Future[Adopted | Refused] | None = None  # what hand_over waits for, and then nothing

    def adopted(self) -> bool:
        """So says the worker, or so it is believed: there was no answer in time."""
        return self.answer is None or self.answer.done()

    def answered(self, message: Adopted | Refused) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(message)
        self.answer = None


@dataclass(slots=True)
class _HandBack:
    """What has come of a hand-back so far."""

    expiry: asyncio.TimerHandle
    message: HandBack | None = None
    record: HandoffRecord | None = None
    descriptor: int = -1


class Handoffs:
    """The table of all connections that workers hold."""

    def __init__(self, bus: Bus, budget: Budget) -> None:
        self.returned: Callable[[Returned], None] = _close
        self._bus = bus
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self._held: dict[int, _Held] = {}
        self._hand_backs: dict[int, _HandBack] = {}  # of connections in the table
        self._under_way: Counter[int] = Counter()  # hand-overs by the process that they are for
        self._one_is_over = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def connections(self) -> list[Connection]:
        return [held.connection for held in self._held.values()]

    async def hand_over(self, worker: Worker, connection: Connection, received: bytes, channel: Channel) -> None:
        """Give `channel` to a ready worker, with the plaintext that it shall read first; our copy is then closed.

        Raises HandOverError when the worker refused or died before it had taken it: the connection is still ours.
        """
        pid = worker.pid
        self._under_way[pid] += 1
        try:
            await self._hand_over(worker, connection, received, channel)
        finally:
            self._under_way[pid] -= 1
            self._one_is_over.set()

    async def quiet(self, pid: int) -> None:
        """Until nothing is under way to this process; nothing more may be sent to it meanwhile."""
        while self._under_way[pid]:
            self._one_is_over.clear()
            await self._one_is_over.wait()
        del self._under_way[pid]

    async def _hand_over(self, worker: Worker, connection: Connection, received: bytes, channel: Channel) -> None:
        export = b"" if channel.session is None else channel.session.export(time.monotonic_ns())
        coming = None
        try:
            async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
                coming = await self._pass(worker, connection, received, channel, export)
                answer = await coming
        except TimeoutError:
            if coming is None:
                _take_back(channel, export)
                raise HandOverError("the worker does not read its hand-offs") from None
            # It may still take it: two owners would ruin the TLS session.
            log.warning("hand_over_unanswered", camera=worker.camera, handoff=connection.handoff)
        except HandOverError:
            _take_back(channel, export)
            raise
        except asyncio.CancelledError:
            channel.detach()
            raise
        else:
            if isinstance(answer, Refused):
                _take_back(channel, export)
                raise HandOverError(answer.reason)
        channel.detach()

    async def _pass(
        self, worker: Worker, connection: Connection, received: bytes, channel: Channel, export: bytes
    ) -> asyncio.Future[Adopted | Refused]:
        """The answer to be. Nothing is awaited after the descriptor has gone: no answer can come before it is expected.

        The order goes last: only the descriptors' way says when the worker does not keep up, and a thousand orders
        that ran ahead of it would be too many for the worker to keep.
        """
        pid, peer, way = worker.pid, worker.peer, worker.channel  # both halves to one process, whatever comes
        if peer is None or way is None:
            raise HandOverError("the worker has just gone")
        record = HandoffRecord(HANDOFF_VERSION, connection.handoff, export, channel.unread)
        try:
            await way.send(record, channel.sock.fileno())
        except ChannelError as error:
            raise HandOverError(str(error)) from None
        if not self._bus.send(peer, Adopt(connection=connection, received=received)):
            way.close()  # mostly it is dead, and the bus knows first: not ready until it reports again
            raise HandOverError("the worker does not read the bus")
        answer: asyncio.Future[Adopted | Refused] = self._loop.create_future()
        known = connection if connection.tls is channel.tls else msgspec.structs.replace(connection, tls=channel.tls)
        self._held[connection.handoff] = _Held(known, worker.camera, channel.lease, pid, answer)
        return answer

    # ------------------------------------------------------------ what workers say

    def restore(self, worker: Worker, connections: Iterable[Connection]) -> None:
        """The connections of a worker's Hello: all that it holds, whatever news of it were lost."""
        named = {connection.handoff: connection for connection in connections}
        # What it has not answered may still be on its way there, a hand-back's other half on its way here.
        its = [(handoff, held) for handoff, held in self._held.items() if held.camera == worker.camera]
        adopted = [handoff for handoff, held in its if held.pid == worker.pid and held.adopted()]
        for handoff in adopted:
            if handoff not in named and handoff not in self._hand_backs:
                self._forget(handoff)
        for handoff, connection in named.items():
            if handoff in self._held:
                self.news(worker, Adopted(handoff=handoff))
                self.news(worker, LoggedIn(handoff=handoff))  # perhaps: no limit shall be reached by what was lost
            else:
                lease = self._budget.restore(connection.peer.host)
                # Who the client is by its certificate was for another supervisor to know, and is not the worker's word.
                self._held[handoff] = _Held(connection.where_trusted(""), worker.camera, lease, worker.pid)

    def news(self, worker: Worker, message: Message) -> bool:
        """Adopted, LoggedIn, Refused, Ended, HandBack; False when the worker does not hold such a connection."""
        match message:
            case HandBack():
                handoff = message.connection.handoff
            case Adopted() | LoggedIn() | Refused() | Ended():
                handoff = message.handoff
            case _:
                return False
        held = self._held.get(handoff)
        if held is None or held.camera != worker.camera:
            return False
        match message:
            case HandBack():
                hand_back = self._hand_back(handoff)
                hand_back.message = message
                self._join(handoff, held, hand_back)
            case Adopted():
                held.pid = worker.pid
                held.answered(message)
            case LoggedIn():
                held.lease.logged_in()
            case Refused():
                self._refused(held, message)
            case Ended():
                self._forget(handoff)
        return True

    def record(self, worker: Worker, record: HandoffRecord, descriptor: int) -> None:
        """The half of a hand-back that carries the descriptor, which is now ours."""
        handoff = record.handoff
        held = self._held.get(handoff)
        if held is None or held.camera != worker.camera or self._hand_back(handoff).record is not None:
            log.warning("hand_back_dropped", camera=worker.camera, handoff=handoff, reason="not expected")
            os.close(descriptor)
            return
        hand_back = self._hand_back(handoff)
        hand_back.record, hand_back.descriptor = record, descriptor
        self._join(handoff, held, hand_back)

    def lost(self, camera: str, pid: int) -> None:
        """A worker of the camera is gone, and every connection with it."""
        its = [handoff for handoff, held in self._held.items() if (held.camera, held.pid) == (camera, pid)]
        for handoff in its:
            self._refused(self._held[handoff], Refused(handoff=handoff, reason="the worker died"))

    def close(self) -> None:
        for handoff in list(self._held):
            self._forget(handoff)

    # ------------------------------------------------------------ inside

    def _hand_back(self, handoff: int) -> _HandBack:
        known = self._hand_backs.get(handoff)
        if known is None:
            known = _HandBack(self._loop.call_later(HALF_TIMEOUT_S, self._give_up, handoff))
            self._hand_backs[handoff] = known
        return known

    def _join(self, handoff: int, held: _Held, hand_back: _HandBack) -> None:
        message, record = hand_back.message, hand_back.record
        if message is None or record is None:
            return
        try:
            session = Session.from_export(record.session, time.monotonic_ns()) if record.session else None
        except ValueError as error:
            log.warning("hand_back_dropped", camera=held.camera, handoff=handoff, reason=str(error))
            self._forget(handoff)
            return
        hand_back.expiry.cancel()
        del self._hand_backs[handoff], self._held[handoff]
        sock = socket.socket(fileno=hand_back.descriptor)
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

    def _refused(self, held: _Held, message: Refused) -> None:
        """Before the worker has taken it: the connection, with its lease, is the sender's again."""
        if held.adopted():
            self._forget(message.handoff)
        else:
            held.answered(message)
            del self._held[message.handoff]

    def _give_up(self, handoff: int) -> None:
        log.warning("hand_back_dropped", handoff=handoff, reason="its other half did not come")
        self._forget(handoff)

    def _forget(self, handoff: int) -> None:
        hand_back = self._hand_backs.pop(handoff, None)
        if hand_back is not None:
            hand_back.expiry.cancel()
            if hand_back.descriptor >= 0:
                os.close(hand_back.descriptor)
        held = self._held.pop(handoff, None)
        if held is not None:
            held.lease.release()


def _take_back(channel: Channel, export: bytes) -> None:
    if export:
        channel.session = Session.from_export(export, time.monotonic_ns())


def _close(returned: Returned) -> None:
    returned.channel.sock.close()
    returned.channel.lease.release()
