"""Pass a HandoffRecord together with one descriptor over an AF_UNIX SOCK_SEQPACKET socket (SCM_RIGHTS, unix(7)).

One datagram is one hand-off. Both ends are non-blocking: a full peer raises BlockingIOError at the sender, who queues
or refuses; nothing here waits.
"""

import array
import os
import socket

from camfleet.core.wire.handoff import MAX_DATAGRAM_SIZE, HandoffRecord

# One more than is legal, so that two descriptors are seen as two and not as a truncated one.
_ANCILLARY_SIZE = socket.CMSG_SPACE(2 * array.array("i").itemsize)


class DescriptorError(ValueError):
    """A datagram that does not carry exactly one descriptor and one record; what came with it is already closed."""


def send(sock: socket.socket, record: HandoffRecord, descriptor: int) -> None:
    """Send one hand-off. The caller still owns, and closes, its copy of the descriptor.

    Raises BlockingIOError when the peer is not reading, OSError when it is gone.
    """
    rights = array.array("i", [descriptor])
    sock.sendmsg([record.pack()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[HandoffRecord, int]:
    """Take one hand-off; the descriptor is the caller's.

    Raises BlockingIOError when none waits, EOFError when the peer has closed, DescriptorError for a bad datagram.
    """
    data, ancillary, flags, _ = sock.recvmsg(MAX_DATAGRAM_SIZE, _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    if not data and not descriptors:
        raise EOFError("the hand-off socket is closed")
    try:
        if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) or len(descriptors) != 1:
            raise DescriptorError(f"hand-off datagram with {len(descriptors)} descriptors, flags {flags:#x}")
        return HandoffRecord.unpack(data), descriptors[0]
    except ValueError as error:
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(error, DescriptorError):
            raise
        raise DescriptorError(f"hand-off datagram without a valid record: {error}") from None
