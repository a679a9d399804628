"""A reader with a bad line."""

import itertools
import select
import socket
import threading
import time
from types import TracebackType
from typing import Self

from tests.kit.interleaved import InterleavedReader, RTPPacket
from tests.kit.rtsp_client import RTSPClient

TURN_S = 0.1
RECEIVE_BUFFER = 16_384


class SlowReader:
    """Plays, and takes `rate` bytes a second, none with 0, until it is told to catch up. `rate` may be changed."""

    def __init__(self, url: str, rate: int) -> None:
        self.client = RTSPClient.connect(url)
        # Room for little: else its kernel takes nothing for many seconds, and then much at once.
        self.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.packets: list[RTPPacket] = []
        self.ended_s: float | None = None
        self.rate = rate
        self._hurry, self._stop = threading.Event(), threading.Event()
        self.client.play()
        self.began_s = time.monotonic()
        self._reader = InterleavedReader()
        self._thread = threading.Thread(target=self._run, name="slow reader", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._hurry.set()
        self._thread.join(10)
        self.client.close()

    @property
    def peer(self) -> str:
        """As status names it."""
        host, port = self.client.sock.getsockname()
        return f"{host}:{port}"

    def catch_up(self) -> None:
        self._hurry.set()

    def runs(self) -> list[list[RTPPacket]]:
        """The packets without a hole between them, and what comes after a hole as the next list."""
        packets = list(self.packets)
        pairs = enumerate(itertools.pairwise(packets), 1)
        holes = [at for at, (a, b) in pairs if (b.sequence - a.sequence) % 65536 != 1]
        return [packets[begin:end] for begin, end in itertools.pairwise([0, *holes, len(packets)])]

    def _run(self) -> None:
        self._take(self.client.give_up())
        self.client.sock.settimeout(0.5)
        aborted = select.poll()
        aborted.register(self.client.sock, 0)  # without reading: POLLERR and POLLHUP are always told
        while not self._stop.is_set():
            hurries = self._hurry.wait(TURN_S)
            if not hurries and not self.rate:
                if aborted.poll(0):
                    self.ended_s = time.monotonic()
                    return
                continue
            try:
                data = self.client.sock.recv(65_536 if hurries else round(self.rate * TURN_S))
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                self.ended_s = time.monotonic()
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        self.packets += [each for each in self._reader.feed(data) if isinstance(each, RTPPacket)]
