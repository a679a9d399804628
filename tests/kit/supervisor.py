"""The supervisor as a worker sees it: a ROUTER on bus.sock and a SEQPACKET listener on handoff.sock."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import zmq
from camfleet.core.net import fdpass
from camfleet.core.wire import HandoffRecord
from camfleet.core.wire.control import (
    Adopt,
    Connection,
    Endpoint,
    Hello,
    Message,
    ReaderStatus,
    Stats,
    TLSInfo,
    decode,
    encode,
)
from camfleet.core.wire.handoff import HANDOFF_VERSION

from tests.kit.descriptors import descriptors

M = TypeVar("M", bound=Message)

TIMEOUT_S = 5.0


async def until(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """`wait_for` of tests.kit.wait for a test that runs inside the event loop."""
    for _ in range(int(timeout_s / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"waited {timeout_s} s")


def open_descriptors() -> int:
    return len(descriptors())


def connection(handoff: int, tls: TLSInfo | None = None) -> Connection:
    return Connection(handoff=handoff, peer=Endpoint("192.0.2.1", 40000), tls=tls)


def readers_of(stats: Stats) -> list[ReaderStatus]:
    return msgspec.json.decode(stats.readers, type=list[ReaderStatus])


class FakeSupervisor:
    """Speaks to the worker that said a word last, or `to` another one by its pid."""

    def __init__(self, run_dir: Path) -> None:
        self._context = zmq.Context()
        self._bus = self._context.socket(zmq.ROUTER)
        self._bus.set(zmq.LINGER, 0)
        self._bus.bind(f"ipc://{run_dir / 'bus.sock'}")
        path = run_dir / "handoff.sock"
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(TIMEOUT_S)
        self.handoff: socket.socket | None = None
        self.identity = b""
        self._identities: dict[int, bytes] = {}
        self.messages: list[Message] = []

    def close(self) -> None:
        for sock in (self.handoff, self._listener):
            if sock is not None:
                sock.close()
        self._bus.close()
        self._context.term()

    def __enter__(self) -> "FakeSupervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self) -> str:
        """Take the worker's hand-off connection; returns the camera that it names."""
        if self.handoff is not None:
            self.handoff.close()
        self.handoff, _ = self._listener.accept()
        self.handoff.settimeout(TIMEOUT_S)
        return self.handoff.recv(100).decode()

    def pump(self, timeout_s: float = 0.0) -> None:
        """Take what waits on the bus into `messages`."""
        with contextlib.suppress(zmq.Again):
            if timeout_s and not self._bus.poll(int(timeout_s * 1000)):
                return
            while True:
                self.identity, data = self._bus.recv_multipart(zmq.NOBLOCK)
                self.messages.append(message := decode(data))
                if isinstance(message, Hello):
                    self._identities[message.pid] = self.identity

    def expect(self, kind: type[M], timeout_s: float = TIMEOUT_S) -> M:
        """The next message of this type, taken out of `messages`; others stay."""
        deadline = time.monotonic() + timeout_s
        while True:
            for message in self.messages:
                if isinstance(message, kind):
                    self.messages.remove(message)
                    return message
            left = deadline - time.monotonic()
            assert left > 0, f"no {kind.__name__} within {timeout_s} s; came: {self.messages}"
            self.pump(left)

    def send(self, message: Message, to: int = 0) -> None:
        if to:
            self.identity = self._identities[to]
        self.send_raw(encode(message))

    def send_raw(self, *frames: bytes) -> None:
        self._bus.send_multipart([self.identity, *frames])

    def hand_over(self, who: Connection, received: bytes, descriptor: int, session: bytes = b"") -> None:
        """Both halves of a hand-off; the caller keeps its copy of the descriptor."""
        assert self.handoff is not None
        record = HandoffRecord(HANDOFF_VERSION, who.handoff, session)
        fdpass.send(self.handoff, record, descriptor)
        self.send(Adopt(connection=who, received=received))
