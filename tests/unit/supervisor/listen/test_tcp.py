import asyncio
import errno
import logging
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from camfleet.core.wire.control import Endpoint
from camfleet.supervisor.listen import BindError, bind
from camfleet.supervisor.listen.tcp import Listener, explain

from tests.kit.door import raw_socket


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def close(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.close()


@needs_ipv6
def test_both_families_share_a_port() -> None:
    """ "::" is IPv6 alone, so that an IPv4 peer has an IPv4 address."""
    listeners = bind(["0.0.0.0", "::"], 0, secure=False)

    async def peers() -> list[Endpoint]:
        found = []
        for listener, host in zip(listeners, ("127.0.0.1", "::1"), strict=True):
            with raw_socket(host) as client:
                accepting = asyncio.create_task(listener.accept())
                await asyncio.get_running_loop().sock_connect(client, (host, listener.address.port))
                sock, peer = await accepting
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert not sock.getblocking()
                assert peer.port == client.getsockname()[1]
                sock.close()
                found.append(peer)
        return found

    assert len({listener.address.port for listener in listeners}) == 1
    assert [peer.host for peer in asyncio.run(peers())] == ["127.0.0.1", "::1"]
    close(listeners)


def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def ipv4_only(family: int = socket.AF_INET, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", ipv4_only)
    (listener,) = bind(["0.0.0.0", "::"], 0, secure=False)
    assert listener.address.host == "0.0.0.0"
    listener.close()
    with pytest.raises(BindError, match="::1"):
        bind(["::1"], 0, secure=False)


def test_a_port_that_is_taken() -> None:
    """All or none: what was bound before is closed again."""
    (other,) = bind(["127.0.0.2"], 0, secure=True)
    port = other.address.port
    with pytest.raises(BindError, match=rf"port {port} on 127.0.0.2 is in use .* another rtsps_port"):
        bind(["127.0.0.1", "127.0.0.2"], port, secure=True)
    close(bind(["127.0.0.1"], port, secure=True))
    other.close()


def test_an_address_of_another_machine() -> None:
    with pytest.raises(BindError, match=r"does not have the address 192\.0\.2\.7"):
        bind(["192.0.2.7"], 0, secure=False)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EADDRINUSE, "ss -ltnp 'sport = :322'"),
        (errno.EACCES, "set rtsps_port to 1024 or more, or give the program CAP_NET_BIND_SERVICE"),
        (errno.EINVAL, "port 322 on 0.0.0.0: Invalid argument"),
    ],
)
def test_explain(code: int, words: str) -> None:
    assert words in explain("0.0.0.0", 322, "rtsps_port", OSError(code, "Invalid argument"))


def highest_descriptor() -> int:
    return max(int(path.name) for path in Path("/proc/self/fd").iterdir())


def test_no_descriptors_left(caplog: pytest.LogCaptureFixture) -> None:
    """The connection waits in the backlog; one line says why."""
    (listener,) = bind(["127.0.0.1"], 0, secure=False)

    async def run() -> Endpoint:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with raw_socket() as client:
            used = highest_descriptor()
            with ExitStack() as stack:
                resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
                stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
                while True:  # fill the gaps between the numbers in use
                    try:
                        stack.enter_context(socket.socket())
                    except OSError:
                        break
                accepting = asyncio.create_task(listener.accept())
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", listener.address.port))
                await asyncio.wait({accepting}, timeout=0.35)
                assert not accepting.done()
            sock, peer = await asyncio.wait_for(accepting, 5)
            sock.close()
            return peer

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(run()).host == "127.0.0.1"
    assert [record.getMessage() for record in caplog.records] == ["cannot_accept"]
    listener.close()


def test_a_closed_listener_ends_accept() -> None:
    async def run() -> None:
        (listener,) = bind(["127.0.0.1"], 0, secure=False)
        listener.close()
        with pytest.raises(OSError, match=r"Bad file descriptor|Invalid"):
            await listener.accept()

    asyncio.run(run())
