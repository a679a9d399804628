"""The parent of all workers: imports once what they need, freezes it, and forks (orders: core/wire/forking.py).

    python -P -m camfleet.workers.forkserver        with a SOCK_SEQPACKET socket as standard input

It stays single-threaded and keeps no ZeroMQ context, event loop or codec: a child would inherit them broken.
It lives in a session of its own, so that Ctrl-C in the supervisor's terminal reaches neither it nor the workers.
docs/decisions/0009-a-fork-server-of-our-own.md says why this is not multiprocessing's.
"""

import contextlib
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from camfleet.core import log as logs
from camfleet.core.hardening import harden
from camfleet.core.wire.forking import MAX_ORDER_SIZE, Exited, Fork, Forked, decode, encode

log = logs.Log("forkserver")

UNREHEARSED = "--unrehearsed"  # to itself


def serve(orders: socket.socket) -> Fork | None:
    """Fork on demand. Returns the order in each new child, which keeps no descriptor of this, and None in the parent
    when the supervisor is gone. `orders` is standard input."""
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
            try:
                data = orders.recv(MAX_ORDER_SIZE)
            except ConnectionResetError:  # it died before it had read all that we said
                return None
            if not data:
                return None
            order = decode(data)
            assert isinstance(order, Fork)
            pid = os.fork()
            if pid == 0:
                for sibling in children:
                    os.close(sibling)
                orders.close()
                os.open(os.devnull, os.O_RDONLY)  # takes the number that is free now: standard input
                return order
            pidfd = os.pidfd_open(pid)
            children[pidfd] = pid
            poll.register(pidfd, select.POLLIN)
            _send(orders, encode(Forked(order.camera, pid)), pidfd)


def _send(orders: socket.socket, data: bytes, *descriptors: int) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next recv sees the end
        socket.send_fds(orders, [data], list(descriptors), socket.MSG_NOSIGNAL)


def prepare() -> None:
    """What every worker inherits."""
    logs.configure(os.environ.get(logs.LEVEL_VARIABLE, "info"))
    harden()
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C and reload are the supervisor's
        signal.signal(number, signal.SIG_IGN)


def begin_again(reason: str) -> NoReturn:
    """As a new program, which does not rehearse: workers are only larger then."""
    logs.configure(os.environ.get(logs.LEVEL_VARIABLE, "info"))  # the rehearsal's goes nowhere
    log.error("rehearsal_failed", reason=reason)
    signal.setitimer(signal.ITIMER_REAL, 0)  # it would outlive the program
    os.execv(sys.executable, [sys.executable, "-P", "-m", "camfleet.workers.forkserver", UNREHEARSED])


def main() -> None:
    prepare()
    from camfleet.workers import preload

    preload.preload(begin_again if UNREHEARSED not in sys.argv else None)  # the memory that all workers share
    from camfleet.workers import worker

    orders = socket.socket(fileno=sys.stdin.fileno())
    parent = os.getpid()
    order = serve(orders)
    if order is not None:
        worker.main(order.camera, order.run_dir, successor_by=parent if order.successor else None)


if __name__ == "__main__":
    main()
