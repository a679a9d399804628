"""The way in: accept, limits, first bytes, handshake; what comes through is a Channel."""

import asyncio
import functools
import socket
import time
import traceback
from collections.abc import Awaitable, Callable

from camfleet.core.log import Log
from camfleet.core.memory import give_back
from camfleet.core.tls.session import HEADER_SIZE
from camfleet.core.wire.control import Endpoint
from camfleet.supervisor.tls import Directory, Driver, HandshakeError, ServerContext, export

from .budget import Budget, Lease, OverLimitError
from .channel import Channel, RecordReader, SessionBrokenError, hang_up, read_some
from .first_bytes import Protocol, classify
from .journal import Journal
from .tcp import Listener, endpoint

_log = Log("listen")
_CROWD = 64


class TurnedAwayError(Exception):
    """A connection that gets no Channel: the word to count it by, and what may still be said to it."""

    def __init__(self, reason: str, detail: str, farewell: bytes = b"") -> None:
        super().__init__(detail)
        self.reason = reason
        self.farewell = farewell


class Door:
    """Gives each Channel to `serve`, in a task of its own. `directory` is asked for each handshake: the certificates as
    they are now; None: TLS is off.

    `serve` detaches the channel or closes it, or leaves that to the door; it may let OSError out.
    """

    def __init__(
        self,
        serve: Callable[[Channel], Awaitable[None]],
        budget: Budget,
        journal: Journal,
        directory: Callable[[], Directory | None],
        *,
        handshake_timeout_s: float = 5.0,
    ) -> None:
        self._directory = directory
        self._serve = serve
        self._budget = budget
        self._journal = journal
        self.handshake_timeout_s = handshake_timeout_s  # may be replaced: for connections that come later
        self._tasks: set[asyncio.Task[None]] = set()
        self._crowd = 0  # the most of them at once, since the last time that few were left

    async def run(self, listener: Listener) -> None:
        """Accept until cancelled."""
        while True:
            sock, peer = await listener.accept()
            try:
                lease = self._budget.admit(peer.host)
            except OverLimitError as error:
                sock.close()
                self._note("over limit", peer, str(error))
                continue
            task = asyncio.create_task(self._welcome(sock, peer, lease, listener))
            self._tasks.add(task)
            self._crowd = max(self._crowd, len(self._tasks))
            task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        """A handshake takes 60 KB."""
        self._tasks.discard(task)
        if self._crowd >= _CROWD and len(self._tasks) < self._crowd // 8:
            self._crowd = 0
            give_back()

    async def close(self) -> None:
        """End every connection that is still on this side."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _welcome(self, sock: socket.socket, peer: Endpoint, lease: Lease, listener: Listener) -> None:
        channel = None
        try:
            channel = await self._open_in_time(sock, peer, lease, listener)
            await self._serve(channel)
        except TurnedAwayError as error:
            self._note(error.reason, peer, str(error))
            await hang_up(sock, error.farewell)
        except SessionBrokenError as error:
            self._note(f"TLS {error}", peer, "the session ended before it had a camera")
        except OSError as error:  # gone; a port scan or a health check is no news
            self._journal.counts["gone"] += 1
            # asyncio's future of the last read has the error, its frames have that future and 60 KB of the handshake:
            # a circle that would live until the garbage collector looks at everything.
            traceback.clear_frames(error.__traceback__)
        except Exception:
            _log.exception("serve_failed", peer=peer)
        finally:
            if channel is not None:
                await channel.close()
            else:
                sock.close()
                lease.release()

    async def _open_in_time(self, sock: socket.socket, peer: Endpoint, lease: Lease, listener: Listener) -> Channel:
        timeout_s = self.handshake_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open(sock, peer, lease, listener)
        except TimeoutError:
            raise TurnedAwayError("timeout", f"no handshake within {timeout_s:g} s") from None

    async def _open(self, sock: socket.socket, peer: Endpoint, lease: Lease, listener: Listener) -> Channel:
        first = b""
        while (protocol := classify(first)) is None:
            first += await read_some(sock, HEADER_SIZE - len(first))
        if protocol is Protocol.TLS:
            if self._directory() is None:
                raise TurnedAwayError("TLS is off", 'server.rtsps is "off"')
            return await self._handshake(sock, peer, lease, first)
        if protocol is Protocol.RTSP and not listener.secure:
            return Channel(sock, peer, lease, received=first)
        if protocol is Protocol.RTSP:
            raise TurnedAwayError("plain text on the TLS port", "its URL must begin with rtsps://")
        raise TurnedAwayError("neither TLS nor RTSP", f"began with {first.hex()}")

    async def _handshake(self, sock: socket.socket, peer: Endpoint, lease: Lease, first: bytes) -> Channel:
        loop = asyncio.get_running_loop()
        reader = RecordReader(sock, first)
        driver = Driver(functools.partial(self._choose, endpoint(sock.getsockname())))
        answered = False
        try:
            while not driver.complete:
                driver.receive_record(await reader.read(driver.record_size))
                # Never send nothing: to a client that has reset the connection, as gnutls-cli does, it raises, and
                # the alert before the reset would not be read.
                if data := driver.data_to_send():
                    await loop.sock_sendall(sock, data)
                    answered = True
        except HandshakeError as error:
            raise TurnedAwayError(error.word, str(error), driver.data_to_send()) from None
        except ConnectionError as error:
            if not answered:
                raise
            traceback.clear_frames(error.__traceback__)  # as in _welcome
            # GStreamer, for one, sends no alert when it does not believe a certificate.
            detail = "it has seen the certificate and left without a word; perhaps it does not trust it"
            raise TurnedAwayError("gone in the handshake", detail) from None
        session, tls = export(driver, time.monotonic_ns())
        return Channel(sock, peer, lease, session=session, tls=tls)

    def _choose(self, local: Endpoint, server_name: str) -> ServerContext:
        """As late as can be: who asks after a change gets what is new."""
        directory = self._directory()
        if directory is None:
            raise HandshakeError("", "TLS has just been switched off")
        return directory.choose(local, server_name)

    def _note(self, reason: str, peer: Endpoint, detail: str) -> None:
        self._journal.note(reason, peer, detail, time.monotonic_ns())
