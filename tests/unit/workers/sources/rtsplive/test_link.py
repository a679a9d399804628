"""A connection to a server, without what is said on it."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from camfleet.core.rtsp.client import ServerURL
from camfleet.workers.sources.rtsplive.link import MAX_UNSENT_SIZE, Link, LinkError, TLSOptions
from camfleet.workers.sources.upstream import Interrupt
from cryptography import x509

from tests.kit.authority import Authority


@contextmanager
def connected(listener: socket.socket, *, tls: bool = False) -> Iterator[Link]:
    interrupt = Interrupt()
    url = ServerURL.parse(f"rtsp{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}/")
    options = TLSOptions(verify=False, ca_file="", fingerprint="")
    with closing(Link.open(url, options, interrupt, time.monotonic_ns() + 5_000_000_000)) as link:
        yield link
    interrupt.close()


def test_a_server_that_does_not_read() -> None:
    def flood(link: Link) -> None:
        for _ in range(500):  # 32 MB: more than any kernel keeps
            link.send(bytes(MAX_UNSENT_SIZE))

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        connected(listener) as link,
        pytest.raises(LinkError, match="does not read what it is sent"),
    ):
        flood(link)


def test_the_end_of_tls_is_said(tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_bytes(b"".join(Authority().issue("a", [x509.IPAddress(ip_address("127.0.0.1"))])))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem")
    heard: list[bytes | type[Exception]] = []

    def serve() -> None:
        sock, _ = listener.accept()
        with context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as secured:
            try:
                heard.append(secured.recv(1))
            except ssl.SSLError as error:
                heard.append(type(error))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with connected(listener, tls=True):
            pass
        thread.join(5)
    assert heard == [b""]
