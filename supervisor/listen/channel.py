"""A client's connection from its handshake until a worker has it: plaintext in and out, one TLS record at a time."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable

from camfleet.core.tls import Session, TLSError
from camfleet.core.tls.session import HEADER_SIZE, record_size
from camfleet.core.wire.control import Endpoint, TLSInfo

from .budget import Lease

CLOSE_NOTIFY = 0
_PLAIN_SIZE = 16_384
# Some answers, a few hundred bytes each: who has not taken them after this does not read.
_SEND_TIMEOUT_S = 5.0
# After our last word, so long and so much is read and dropped: closing with bytes unread makes the kernel reset the
# connection, and the client may lose the alert or the answer.
_LINGER_S = 1.0
_LINGER_SIZE = 65_536


class SessionBrokenError(ConnectionAbortedError):
    """The TLS session ended by an alert, ours or the client's; the text is its name."""


class Channel:
    """Owns the socket. Give the connection away by `detach`, or end it by `close`; nothing else frees its lease.

    `unread` and `received` are what an earlier owner had taken from the socket: ciphertext of a record not yet whole
    (plain: nothing), and plaintext that `receive` gives out first.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: Endpoint,
        lease: Lease,
        *,
        session: Session | None = None,
        tls: TLSInfo | None = None,
        unread: bytes = b"",
        received: bytes = b"",
    ) -> None:
        self.sock = sock
        self.peer = peer
        self.lease = lease
        self.session = session
        self.tls = tls
        self._reader = RecordReader(sock, unread)
        self._received = received

    @property
    def unread(self) -> bytes:
        """Ciphertext taken from the socket, the start of a record that is not whole yet."""
        return self._reader.unread

    async def receive(self) -> bytes:
        """Plaintext, at least one byte; empty at the client's orderly end.

        Raises SessionBrokenError after our alert has gone out, ConnectionError when the client has just gone.
        """
        if self._received:
            data, self._received = self._received, b""
            return data
        if self.session is None:
            await asyncio.sleep(0)  # as RecordReader.read
            return await asyncio.get_running_loop().sock_recv(self.sock, _PLAIN_SIZE)
        try:
            return await self._receive_tls(self.session)
        except TLSError as error:
            raise await self._broken(error) from None

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError, SessionBrokenError among them."""
        if self.session is not None:
            try:
                data = self.session.seal(data, time.monotonic_ns())
            except TLSError as error:
                raise await self._broken(error) from None
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await asyncio.get_running_loop().sock_sendall(self.sock, data)
        except TimeoutError:
            raise ConnectionAbortedError("the client does not read") from None

    async def close(self, alert: int = CLOSE_NOTIFY) -> None:
        """The orderly end: an alert, FIN, and up to a second for the client to read it. May be called again."""
        if self.sock.fileno() < 0:
            return
        farewell = b""
        if self.session is not None:
            with contextlib.suppress(TLSError):  # it is over already: the client has sent a fatal alert
                farewell = self.session.seal_alert(alert)
        try:
            await hang_up(self.sock, farewell)
        finally:
            self._forget()
            self.lease.release()

    def detach(self) -> None:
        """Another process has the descriptor and the session: close this copy without a word. The lease stays."""
        self.sock.close()
        self._forget()

    async def _broken(self, error: TLSError) -> SessionBrokenError:
        await self.close(error.alert)
        return SessionBrokenError(error.name if error.alert else str(error))

    def _forget(self) -> None:
        if self.session is not None:
            self.session.wipe()

    async def _receive_tls(self, session: Session) -> bytes:
        while not session.close_received:  # perhaps at the last owner
            data = session.receive(await self._reader.read(record_size), time.monotonic_ns())
            if session.answer_due:
                await self.send(b"")
            if data:
                return data
        return b""


class RecordReader:
    """Takes exactly one record at a time, so that all that follows is still in the socket when a worker gets it."""

    def __init__(self, sock: socket.socket, unread: bytes) -> None:
        self._socket = sock
        self.unread = unread

    async def read(self, size_of: Callable[[bytes], int]) -> bytes:
        """`size_of` tells a record's size by its beginning, 0 while that is too short. Cancelled, nothing is lost."""
        await asyncio.sleep(0)  # sock_recv does not give way while there are bytes: nobody else would have a turn
        while not (size := size_of(self.unread)) or len(self.unread) < size:
            self.unread += await read_some(self._socket, (size or HEADER_SIZE) - len(self.unread))
        record, self.unread = self.unread, b""
        return record


async def read_some(sock: socket.socket, most: int) -> bytes:
    """At least one byte. Raises ConnectionAbortedError at the end: here the client was not at one."""
    data = await asyncio.get_running_loop().sock_recv(sock, most)
    if not data:
        raise ConnectionAbortedError("the client closed without a word")
    return data


async def hang_up(sock: socket.socket, farewell: bytes) -> None:
    """Send the last bytes, FIN, wait a little for the client's, close."""
    loop = asyncio.get_running_loop()
    try:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                if farewell:
                    await loop.sock_sendall(sock, farewell)
                sock.shutdown(socket.SHUT_WR)
                dropped = 0
                while dropped < _LINGER_SIZE and (data := await loop.sock_recv(sock, _PLAIN_SIZE)):
                    dropped += len(data)
    finally:
        sock.close()
