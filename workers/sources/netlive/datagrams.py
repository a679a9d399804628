"""MPEG-TS in UDP, for FFmpeg to read.

FFmpeg has UDP of its own. But PyAV (18.1) does not return while nothing comes but streams that were not there when it
opened: of a sender that is started again with other PIDs it would show nothing, and go on after its last reader.
Here every read can be ended.
"""

import ipaddress
import select
import socket
import struct
from urllib.parse import parse_qs, urlsplit

from ..base import SourceError
from ..descriptors import why_not
from ..rtsplive.link import Places
from ..upstream import Interrupt

MAX_SIZE = 65_535
RECEIVE_BUFFER_SIZE = 2 * 1024 * 1024  # a key frame of that size in one burst


class Datagrams:
    """A file for PyAV. Belongs to one thread."""

    def __init__(self, url: str, interrupt: Interrupt, timeout_s: float) -> None:
        """Raises SourceError."""
        parts = urlsplit(url)
        self._place = f"{parts.scheme}://{parts.netloc}"
        self._interrupt = interrupt
        self._timeout_s = timeout_s
        self._received = bytearray()
        self._sock = self._open(parts.hostname or "", parts.port or 0, parse_qs(parts.query).get("localaddr", [""])[0])
        self._poll = select.poll()
        self._poll.register(interrupt.fd, select.POLLIN)
        self._poll.register(self._sock, select.POLLIN)

    def read(self, size: int) -> bytes:
        """All that is there, up to `size`. Raises SourceError and LeftError."""
        received = self._received
        while len(received) < size:
            try:
                received += self._sock.recv(MAX_SIZE)
            except BlockingIOError:
                if received:
                    break
                self._wait()
        data = bytes(received[:size])
        del received[:size]
        return data

    def close(self) -> None:
        self._sock.close()

    def _wait(self) -> None:
        ready = self._poll.poll(self._timeout_s * 1000)
        self._interrupt.check()
        if not ready:
            raise SourceError(f"{self._place} has been sent nothing for {self._timeout_s:g} s")

    def _open(self, host: str, port: int, interface: str) -> socket.socket:
        """`interface`, an address of this host, receives what is sent to a group; in IPv6 the zone says which one."""
        sock = None
        try:
            places: Places = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, place = places[0]
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_SIZE)
            group = str(place[0]).partition("%")[0]
            if not ipaddress.ip_address(group).is_multicast:
                sock.bind((interface, port) if interface else place)
                return sock
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # others on this host may listen, too
            sock.bind(place)  # to the group: nothing else that is sent to this port
            if family == socket.AF_INET6:
                wanted = socket.inet_pton(family, group) + struct.pack("@I", place[3])
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, wanted)
            else:
                wanted = socket.inet_aton(group) + socket.inet_aton(interface or "0.0.0.0")
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted)
        except OSError as error:
            if sock is not None:
                sock.close()
            raise SourceError(f"{self._place} cannot be listened on: {why_not(error)}") from None
        return sock
