"""One thread of the load tool: opens its readers on time, talks RTSP for them, lets the engine count."""

import errno
import heapq
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .connection import TLSClient
from .engine import Closed, Engine, Times
from .rtsp import RefusedError, Session, StreamURL

NS = 1_000_000_000
STEP_TIMEOUT_NS = 10 * NS  # one answer, or a key frame after PLAY
GOODBYE_NS = 2 * NS  # for the answers to TEARDOWN
Address = tuple[socket.AddressFamily, Any]


@dataclass
class Reader:
    """One client: a connection, its session, what became of it."""

    url: StreamURL
    address: Address
    start_ns: int
    session: Session
    id: int = -1  # in the engine
    started_ns: int = 0
    sent_ns: int = 0  # the request under way
    playing_ns: int = 0  # PLAY was answered
    failure: str = ""
    ended: bool = False
    steps_ns: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a reader has come to at the end of the measured time; `failure` is empty when it is well."""

    reader: Reader
    times: Times
    failure: str


class Driver(threading.Thread):
    """Runs until `stop` is set and the sessions are torn down. Counters may be read by other threads."""

    def __init__(self, readers: list[Reader], tls: TLSClient) -> None:
        super().__init__(name="load", daemon=True)
        self.readers = readers
        self.engine = Engine(len(readers), tls)
        self.stop = threading.Event()
        self.playing = 0
        self.failed = 0
        self.crash: BaseException | None = None
        self._opened: list[Reader] = []  # by engine id
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._timer_number = 0

    def run(self) -> None:
        try:
            for reader in self.readers:
                self._at(reader.start_ns, partial(self._open, reader))
            while not self.stop.is_set():
                self._turn()
            for reader in self._opened:
                if reader.session.playing and not reader.ended:
                    self._send(reader, reader.session.teardown())
            deadline = time.monotonic_ns() + GOODBYE_NS
            while time.monotonic_ns() < deadline and any(reader.session.step == "TEARDOWN" for reader in self._opened):
                self._turn()
            for reader in self._opened:
                self._end(reader)
        except BaseException as error:  # the main thread raises it
            self.crash = error

    def outcomes(self) -> list[Outcome]:
        """Of every reader, now."""
        found = []
        for reader in self.readers:
            times = self.engine.times(reader.id) if reader.id >= 0 else Times(0, 0, 0, 0, 0, ())
            unfinished = "" if reader.session.playing and times.first_key_ns else f"unfinished: {reader.session.step}"
            found.append(Outcome(reader, times, reader.failure or unfinished))
        return found

    # ---------------------------------------------------------------- the loop

    def _turn(self) -> None:
        now = time.monotonic_ns()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        due = self._timers[0][0] - time.monotonic_ns() if self._timers else NS
        for event in self.engine.wait(min(max(due / NS, 0.0), 0.1)):
            reader = self._opened[event.reader]
            if isinstance(event, Closed):
                self._closed(reader, event.reason)
            else:
                self._answer(reader, event.data)

    def _at(self, due_ns: int, action: Callable[[], None]) -> None:
        self._timer_number += 1
        heapq.heappush(self._timers, (due_ns, self._timer_number, action))

    # ---------------------------------------------------------------- one reader

    def _open(self, reader: Reader) -> None:
        family, address = reader.address
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            self._fail(reader, f"socket: {error.strerror}")
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader.started_ns = time.monotonic_ns()
        result = sock.connect_ex(address)
        if result not in (0, errno.EINPROGRESS):
            sock.close()
            self._fail(reader, f"connect: {os.strerror(result)}")
            return
        name = reader.url.host.encode() if reader.url.tls else None
        reader.id = self.engine.open(sock.detach(), reader.session.start(), name, reader.url.is_address)
        self._opened.append(reader)
        self._expect(reader)

    def _send(self, reader: Reader, data: bytes) -> None:
        reader.sent_ns = time.monotonic_ns()
        self.engine.send(reader.id, data)

    def _expect(self, reader: Reader) -> None:
        """Fail the reader if it is still at this step when the time is over."""
        step = reader.session.step

        def check() -> None:
            times = self.engine.times(reader.id)
            if reader.ended or reader.session.step != step or times.first_key_ns:
                return
            if reader.session.playing:
                self._fail(reader, "no key frame")
            else:
                self._fail(reader, f"no answer to {step}" if times.secure_ns else "no connection")

        self._at(time.monotonic_ns() + STEP_TIMEOUT_NS, check)

    def _answer(self, reader: Reader, message: bytes) -> None:
        session, now = reader.session, time.monotonic_ns()
        before = session.step
        try:
            request = session.receive(message)
        except RefusedError as refused:
            self._fail(reader, str(refused))
            return
        if not reader.playing_ns and before not in reader.steps_ns:
            sent_ns = reader.sent_ns or self.engine.times(reader.id).secure_ns
            reader.steps_ns[before] = now - sent_ns
        if session.step == "PLAY" and before == "SETUP":
            for track in session.tracks:
                self.engine.track(reader.id, track.rtp_channel, track.rtcp_channel, track.codec, track.clock_rate)
        if request:
            self._send(reader, request)
        if session.step != before and session.step != "ended":
            self._expect(reader)
        if session.playing and before == "PLAY":
            reader.playing_ns = now
            self.playing += 1
            self._keep_alive(reader)

    def _keep_alive(self, reader: Reader) -> None:
        def send() -> None:
            if reader.session.playing and not reader.ended:
                self._send(reader, reader.session.keep_alive())
                self._keep_alive(reader)

        self._at(time.monotonic_ns() + reader.session.timeout_s * NS // 2, send)

    def _closed(self, reader: Reader, reason: str) -> None:
        if reader.session.step not in ("TEARDOWN", "ended"):
            step = reader.session.step if self.engine.times(reader.id).secure_ns else "connect"
            self._fail(reader, f"{step}: {reason}")
        reader.ended = True
        if reader.session.step == "TEARDOWN":
            reader.session.step = "ended"

    def _fail(self, reader: Reader, reason: str) -> None:
        if not reader.failure:
            reader.failure = reason
            self.failed += 1
            self.playing -= reader.playing_ns != 0
        self._end(reader)

    def _end(self, reader: Reader) -> None:
        reader.ended = True
        if reader.id >= 0:
            self.engine.close(reader.id)
