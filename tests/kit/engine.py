"""A running engine, a stream, and connected TCP pairs on loopback."""

import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from camfleet.core.net.fanout import Event, FanOut
from camfleet.core.ring.stream import MediaStream

from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.interleaved import Element, InterleavedReader
from tests.kit.wait import wait_for

DEADLINE_S = 5.0


def tcp_pair(receive_buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """(server side, client side)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    client.settimeout(DEADLINE_S)
    return server, client


class Rig:
    """The engine with one stream; frames are pushed by the test, so that time is the test's."""

    def __init__(self, join: str = "force", before: Callable[[], None] | None = None, **options: Any) -> None:
        """`before` is called in the engine's thread, ahead of it."""
        self.engine = FanOut(**options)
        self.stream = MediaStream(ntp_offset_ns=10**18, cname=b"camfleet@test", join=join, ssrc=0xCAFE, sequence=65_530)
        self.engine.add_stream(self.stream)
        self.thread = threading.Thread(target=self._run, args=(self.engine, before), name="fan-out")
        self.thread.start()
        self.kept: list[Event] = []
        self.number = 0
        self.began_ns = time.monotonic_ns()
        self.sockets: list[socket.socket] = []

    @staticmethod
    def _run(engine: FanOut, before: Callable[[], None] | None) -> None:
        if before:
            before()
        engine.run()

    def close(self) -> None:
        """Safe to call twice."""
        if hasattr(self, "engine"):
            self.engine.stop()
            self.thread.join(DEADLINE_S)
            assert not self.thread.is_alive()
            del self.thread, self.engine, self.stream  # so that memory is accounted for while the test still has us
        for sock in self.sockets:
            sock.close()

    def connect(self, receive_buffer: int | None = None) -> tuple[int, socket.socket]:
        server, client = tcp_pair(receive_buffer)
        self.sockets.append(client)
        return self.engine.adopt(server.detach()), client

    def event(self, kind: type[Event]) -> Event:
        """The next event of this kind; others are kept."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for event in self.kept:
                if isinstance(event, kind):
                    self.kept.remove(event)
                    return event
            select.select([self.engine.event_fd], [], [], max(0, deadline - time.monotonic()))
            self.kept += self.engine.events()
            assert time.monotonic() < deadline, f"no {kind.__name__}, but {self.kept}"

    def until(self, condition: Callable[[], bool]) -> None:
        wait_for(condition, DEADLINE_S)

    def until_received(self, count: int) -> None:
        """Until the engine has taken so many bytes from its only client since the adoption."""
        self.until(lambda: next(self.engine.readers()).bytes_received == count)

    def push(self, key: bool = False, size: int | None = None, count: int = 1) -> None:
        for _ in range(count):
            make = key_access_unit if key else access_unit
            unit = make(self.number, size) if size else make(self.number)
            self.stream.push(unit, self.began_ns + self.number * 33_333_333, time.monotonic_ns())
            self.number += 1


def read_until(
    client: socket.socket, reader: InterleavedReader, enough: Callable[[Sequence[Element]], bool]
) -> list[Element]:
    found: list[Element] = []
    while not enough(found):
        data = client.recv(65_536)
        assert data, f"closed after {len(found)} elements"
        found += reader.feed(data)
    return found
