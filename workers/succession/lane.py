"""One end of the connection between a worker and its successor."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from camfleet.core.net import fdpass
from camfleet.core.wire.succession import (
    MAX_DATAGRAM_SIZE,
    PART_SIZE,
    Datagram,
    MovingClient,
    Part,
    Unfit,
    decode,
    encode,
)

from .errors import GoneError, SuccessionError

D = TypeVar("D", bound=Datagram)

# Bytes that a client has not been sent, and those of it that nobody has parsed: so many travel in its own datagram.
INLINE_SIZE = 16_384
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Lane:
    """Owns the socket. Both ways raise SuccessionError: the other one has closed, or speaks another language."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    def connect(cls, path: Path, pid: int) -> "Lane":
        """To the process with this pid, and to no other."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.connect(str(path))
        except OSError as error:
            sock.close()
            raise SuccessionError(f"the successor cannot be reached: {error.strerror}") from None
        found = peer_pid(sock)
        if found != pid:
            sock.close()
            raise SuccessionError(f"process {found} listens in the place of the successor {pid}")
        return cls(sock)

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    async def send(self, datagram: Datagram, descriptor: int | None = None) -> None:
        """The caller still owns the descriptor. What is sent is sent: a cancelled call has sent nothing."""
        data = encode(datagram)
        while True:
            try:
                fdpass.send_datagram(self._socket, data, descriptor)
            except BlockingIOError:
                await self._until(self._loop.add_writer, self._loop.remove_writer)
            except OSError as error:
                raise GoneError(f"the other worker has gone: {error.strerror}") from None
            else:
                return

    async def send_client(self, client: MovingClient, descriptor: int) -> None:
        """In Parts, as far as it is too large for one datagram."""
        handoff, received = client.connection.handoff, client.rtsp.received
        if len(client.unsent) + len(received) > INLINE_SIZE:
            for piece in _pieces(client.unsent):
                await self.send(Part(handoff=handoff, unsent=piece))
            for piece in _pieces(received):
                await self.send(Part(handoff=handoff, received=piece))
            rtsp = msgspec.structs.replace(client.rtsp, received=b"")
            client = msgspec.structs.replace(client, unsent=b"", rtsp=rtsp)
        await self.send(client, descriptor)

    async def receive(self) -> tuple[Datagram, int | None]:
        """The descriptor is the caller's."""
        while True:
            try:
                data, descriptor = fdpass.receive_datagram(self._socket, MAX_DATAGRAM_SIZE)
            except BlockingIOError:
                await self._until(self._loop.add_reader, self._loop.remove_reader)
            except (EOFError, OSError):
                raise GoneError("the other worker has given up or died") from None
            except fdpass.DescriptorError as error:
                raise SuccessionError(str(error)) from None
            else:
                break
        try:
            return decode(data), descriptor
        except msgspec.MsgspecError as error:
            if descriptor is not None:
                os.close(descriptor)
            raise SuccessionError(f"the other worker speaks another language: {error}") from None

    async def expect(self, kind: type[D]) -> D:
        """The next datagram, which is of this type and carries no descriptor."""
        datagram, descriptor = await self.receive()
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(datagram, Unfit):
            raise SuccessionError(datagram.reason)
        if descriptor is not None or not isinstance(datagram, kind):
            raise SuccessionError(f"the other worker says {type(datagram).__name__} and not {kind.__name__}")
        return datagram

    async def _until(self, add: Callable[..., object], remove: Callable[[socket.socket], object]) -> None:
        """The socket is ready."""
        ready = self._loop.create_future()
        add(self._socket, _set, ready)
        try:
            await ready
        finally:
            remove(self._socket)


def peer_pid(sock: socket.socket) -> int:
    """The kernel's word for who has the other end of a connection of this user's; 0: another user."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(pid) if uid == os.getuid() else 0


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + PART_SIZE] for at in range(0, len(data), PART_SIZE))
