"""The moving of connections: a hand-off arrives in two halves and leaves in two.

    Adopt (bus: who, and the plaintext read so far)   --+
                                                        +-->  one connection, by the hand-off's id
    HandoffRecord + descriptor (RUN/handoff.sock)     --+

The halves come by different roads, so in either order. A half whose other half does not come is given up after
HALF_TIMEOUT_NS and its descriptor closed; so is a hand-back that nobody takes.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from camfleet.core.log import Log
from camfleet.core.net import fdpass
from camfleet.core.wire import HandoffRecord
from camfleet.core.wire.control import Adopt, Connection, HandBack, Message, Refused

log = Log("adopt")

HALF_TIMEOUT_NS = 5_000_000_000
# Halves and hand-backs that wait; each holds a descriptor or up to 64 KiB of received bytes. A burst of readers fits:
# the supervisor has as many on their way, and the buffer of the socket holds about 280 of them.
MAX_WAITING = 1000
RECONNECT_INTERVAL_S = 0.1
# Datagrams per turn of the loop.
BATCH = 16


class Handoff(NamedTuple):
    """Both halves: everything that is needed to go on with a connection. The descriptor is the receiver's."""

    connection: Connection
    received: bytes
    record: HandoffRecord
    descriptor: int


class Adopter:
    """Joins the halves. Sans-I/O but for closing the descriptors that it gives up."""

    def __init__(
        self, *, joined: Callable[[Handoff], None], known: Callable[[int], bool], news: Callable[[Message], object]
    ) -> None:
        """`known` says whether a hand-off id is already a connection here: its replay is dropped."""
        self._joined = joined
        self._known = known
        self._news = news
        self._orders: dict[int, tuple[Adopt, int]] = {}
        self._records: dict[int, tuple[HandoffRecord, int, int]] = {}

    def order(self, adopt: Adopt, now_ns: int) -> None:
        """The half that came by the bus."""
        handoff = adopt.connection.handoff
        if self._known(handoff) or handoff in self._orders:
            log.warning("half_repeated", handoff=handoff, half="order")
        elif (half := self._records.pop(handoff, None)) is not None:
            record, descriptor, _ = half
            self._joined(Handoff(adopt.connection, adopt.received, record, descriptor))
        elif len(self._orders) >= MAX_WAITING:
            self._news(Refused(handoff=handoff, reason="too many hand-offs wait for their descriptor"))
        else:
            self._orders[handoff] = adopt, now_ns + HALF_TIMEOUT_NS

    def record(self, record: HandoffRecord, descriptor: int, now_ns: int) -> None:
        """The half that came with the descriptor, which is now the adopter's."""
        handoff = record.handoff
        if self._known(handoff) or handoff in self._records:
            log.warning("half_repeated", handoff=handoff, half="record")
            os.close(descriptor)
        elif (half := self._orders.pop(handoff, None)) is not None:
            adopt, _ = half
            self._joined(Handoff(adopt.connection, adopt.received, record, descriptor))
        elif len(self._records) >= MAX_WAITING:
            os.close(descriptor)
            self._news(Refused(handoff=handoff, reason="too many hand-offs wait for their order"))
        else:
            self._records[handoff] = record, descriptor, now_ns + HALF_TIMEOUT_NS

    def tick(self, now_ns: int) -> None:
        """Give up the halves whose time is over."""
        for handoff in [handoff for handoff, (_, expiry_ns) in self._orders.items() if expiry_ns <= now_ns]:
            del self._orders[handoff]
            self._refuse(handoff, "the descriptor did not come")
        for handoff in [handoff for handoff, (_, _, expiry_ns) in self._records.items() if expiry_ns <= now_ns]:
            self._drop_record(handoff, "the order did not come")

    def close(self) -> None:
        """Refuse whatever waits."""
        for handoff in list(self._orders):
            del self._orders[handoff]
            self._refuse(handoff, "the worker ends")
        for handoff in list(self._records):
            self._drop_record(handoff, "the worker ends")

    def _drop_record(self, handoff: int, reason: str) -> None:
        _, descriptor, _ = self._records.pop(handoff)
        os.close(descriptor)
        self._refuse(handoff, reason)

    def _refuse(self, handoff: int, reason: str) -> None:
        log.warning("handoff_given_up", handoff=handoff, reason=reason)
        self._news(Refused(handoff=handoff, reason=reason))


class _Departure(NamedTuple):
    message: HandBack
    record: HandoffRecord
    descriptor: int
    expiry_ns: int


class HandoffSocket:
    """The connection to RUN/handoff.sock, kept up for ever; it says which camera this is and then moves descriptors."""

    def __init__(
        self,
        path: Path,
        camera: str,
        *,
        arrived: Callable[[HandoffRecord, int], None],
        news: Callable[[Message], bool],
        lost: Callable[[int, str], None],
    ) -> None:
        """`news` returns False when it could not be said; `lost` hears of a hand-back that nobody took."""
        self._path = path
        self._camera = camera
        self._arrived = arrived
        self._news = news
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._departures: deque[_Departure] = deque()
        self._connect()

    def hand_back(self, message: HandBack, record: HandoffRecord, descriptor: int, now_ns: int) -> None:
        """Give a connection to the supervisor; the descriptor is closed here in any case."""
        departure = _Departure(message, record, descriptor, now_ns + HALF_TIMEOUT_NS)
        if len(self._departures) >= MAX_WAITING:
            self._give_up(departure, "too many hand-backs wait")
        else:
            self._departures.append(departure)
            self._depart()

    def connections(self) -> list[Connection]:
        """Those that wait to be given back."""
        return [departure.message.connection for departure in self._departures]

    def tick(self, now_ns: int) -> None:
        self._depart()
        while self._departures and self._departures[0].expiry_ns <= now_ns:
            self._give_up(self._departures.popleft(), "no supervisor took the connection")

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._disconnect()
        while self._departures:
            self._give_up(self._departures.popleft(), "the worker ends")

    def _connect(self) -> None:
        self._retry = None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.connect(str(self._path))
            sock.send(self._camera.encode(), socket.MSG_NOSIGNAL)
        except OSError:  # not there yet, or its backlog is full
            sock.close()
            self._retry = self._loop.call_later(RECONNECT_INTERVAL_S, self._connect)
            return
        self._socket = sock
        self._loop.add_reader(sock.fileno(), self._readable, sock)
        self._depart()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                record, descriptor = fdpass.receive(sock)
            except BlockingIOError:
                return
            except fdpass.DescriptorError as error:
                log.warning("datagram_dropped", error=str(error))
            except (EOFError, OSError):
                self._disconnect()
                self._retry = self._loop.call_later(RECONNECT_INTERVAL_S, self._connect)
                return
            else:
                self._arrived(record, descriptor)

    def _depart(self) -> None:
        """Record first: when it cannot be sent now, nothing has been said yet and the whole is tried again later."""
        while self._departures and self._socket is not None:
            departure = self._departures[0]
            try:
                fdpass.send(self._socket, departure.record, departure.descriptor)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._depart)
                return
            except OSError:  # gone: the reader sees the end
                return
            self._departures.popleft()
            os.close(departure.descriptor)
            if not self._news(departure.message):
                # The supervisor gives the record up like any half hand-off; the client reconnects.
                self._lost(departure.message.connection.handoff, "the hand-back could not be announced")
        if self._socket is not None:
            self._loop.remove_writer(self._socket)

    def _give_up(self, departure: _Departure, reason: str) -> None:
        os.close(departure.descriptor)
        self._lost(departure.message.connection.handoff, reason)
