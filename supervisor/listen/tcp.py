"""Listening sockets for IPv4 and IPv6, and accept that survives what accept can meet."""

import asyncio
import errno
import socket
from collections.abc import Collection, Iterable

from camfleet.core.log import Log
from camfleet.core.wire.control import Endpoint

_log = Log("listen")

BACKLOG = 1024  # a recorder that reconnects to every camera at once
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_EXHAUSTED_PAUSE_S = 0.1
_ANY_IPV6 = "::"


class BindError(Exception):
    """A port that cannot be listened on; the text says which, why, and what to do."""


class Listener:
    """One listening socket. `secure`: only TLS is served there."""

    def __init__(self, sock: socket.socket, *, secure: bool) -> None:
        self._socket = sock
        self.secure = secure
        self.address = endpoint(sock.getsockname())
        self._exhausted = False

    async def accept(self) -> tuple[socket.socket, Endpoint]:
        """The next connection, non-blocking and without Nagle's delay."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)  # sock_accept does not give way while the backlog has connections
            try:
                sock, address = await loop.sock_accept(self._socket)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                if error.errno == errno.EBADF:
                    raise
                # accept(2): what else the network and a client that has gone can cause belongs to that one connection.
                if error.errno in _EXHAUSTED:
                    await self._wait_for_resources(error)
                continue
            self._exhausted = False
            return sock, endpoint(address)

    async def _wait_for_resources(self, error: OSError) -> None:
        """The connection stays in the backlog, and the event loop free for those that exist."""
        if not self._exhausted:
            self._exhausted = True
            _log.error("cannot_accept", port=self.address.port, error=error.strerror)
        await asyncio.sleep(_EXHAUSTED_PAUSE_S)

    def share_port(self, shared: bool) -> None:
        """socket(7): two sockets may have one port when both say so. Nobody else finds it free before or after."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)

    def close(self) -> None:
        self._socket.close()


def bind(
    hosts: Iterable[str],
    port: int,
    *,
    secure: bool,
    beside: Collection[Listener] = (),
) -> list[Listener]:
    """Listen on a port of every host; all or, with BindError, none.

    "0.0.0.0" is every IPv4 address, "::" every IPv6 address, if the machine has IPv6 at all. Port 0: one that is free,
    the same for all hosts. `beside`: listeners that will be closed next, and do not stand in the way.
    """
    listeners: list[Listener] = []
    for old in beside:
        old.share_port(True)
    try:
        for host in hosts:
            sock = _listen(host, port, secure, shared=bool(beside))
            if sock is None:
                continue
            listeners.append(Listener(sock, secure=secure))
            port = listeners[0].address.port
    except BindError:
        for listener in listeners:
            listener.close()
        raise
    finally:
        for old in beside:
            old.share_port(False)
    return listeners


def endpoint(address: tuple[str, int] | tuple[str, int, int, int]) -> Endpoint:
    """Of a socket address; without the scope of a link-local address."""
    return Endpoint(address[0].partition("%")[0], address[1])


def _listen(host: str, port: int, secure: bool, *, shared: bool) -> socket.socket | None:
    """None: "::" on a machine without IPv6."""
    setting = "rtsps_port" if secure else "rtsp_port"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        if host == _ANY_IPV6 and error.errno == errno.EAFNOSUPPORT:
            return None
        raise BindError(f"host {host}: {error.strerror or error}") from None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if host == _ANY_IPV6 and error.errno == errno.EADDRNOTAVAIL:  # IPv6 is switched off by sysctl
            return None
        raise BindError(explain(host, port, setting, error)) from None
    return sock


def explain(host: str, port: int, setting: str, error: OSError) -> str:
    where = f"port {port} on {host}"
    if error.errno == errno.EADDRINUSE:
        find = f"ss -ltnp 'sport = :{port}'"
        return f"{where} is in use by another program: stop it (find it with {find}) or set another {setting}"
    if error.errno == errno.EACCES:
        return f"{where} needs privileges: set {setting} to 1024 or more, or give the program CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine does not have the address {host}; set another host"
    return f"{where}: {error.strerror}"
