"""A client that does nothing but handshakes, as fast as it can: `python -m tests.kit.handshaker PORT STOP KIND`.

It ends when there is a file STOP. KIND: "1.3", "1.2", or either with "+resume": the ticket of the last connection is
offered. A handshake counts when an answer has come through it: before that, a client of TLS 1.3 does not know what the
server thinks of it. Each is a line of JSON on stdout at the end: when it began and ended (monotonic), what it was shown
(SHA-256, hex), whether a ticket was taken, or the error.
"""

import hashlib
import json
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import NamedTuple

REQUEST = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"


class Handshake(NamedTuple):
    began_s: float
    ended_s: float
    shown: str
    resumed: bool = False
    error: str = ""


def connect(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    sock = context.wrap_socket(
        socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname="localhost", session=session
    )
    sock.sendall(REQUEST)
    answer = sock.recv(4096)
    if not answer.startswith(b"RTSP/1.0 200 "):
        raise OSError(f"answered {answer!r}")
    return sock


def main() -> None:
    port, stop, kind = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    version, _, option = kind.partition("+")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = {
        "1.2": ssl.TLSVersion.TLSv1_2,
        "1.3": ssl.TLSVersion.TLSv1_3,
    }[version]
    done, session = [], None
    while not stop.exists():
        began_s = time.monotonic()
        try:
            with connect(port, context, session) as sock:
                shown = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
                session = sock.session if option else None
                done.append(Handshake(began_s, time.monotonic(), shown, bool(sock.session_reused)))
        except OSError as error:
            done.append(Handshake(began_s, time.monotonic(), "", error=repr(error)))
    for handshake in done:
        print(json.dumps(handshake))


if __name__ == "__main__":
    main()
