"""The supervisor's end of the bus: a ZeroMQ ROUTER at ipc://RUN/bus.sock. The only importer of ZeroMQ in supervisor/.

The bus knows peers by ZeroMQ's routing id and nothing of cameras; who a peer is, the arbiter decides from its Hello.
It never blocks: a message that a peer's queue does not take is reported to the sender as not sent.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import zmq
from camfleet.core.log import Log
from camfleet.core.wire.control import (
    MAX_MESSAGE_SIZE,
    WIRE_VERSION,
    Message,
    Replaced,
    ReplaceRequest,
    Status,
    StatusRequest,
    decode,
    encode,
)
from camfleet.supervisor import StartError

log = Log("bus")

SOCKET_NAME = "bus.sock"
# Orders that wait for a worker which does not read: more than a burst of hand-overs, less than a leak.
HIGH_WATER_MARK = 1000
# Messages per turn of the loop: a flood on the bus must not starve the handshakes.
BATCH = 64
WARNING_INTERVAL_NS = 1_000_000_000
_POLLIN = int(zmq.POLLIN)  # `&` with zmq's own makes another of them, which takes longer than asking for the events

Peer = bytes
A = TypeVar("A", bound=Message)


class Bus:
    """`received(peer, message)` is called on the event loop for every well-formed message."""

    def __init__(self, run_dir: Path, received: Callable[[Peer, Message], None]) -> None:
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.ROUTER_MANDATORY, 1)  # say so when a peer is gone or full
        self._socket.set(zmq.SNDHWM, HIGH_WATER_MARK)
        self._socket.set(zmq.RCVHWM, HIGH_WATER_MARK)
        self._socket.set(zmq.MAXMSGSIZE, MAX_MESSAGE_SIZE)
        self._socket.bind(f"ipc://{run_dir / SOCKET_NAME}")
        self._descriptor = int(self._socket.get(zmq.FD))
        self._loop.add_reader(self._descriptor, self._drain)
        self.dropped = 0
        self._next_warning_ns = 0

    def send(self, peer: Peer, message: Message) -> bool:
        """False when the peer is gone or does not read."""
        try:
            self._socket.send_multipart([peer, encode(message)], zmq.NOBLOCK)
            sent = True
        except (zmq.Again, zmq.ZMQError):
            sent = False
        # ZeroMQ's descriptor is edge-triggered, and sending may have taken the edge.
        if self._is_readable():
            self._loop.call_soon(self._drain)
        return sent

    def close(self) -> None:
        """What is still queued for a peer that reads has left by now; the rest is dropped."""
        self._loop.remove_reader(self._descriptor)
        self._socket.close()
        self._context.term()

    def drop(self, peer: Peer, reason: str) -> None:
        """Count a message that cannot be used; at most one log line per second."""
        self.dropped += 1
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_warning_ns:
            self._next_warning_ns = now_ns + WARNING_INTERVAL_NS
            log.warning("message_dropped", peer=peer.hex(), reason=reason, dropped=self.dropped)

    def _drain(self) -> None:
        for _ in range(BATCH):
            if self._socket.closed or not self._is_readable():
                return
            self._take(self._socket.recv_multipart(zmq.NOBLOCK))
        self._loop.call_soon(self._drain)

    def _is_readable(self) -> bool:
        return bool(int(self._socket.get(zmq.EVENTS)) & _POLLIN)

    def _take(self, frames: list[bytes]) -> None:
        peer, *body = frames
        try:
            (data,) = body
            message = decode(data)
        except (ValueError, msgspec.MsgspecError) as error:
            self.drop(peer, f"{len(body)} frames, {error}")
            return
        try:
            self._received(peer, message)
        except Exception:  # one bad piece of news must not end the supervisor
            log.exception("news_failed", kind=type(message).__name__)


class ServerNotRunningError(StartError):
    """Nobody answers in this run folder."""


def query_status(run_dir: Path, timeout_s: float = 3.0) -> bytes:
    """Ask the running server for its status, as JSON text. Blocks. Raises ServerNotRunningError."""
    return _ask(run_dir, StatusRequest(version=WIRE_VERSION), Status, timeout_s).json


def ask_to_replace(run_dir: Path, camera: str, timeout_s: float = 60.0) -> Replaced:
    """Have the running server give a camera a fresh worker. Blocks. Raises ServerNotRunningError."""
    return _ask(run_dir, ReplaceRequest(version=WIRE_VERSION, camera=camera), Replaced, timeout_s)


def _ask(run_dir: Path, request: Message, kind: type[A], timeout_s: float) -> A:
    path = run_dir / SOCKET_NAME
    try:  # ZeroMQ would go on trying
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            probe.connect(str(path))
    except BlockingIOError:  # a queue that is full has an owner
        pass
    except (FileNotFoundError, ConnectionRefusedError):
        raise ServerNotRunningError(f"no server runs with this state folder: nobody listens at {path}") from None
    except OSError as error:
        reason = error.strerror or error
        raise ServerNotRunningError(f"{path}: {reason}; ask as the user that the server runs as") from None
    with zmq.Context() as context, contextlib.closing(context.socket(zmq.DEALER)) as dealer:
        dealer.set(zmq.LINGER, 0)
        dealer.set(zmq.MAXMSGSIZE, MAX_MESSAGE_SIZE)
        dealer.connect(f"ipc://{path}")
        dealer.send(encode(request))
        if not dealer.poll(round(timeout_s * 1000)):
            raise ServerNotRunningError(
                f"no server answers at {path} within {timeout_s:g} s; one of an older camfleet may not: restart it then"
            )
        try:
            answer = decode(dealer.recv())
        except msgspec.MsgspecError as error:
            raise ServerNotRunningError(f"the server at {path} is of another version: {error}") from None
    if not isinstance(answer, kind):
        raise ServerNotRunningError(f"the server at {path} answered {type(answer).__name__}")
    return answer
