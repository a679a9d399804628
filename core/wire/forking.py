"""Orders to the fork server: the preloaded, single-threaded process whose children are the workers.

    supervisor                       fork server (its end of a SOCK_SEQPACKET pair is its standard input)
    Fork{camera, run_dir, successor} -->
                             <--     Forked{camera, pid} with a pidfd (SCM_RIGHTS)
                             <--     Exited{pid, status}

One message per datagram. The pidfd is opened by the parent, before anybody can reap the child: it cannot mean another
process. Closing the socket ends the fork server and leaves the workers alone.
"""

from typing import Any

import msgspec

MAX_ORDER_SIZE = 8192


class Order(msgspec.Struct, frozen=True, tag=True, tag_field="t", forbid_unknown_fields=True):
    """Base of the three; the tag is the class name."""


class Fork(Order, frozen=True):
    camera: str
    run_dir: str
    successor: bool = False  # of a worker that serves


class Forked(Order, frozen=True):
    camera: str
    pid: int


class Exited(Order, frozen=True):
    pid: int
    status: int  # as of os.waitstatus_to_exitcode: negative is a signal


_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Fork | Forked | Exited)


def encode(order: Order) -> bytes:
    return msgspec.msgpack.encode(order)


def decode(data: bytes) -> Order:
    """Raises msgspec.DecodeError or ValidationError on anything else."""
    order: Order = _decoder.decode(data)
    return order
