"""The parent of all workers: imports once what they need, freezes it, and forks (orders: core/wire/forking.py).

    python -P -m camfleet.workers.forkserver        with a SOCK_SEQPACKET socket as standard input

It stays single-threaded and never makes a ZeroMQ context, an event loop or a codec: a child would inherit them broken.
It lives in a session of its own, so that Ctrl-C in the supervisor's terminal reaches neither it nor the workers.
docs/decisions/ says why this is not multiprocessing's.
"""

import contextlib
import importlib
import os
import select
import socket
import sys

from camfleet.core.wire.forking import MAX_ORDER_SIZE, Exited, Fork, Forked, decode, encode


def serve(orders: socket.socket) -> Fork | None:
    """Fork on demand. Returns the order in each new child, and None in the parent when the supervisor is gone."""
    children: dict[int, int] = {}  # pidfd to pid
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in children:
                poll.unregister(descriptor)
                pid = children.pop(descriptor)
                os.close(descriptor)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                _send(orders, encode(Exited(pid, status)))
                continue
            data = orders.recv(MAX_ORDER_SIZE)
            if not data:
                return None
            order = decode(data)
            assert isinstance(order, Fork)
            pid = os.fork()
            if pid == 0:
                for sibling in children:
                    os.close(sibling)
                return order
            pidfd = os.pidfd_open(pid)
            children[pidfd] = pid
            poll.register(pidfd, select.POLLIN)
            _send(orders, encode(Forked(order.camera, pid)), pidfd)


def _send(orders: socket.socket, data: bytes, *descriptors: int) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next recv sees the end
        socket.send_fds(orders, [data], list(descriptors), socket.MSG_NOSIGNAL)


def main() -> None:
    importlib.import_module("camfleet.workers.preload")  # the memory that all workers share
    from camfleet.workers import worker

    orders = socket.socket(fileno=sys.stdin.fileno())
    order = serve(orders)
    orders.close()
    if order is not None:
        os.open(os.devnull, os.O_RDONLY)  # the lowest free number: standard input
        worker.main(order.camera, order.run_dir)


if __name__ == "__main__":
    main()
