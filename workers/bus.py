"""The worker's end of the bus: a ZeroMQ DEALER that never blocks. The only importer of ZeroMQ in workers/.

Who is there is told by the socket's monitor: after every ZMTP handshake, with the first supervisor or with the next
one, the worker says Hello, and again every second until a word comes back. IMMEDIATE keeps news out of the pipe
while nobody is connected: what a dead supervisor should have heard is in the next Hello. So is what a living one was
too busy to take: a Hello then follows within a second.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import zmq
from camfleet.core.log import Log
from camfleet.core.wire import control
from zmq.utils.monitor import recv_monitor_message

log = Log("bus")

RECONNECT_INTERVAL_MS = 100
FAREWELL_MS = 100  # for our last words, if somebody listens
HELLO_INTERVAL_NS = 1_000_000_000
# Messages waiting in each direction; a supervisor that does not read costs news, never memory or time.
HIGH_WATER_MARK = 1000
# Messages per turn of the loop: a flood on the bus must not starve the clients.
BATCH = 64
# As plain numbers: `&` with one of zmq's own makes another of them, which takes longer than asking for the events.
_POLLIN, _POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)


def _events(zmq_socket: zmq.Socket[bytes]) -> int:
    return int(zmq_socket.get(zmq.EVENTS))


class Bus:
    """Messages in by `received`, out by `send`; both on the event loop's thread."""

    def __init__(
        self, path: Path, *, hello: Callable[[], control.Hello], received: Callable[[control.Message], None]
    ) -> None:
        self._hello = hello
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.IMMEDIATE, 1)
        self._socket.set(zmq.SNDHWM, HIGH_WATER_MARK)
        self._socket.set(zmq.RCVHWM, HIGH_WATER_MARK)
        self._socket.set(zmq.MAXMSGSIZE, control.MAX_MESSAGE_SIZE)
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_INTERVAL_MS)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._monitor.set(zmq.LINGER, 0)
        self._unanswered_since_ns: int | None = None
        self._news_lost = False
        self.last_heard_ns = time.monotonic_ns()
        self._closed = False
        self._socket.connect(f"ipc://{path}")
        for zmq_socket, take in (self._monitor, self._greet), (self._socket, self._drain):
            self._loop.add_reader(zmq_socket.fileno(), take)  # of an object asyncio would make a text, for an error
            # The edge may be over already. Not called here, as the maker of this object does not have it yet.
            self._loop.call_soon(take)

    def send(self, message: control.Message) -> bool:
        """Queue one message; False when no supervisor is connected or it does not read."""
        sent = False
        # Asking for EVENTS makes ZeroMQ look at its mailbox, which a plain send does only now and then.
        if not self._closed and _events(self._socket) & _POLLOUT:
            try:
                self._socket.send(control.encode(message), zmq.NOBLOCK)
                sent = True
            except zmq.Again:
                pass
        self._news_lost |= not sent
        # The descriptor that asyncio watches is edge-triggered and the lines above may have eaten the edge.
        if not self._closed and _events(self._socket) & _POLLIN:
            self._loop.call_soon(self._drain)
        return sent

    def tick(self, now_ns: int) -> None:
        """Repeat an unanswered Hello; say one when news were lost."""
        unanswered_since_ns = self._unanswered_since_ns
        if self._news_lost or (unanswered_since_ns is not None and now_ns - unanswered_since_ns >= HELLO_INTERVAL_NS):
            self.say_hello(now_ns)

    def close(self) -> None:
        self._closed = True
        for zmq_socket in (self._socket, self._monitor):
            self._loop.remove_reader(zmq_socket.fileno())
        self._socket.set(zmq.LINGER, FAREWELL_MS)
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()
        self._context.term()

    def _greet(self) -> None:
        while not self._closed and _events(self._monitor) & _POLLIN:
            recv_monitor_message(self._monitor, zmq.NOBLOCK)
            self.say_hello(time.monotonic_ns())

    def _drain(self) -> None:
        for _ in range(BATCH):
            if self._closed or not _events(self._socket) & _POLLIN:
                return
            self._take(self._socket.recv_multipart(zmq.NOBLOCK))
        self._loop.call_soon(self._drain)

    def _take(self, frames: list[bytes]) -> None:
        try:
            (data,) = frames
            message = control.decode(data)
        except ValueError as error:
            log.warning("message_dropped", frames=len(frames), error=str(error))
            return
        self.last_heard_ns = time.monotonic_ns()
        self._unanswered_since_ns = None
        try:
            self._received(message)
        except Exception:  # one bad order must not end the camera
            log.exception("order_failed", order=type(message).__name__)

    def say_hello(self, now_ns: int) -> None:
        """After what it says has changed, too."""
        self._unanswered_since_ns = now_ns
        self._news_lost = False
        self.send(self._hello())
