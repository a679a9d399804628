"""RUN/handoff.sock: the way of descriptors and TLS secrets between supervisor and workers (core/net/fdpass.py).

The kernel vouches for the pid of who connects (SO_PEERCRED); the first datagram is the camera id. The arbiter accepts
a channel when pid and camera are those of a worker that it knows.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from camfleet.core.log import Log
from camfleet.core.net import fdpass
from camfleet.core.wire import HandoffRecord

log = Log("arbiter")

SOCKET_NAME = "handoff.sock"
MAX_CAMERA_ID_SIZE = 64
INTRODUCTION_TIMEOUT_S = 5.0
EXHAUSTED_PAUSE_S = 1.0  # out of descriptors: a worker waits in the backlog
# Hand-overs that wait for a worker which does not read. A burst of readers on one camera fits; more is refused.
MAX_WAITING = 1000
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class ChannelError(Exception):
    """The worker is gone, or too many hand-overs wait for it."""


class HandoffChannel:
    """One worker's end. `received` takes over the descriptor; `closed` is called once, when the worker has gone."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.pid = pid
        self.camera = ""
        self.received: Callable[[HandoffRecord, int], None] = _refuse
        self.closed: Callable[[], None] = lambda: None
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._writable: asyncio.Future[None] | None = None
        self._open = True

    async def send(self, record: HandoffRecord, descriptor: int) -> None:
        """Pass one hand-off, in order. The caller still owns its copy of the descriptor. Raises ChannelError."""
        if self._waiting >= MAX_WAITING:
            raise ChannelError(f"{MAX_WAITING} hand-overs wait for it")
        self._waiting += 1
        try:
            async with self._turn:
                while self._open:
                    try:
                        fdpass.send(self._sock, record, descriptor)
                    except BlockingIOError:
                        await self._wait_until_writable()
                    except OSError as error:
                        if isinstance(error, ConnectionError):
                            self.close()  # the death of the worker, seen before its end of file
                        raise ChannelError(error.strerror) from None
                    else:
                        return
                raise ChannelError("its hand-off channel is closed")
        finally:
            self._waiting -= 1

    def listen(self) -> None:
        """Begin to read, after the introduction."""
        self._loop.add_reader(self._sock, self._on_readable)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._set_writable()
        self._sock.close()
        self.closed()

    async def _wait_until_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._sock, self._set_writable)
        try:
            await self._writable
        finally:
            if self._open:
                self._loop.remove_writer(self._sock)

    def _set_writable(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _on_readable(self) -> None:
        try:
            record, descriptor = fdpass.receive(self._sock)
        except BlockingIOError:
            return
        except fdpass.DescriptorError as error:
            log.warning("bad_hand_off_datagram", camera=self.camera, reason=str(error))
            return
        except (EOFError, OSError):
            self.close()
            return
        self.received(record, descriptor)


class HandoffListener:
    """Accepts workers; `introduced(channel)` returns whether it is a known one."""

    def __init__(self, run_dir: Path, introduced: Callable[[HandoffChannel], bool]) -> None:
        self._introduced = introduced
        self._loop = asyncio.get_running_loop()
        self._strangers: set[asyncio.Task[None]] = set()
        path = run_dir / SOCKET_NAME
        path.unlink(missing_ok=True)  # of an earlier supervisor; the lock says that it is gone
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.setblocking(False)
        self._sock.bind(str(path))
        self._sock.listen(1024)
        self._retry: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for task in self._strangers:
            task.cancel()

    def _listen(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("cannot_accept_a_worker", reason=error.strerror)
            self._loop.remove_reader(self._sock)
            self._retry = self._loop.call_later(EXHAUSTED_PAUSE_S, self._listen)
            return
        sock.setblocking(False)
        pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid != os.getuid():
            log.warning("stranger_on_the_hand_off_socket", pid=pid, uid=uid)
            sock.close()
            return
        task = self._loop.create_task(self._introduce(HandoffChannel(sock, pid), sock))
        self._strangers.add(task)
        task.add_done_callback(self._strangers.discard)

    async def _introduce(self, channel: HandoffChannel, sock: socket.socket) -> None:
        name, known = b"", False
        try:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(INTRODUCTION_TIMEOUT_S):
                    name = await self._loop.sock_recv(sock, MAX_CAMERA_ID_SIZE + 1)  # the kernel drops any descriptor
            channel.camera = name.decode("ascii", "replace")
            known = self._introduced(channel)
        finally:
            if not known:
                channel.close()
        if known:
            channel.listen()
        else:
            log.info("stranger_on_the_hand_off_socket", pid=channel.pid, camera=channel.camera)


def _refuse(_: HandoffRecord, descriptor: int) -> None:
    os.close(descriptor)
