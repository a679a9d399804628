"""A Door on a free port of the loopback, and a client of it that carries its own records."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from camfleet.core.log import Log, LogfmtFormatter
from camfleet.supervisor.config import Limits
from camfleet.supervisor.listen import Budget, Channel, Door, Journal, Listener, bind
from camfleet.supervisor.tls import Directory, ServerContext
from OpenSSL import SSL

from tests.kit.supervisor import until
from tests.kit.tls_client import BundledClient, Client, SystemClient

TIMEOUT_S = 5.0
REQUEST = b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"
ECHO = b"echo " + REQUEST

CLIENTS: list[Callable[[], Client]] = [
    BundledClient,
    lambda: BundledClient(version=SSL.TLS1_2_VERSION),
    SystemClient,
    lambda: SystemClient(version=ssl.TLSVersion.TLSv1_2),
]
every_client = pytest.mark.parametrize("client", CLIENTS, ids=["1.3", "1.2", "system-1.3", "system-1.2"])


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log as it is written."""
    return [LogfmtFormatter().format(record) for record in caplog.records]


async def echo(channel: Channel) -> None:
    while data := await channel.receive():
        await channel.send(b"echo " + data)


@dataclass
class OpenDoor:
    door: Door
    listener: Listener
    budget: Budget
    journal: Journal

    @property
    def port(self) -> int:
        return self.listener.address.port

    async def settled(self) -> None:
        """Every connection so far has ended."""
        await until(lambda: not self.budget.connections, TIMEOUT_S)


@contextlib.asynccontextmanager
async def open_door(
    context: ServerContext | None,
    *,
    serve: Callable[[Channel], Awaitable[None]] = echo,
    secure: bool = True,
    host: str = "127.0.0.1",
    limits: Limits | None = None,
    handshake_timeout_s: float = TIMEOUT_S,
) -> AsyncIterator[OpenDoor]:
    budget = Budget(limits or Limits())
    journal = Journal(Log("listen"))
    directory = Directory(context) if context else None
    door = Door(serve, budget, journal, lambda: directory, handshake_timeout_s=handshake_timeout_s)
    (listener,) = bind([host], 0, secure=secure)
    task = asyncio.create_task(door.run(listener))
    try:
        yield OpenDoor(door, listener, budget, journal)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        listener.close()
        await door.close()


class SocketClient:
    """A TLS client in memory joined to a socket, so that the test decides what goes out in which segment."""

    def __init__(self, sock: socket.socket, client: Client) -> None:
        self.sock = sock
        self.client = client

    async def send_raw(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive_raw(self) -> bytes:
        """b"" at the server's FIN; ConnectionResetError at its RST."""
        async with asyncio.timeout(TIMEOUT_S):
            return await asyncio.get_running_loop().sock_recv(self.sock, 65_536)

    async def handshake(self, *, flush: Callable[[bytes], list[bytes]] = lambda data: [data]) -> None:
        """Up to the client's Finished, which is left in its output: it may leave with the first request.

        `flush` cuts what goes out into pieces, each sent by a call of its own.
        """
        while not self.client.handshake():
            for piece in flush(self.client.output()):
                await self.send_raw(piece)
            self.client.feed(await self.receive_raw())

    async def flush(self) -> None:
        await self.send_raw(self.client.output())

    async def ask(self, request: bytes, answer_size: int) -> bytes:
        self.client.write(request)
        await self.flush()
        return await self.read(answer_size)

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            raw = await self.receive_raw()
            assert raw, f"closed after {data!r}"
            self.client.feed(raw)
            data += self.client.read()
        return data


@contextlib.asynccontextmanager
async def connected(port: int, client: Client, host: str = "127.0.0.1") -> AsyncIterator[SocketClient]:
    with raw_socket(host) as sock:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        yield SocketClient(sock, client)


@contextlib.contextmanager
def raw_socket(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


async def refused(door: OpenDoor, *pieces: bytes) -> bytes:
    """All that the server says to these bytes."""
    loop = asyncio.get_running_loop()
    said = b""
    with raw_socket() as sock:
        await loop.sock_connect(sock, ("127.0.0.1", door.port))
        for piece in pieces:
            await loop.sock_sendall(sock, piece)
        async with asyncio.timeout(TIMEOUT_S):
            while data := await loop.sock_recv(sock, 4096):
                said += data
    await door.settled()
    return said
