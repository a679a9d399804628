"""Datagrams with descriptors over AF_UNIX SOCK_SEQPACKET sockets (SCM_RIGHTS, unix(7)): hand-offs, and the succession
of workers.

One datagram carries one descriptor at most. Both ends are non-blocking: a full peer raises BlockingIOError at the
sender, who queues or refuses; nothing here waits.
"""

import array
import os
import socket

from camfleet.core.wire.handoff import MAX_DATAGRAM_SIZE, HandoffRecord

# One more than is legal, so that two descriptors are seen as two and not as a truncated one.
_ANCILLARY_SIZE = socket.CMSG_SPACE(2 * array.array("i").itemsize)


class DescriptorError(ValueError):
    """A datagram that is not what it should be; what came with it is already closed."""


def send(sock: socket.socket, record: HandoffRecord, descriptor: int) -> None:
    """Send one hand-off. The caller still owns, and closes, its copy of the descriptor.

    Raises BlockingIOError when the peer is not reading, OSError when it is gone.
    """
    send_datagram(sock, record.pack(), descriptor)


def receive(sock: socket.socket) -> tuple[HandoffRecord, int]:
    """Take one hand-off; the descriptor is the caller's.

    Raises BlockingIOError when none waits, EOFError when the peer has closed, DescriptorError for a bad datagram.
    """
    data, descriptor = receive_datagram(sock, MAX_DATAGRAM_SIZE)
    if descriptor is None:
        raise DescriptorError("hand-off datagram without a descriptor")
    try:
        return HandoffRecord.unpack(data), descriptor
    except ValueError as error:
        os.close(descriptor)
        raise DescriptorError(f"hand-off datagram without a valid record: {error}") from None


def send_datagram(sock: socket.socket, data: bytes, descriptor: int | None = None) -> None:
    """As `send`; a datagram that is too large for the socket's buffer is an OSError too."""
    rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def receive_datagram(sock: socket.socket, size: int) -> tuple[bytes, int | None]:
    """As `receive`, of at most `size` bytes."""
    data, ancillary, flags, _ = sock.recvmsg(size, _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    if not data and not descriptors:
        raise EOFError("the peer has closed the socket")
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) or len(descriptors) > 1:
        for descriptor in descriptors:
            os.close(descriptor)
        raise DescriptorError(f"datagram with {len(descriptors)} descriptors, flags {flags:#x}")
    return data, descriptors[0] if descriptors else None
