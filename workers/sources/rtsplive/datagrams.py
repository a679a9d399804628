"""RTP and RTCP in UDP: a pair of our ports, heard of one server only."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Self

from camfleet.core.rtp.reorder import ReorderBuffer
from camfleet.core.rtsp.client import UDPPorts

from ..descriptors import why_not
from .link import Link, LinkError

MAX_SIZE = 65_535
MAX_AT_ONCE = 256  # datagrams: who floods us does not keep us from the rest
RECEIVE_BUFFER_SIZE = 2 * 1024 * 1024  # a key frame of that size in one burst
TRIES = 50  # for an even port whose odd neighbour is free (RFC 3550 11)
# What goes through a firewall from inside opens it for what comes back. Empty RTP, of a payload type that nobody uses.
PUNCH = bytes((0x80, 127)) + bytes(10)


class Datagrams:
    """Belongs to one thread."""

    def __init__(self, rtp: socket.socket, rtcp: socket.socket, peer_host: str) -> None:
        self._rtp, self._rtcp = rtp, rtcp
        self._peer_host = peer_host
        self._peer_ports: UDPPorts | None = None
        self._reorder = ReorderBuffer()

    @classmethod
    def open(cls, link: Link) -> Self:
        """On the address that the server knows us by. Raises LinkError."""
        try:
            return cls._open(link)
        except OSError as error:
            raise LinkError(f"cannot be given UDP ports: {why_not(error)}") from None

    @classmethod
    def _open(cls, link: Link) -> Self:
        family, host = link.local_address
        for _ in range(TRIES):
            with contextlib.ExitStack() as stack:
                pair = [stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(2)]
                pair[0].bind((host, 0))
                port = pair[0].getsockname()[1]
                if port % 2:
                    continue
                try:
                    pair[1].bind((host, port + 1))
                except OSError:
                    continue
                pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_SIZE)
                for sock in pair:
                    sock.setblocking(False)
                    link.watch(sock.fileno())
                stack.pop_all()
                return cls(pair[0], pair[1], link.peer_host)
        raise LinkError("cannot be given two UDP ports side by side: all are taken")

    @property
    def ports(self) -> UDPPorts:
        return UDPPorts(self._rtp.getsockname()[1], self._rtcp.getsockname()[1])

    @property
    def due_ns(self) -> int | None:
        """When to call `packets` again though nothing has come."""
        return self._reorder.due_ns

    def aim(self, ports: UDPPorts | None) -> None:
        """Where the server sends from, if it has said."""
        self._peer_ports = ports
        if ports is not None:
            self._send(self._rtp, PUNCH, ports.rtp)

    def send_rtcp(self, report: bytes) -> None:
        if self._peer_ports is not None:
            self._send(self._rtcp, report, self._peer_ports.rtcp)

    def packets(self, now_ns: int) -> Iterator[bytes]:
        """What has come of RTP, in order."""
        for packet in self._receive(self._rtp, self._peer_ports.rtp if self._peer_ports else 0):
            yield from self._reorder.put(packet, now_ns)
        yield from self._reorder.give_up(now_ns)

    def reports(self) -> Iterator[bytes]:
        """What has come of RTCP."""
        yield from self._receive(self._rtcp, self._peer_ports.rtcp if self._peer_ports else 0)

    def close(self) -> None:
        self._rtp.close()
        self._rtcp.close()

    def _receive(self, sock: socket.socket, port: int) -> Iterator[bytes]:
        for _ in range(MAX_AT_ONCE):
            try:
                data, address = sock.recvfrom(MAX_SIZE)
            except OSError:  # nothing more; or an ICMP error, after which nothing comes for a time that is watched
                return
            if address[0] == self._peer_host and port in (0, address[1]):
                yield data

    def _send(self, sock: socket.socket, data: bytes, port: int) -> None:
        with contextlib.suppress(OSError):
            sock.sendto(data, (self._peer_host, port))
