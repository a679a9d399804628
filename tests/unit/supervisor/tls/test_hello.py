"""What is read of a ClientHello, and what any other bytes lead to: the default."""

import random
import ssl

import pytest
from camfleet.supervisor.tls import Driver, HandshakeError, ServerContext
from camfleet.supervisor.tls.hello import MAX_HELLO_SIZE, ClientHello, is_incomplete, read_hello
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.tls_client import BundledClient, Client, SystemClient, always, split_records


def hello_of(client: Client) -> bytes:
    """The handshake message of a first flight."""
    client.handshake()
    (flight,) = split_records(client.output())
    return flight[5:]


def hello(extensions: bytes) -> bytes:
    """A ClientHello of RFC 8446 4.1.2 with one suite and this block of extensions."""
    body = (
        b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00" + len(extensions).to_bytes(2) + extensions
    )
    return b"\x01" + len(body).to_bytes(3) + body


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2) + len(data).to_bytes(2) + data


def sni(name: bytes, kind: int = 0) -> bytes:
    entry = bytes((kind,)) + len(name).to_bytes(2) + name
    return extension(0, len(entry).to_bytes(2) + entry)


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (lambda: SystemClient(server_name="ipc1.example.org"), "ipc1.example.org"),
        (lambda: SystemClient(version=ssl.TLSVersion.TLSv1_2, server_name="IPC1.Example.ORG"), "ipc1.example.org"),
        (lambda: SystemClient(server_name=None), ""),
        (lambda: SystemClient(server_name="192.0.2.7"), ""),  # OpenSSL sends no address
        (BundledClient, "localhost"),
    ],
)
def test_real_clients(client: type[Client], name: str) -> None:
    message = hello_of(client())
    assert read_hello(message) == ClientHello(name)
    assert not is_incomplete(message)
    assert all(is_incomplete(message[:size]) for size in range(len(message)))


@pytest.mark.parametrize(
    ("extensions", "name"),
    [
        (sni(b"a"), "a"),
        (sni(b"A.example.org."), "a.example.org"),
        (sni(b"_rtsps._tcp.example"), "_rtsps._tcp.example"),
        (sni(b"xn--kln-sna.example"), "xn--kln-sna.example"),
        (extension(16, b"\x00\x03\x02h2") + sni(b"a"), "a"),
        (b"", ""),
        (sni(b""), ""),
        (sni(b"."), ""),
        (sni(b"a..b"), ""),
        (sni(b"a\x1b[31m"), ""),
        (sni(b"a\x00.example.org"), ""),
        (sni(b"a\n"), ""),
        (sni("köln".encode()), ""),
        (sni(b"x" * 64), ""),
        (sni(b"a", kind=1), ""),
        (extension(0, b""), ""),
        (extension(0, b"\x00\x05"), ""),
        (extension(0, b"\x00\x05\x00\x00\x01a"), ""),  # the list is longer than it is
        (extension(0, b"\x00\x04\x00\x00\x02a"), ""),  # the name is
        (sni(b"a")[:-1], ""),  # the extension is
        (sni(b"a.example.org")[:3], ""),
    ],
)
def test_server_names(extensions: bytes, name: str) -> None:
    assert read_hello(hello(extensions)).server_name == name


def test_max_fragment_length() -> None:
    assert read_hello(hello(sni(b"a") + extension(1, b"\x02"))) == ClientHello("a", small_records=True)
    assert not read_hello(hello(extension(9, b"\x00\x01\x00\x01\x02"))).small_records  # inside another one


@pytest.mark.parametrize(
    ("message", "incomplete"),
    [
        (b"", True),
        (b"\x01", True),
        (b"\x01\x00\x00\x00", False),
        (b"\x01\x00\x00\x01", True),
        (b"\x02", False),
        (b"\x00" * 40, False),
        (b"\x01" + (MAX_HELLO_SIZE - 4).to_bytes(3), True),
        (b"\x01" + (MAX_HELLO_SIZE - 3).to_bytes(3), False),
        (b"\x01\xff\xff\xff", False),
    ],
)
def test_what_is_waited_for(message: bytes, incomplete: bool) -> None:
    assert is_incomplete(message) is incomplete


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for message in (data, b"\x01\x00\x01\x00" + data, hello(data)):
        assert read_hello(message).server_name.isascii()
        is_incomplete(message)


def test_a_damaged_hello_gives_the_library_something_to_refuse_or_to_answer(context: ServerContext) -> None:
    """Any change of any kind: never another exception, and always a context."""
    whole = hello_of(SystemClient(server_name="ipc1.example.org"))
    chance = random.Random(7)
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        cut = chance.randrange(1, len(damaged))
        names: list[str] = []

        def choose(name: str, names: list[str] = names) -> ServerContext:
            names.append(name)
            return context

        driver = Driver(choose)
        try:
            for part in (bytes(damaged[:cut]), bytes(damaged[cut:])):
                driver.receive_record(b"\x16\x03\x01" + len(part).to_bytes(2) + part)
        except HandshakeError:
            pass
        assert len(names) == bool(names)
        assert names or driver.data_to_send() == b""  # it waits for more than will come


def test_the_choice_is_made_once_by_the_whole_name(context: ServerContext) -> None:
    """Cut in two records at every byte, the name too."""
    whole = hello_of(SystemClient(server_name="ipc1.example.org"))
    for cut in range(1, len(whole)):
        names: list[str] = []

        def choose(name: str, names: list[str] = names) -> ServerContext:
            names.append(name)
            return context

        driver = Driver(choose)
        for part in (whole[:cut], whole[cut:]):
            assert names == []
            driver.receive_record(b"\x16\x03\x01" + len(part).to_bytes(2) + part)
        assert names == ["ipc1.example.org"]
        assert driver.context is context


def test_there_is_no_context_before_the_hello(context: ServerContext) -> None:
    with pytest.raises(ValueError, match="has not come"):
        _ = Driver(always(context)).context
