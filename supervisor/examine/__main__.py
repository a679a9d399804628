"""The child process: one Order on stdin, one Report on stdout, and nothing else of the world within reach.

Everything that opens files (imports, codecs, the library's own start) happens before the limits.
"""

import codecs
import os
import resource
import sys
import warnings
from datetime import UTC, datetime

import msgspec
from cryptography.exceptions import InternalError
from cryptography.hazmat.backends import default_backend
from OpenSSL import SSL

from .examination import examined
from .formats import authorities
from .report import Report
from .sandbox import CPU_S, EXIT_MEMORY, MAX_REPORT_SIZE, MEMORY_BYTES, Order


def main() -> int:
    warnings.simplefilter("ignore")  # of weak or deprecated things: that is for the findings to say
    SSL.Context(SSL.TLS_SERVER_METHOD)  # reads its configuration file
    default_backend()  # imports itself on first use
    for codec in ("idna", "punycode", "utf-16-le", "utf-16-be"):
        codecs.lookup(codec)
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    _shut_in()
    try:
        report = _answer(order)
        encoded = msgspec.msgpack.encode(report)
    except MemoryError:
        return EXIT_MEMORY
    except InternalError as error:  # the library's word for what its own library could not do
        if "malloc failure" in str(error):
            return EXIT_MEMORY
        raise
    sys.stdout.buffer.write(encoded)
    return 0


def _answer(order: Order) -> Report:
    return examined(order.material, order.purpose, authorities(order.trusted), datetime.now(UTC))


def _shut_in() -> None:
    """RLIMIT_NOFILE 0: no new descriptor, so no file and no socket. Dumps would show the key."""
    for limit, value in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MAX_REPORT_SIZE),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        # At the hard limit of processor time the signal is SIGKILL, which says nothing (setrlimit(2)).
        resource.setrlimit(limit, (value, value + 1 if limit == resource.RLIMIT_CPU else value))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # nothing to clean up, and no finalizer that could want a descriptor
