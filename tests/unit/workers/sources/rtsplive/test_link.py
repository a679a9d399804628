"""A connection to a server, without what is said on it."""

import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import pytest
from camfleet.core.rtsp.client import ServerURL
from camfleet.workers.sources.rtsplive import link as module
from camfleet.workers.sources.rtsplive.link import MAX_UNSENT_SIZE, Link, LinkError, Places, TLSOptions
from camfleet.workers.sources.upstream import Interrupt
from cryptography import x509

from tests.kit.authority import Authority
from tests.kit.descriptors import none_left

NS_PER_S = 1_000_000_000


@contextmanager
def connected(
    listener: socket.socket, *, tls: bool = False, places: Places | None = None, within_s: float = 5
) -> Iterator[Link]:
    url = ServerURL.parse(f"rtsp{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}/")
    options = TLSOptions(verify=False, ca_file="", fingerprint="")
    deadline_ns = time.monotonic_ns() + round(within_s * NS_PER_S)
    with closing(Interrupt()) as interrupt, closing(Link.open(url, options, interrupt, deadline_ns, places)) as link:
        yield link


@contextmanager
def swallowing() -> Iterator[socket.socket]:
    """A server whose queue is full: the kernel loses what asks for more connections."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        yield listener


def place(listener: socket.socket) -> Places:
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname())]


def test_an_address_that_swallows_packets_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_NS", NS_PER_S // 5)
    with socket.create_server(("127.0.0.1", 0)) as listener, swallowing() as other:
        began_s = time.monotonic()
        with connected(listener, places=[*place(other), *place(listener)]):
            assert 0.2 < time.monotonic() - began_s < 1


def test_without_descriptors_it_is_said_and_without_ipv6_the_next_address_is_tried() -> None:
    url = ServerURL.parse("rtsp://127.0.0.1/")
    options = TLSOptions(verify=True, ca_file="", fingerprint="")
    somewhere: Places = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))]
    refused = pytest.raises(LinkError, match=r"cannot be reached: no descriptors left \(ulimit -n\)")
    with closing(Interrupt()) as interrupt, none_left(), refused:
        Link.open(url, options, interrupt, time.monotonic_ns() + NS_PER_S, somewhere)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        unknown: Places = [(cast(socket.AddressFamily, 999), socket.SOCK_STREAM, 0, "", ("::1", 1))]
        with connected(listener, places=[*unknown, *place(listener)]):
            pass


def test_without_descriptors_no_name_can_be_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=OSError(errno.EMFILE, "Too many open files")))
    with pytest.raises(LinkError, match=r"has no address: no descriptors left \(ulimit -n\)"):
        module.look_up(ServerURL.parse("rtsp://camera/"))


@pytest.mark.parametrize(("timeout_s", "within_s"), [(0.2, 5.0), (5.0, 0.2)])
def test_who_does_not_answer_is_not_waited_for_any_longer(
    timeout_s: float, within_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_NS", round(timeout_s * NS_PER_S))
    with swallowing() as other:
        began_s = time.monotonic()
        with (
            pytest.raises(LinkError, match="does not answer within the time given"),
            connected(other, within_s=within_s),
        ):
            pass
        assert time.monotonic() - began_s < 1


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
