"""Who gets which certificate, and that nothing of one goes on with another."""

from pathlib import Path

import pytest
from camfleet.core.wire.control import Endpoint
from camfleet.supervisor.tls import Directory, Driver, Entry, HandshakeError, ServerContext
from OpenSSL import SSL

from tests.kit.tls_client import BundledClient, always, drive, establish, exchange, read_context, write_pair

VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]
NAMES = ("global", "port", "name", "wildcard", "address", "all")


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ServerContext]:
    return {name: read_context(*write_pair(tmp_path_factory.mktemp(name))) for name in NAMES}


@pytest.fixture(scope="module")
def directory(contexts: dict[str, ServerContext]) -> Directory:
    return Directory(
        contexts["global"],
        [
            Entry(contexts["port"], port=8401),
            Entry(contexts["name"], server_name="a.example.org"),
            Entry(contexts["wildcard"], server_name="*.example.org"),
            Entry(contexts["address"], address="192.0.2.7"),
            Entry(contexts["all"], 8402, "all.example.com", "2001:db8::1"),
            Entry(contexts["name"]),  # a camera that nobody can come to
        ],
    )


@pytest.mark.parametrize(
    ("host", "port", "server_name", "chosen"),
    [
        ("192.0.2.1", 8322, "", "global"),
        ("192.0.2.1", 8322, "b.example.com", "global"),
        ("192.0.2.1", 8322, "a.example.org", "name"),
        ("192.0.2.1", 8322, "b.example.org", "wildcard"),
        ("192.0.2.1", 8322, "c.b.example.org", "global"),
        ("192.0.2.1", 8322, "example.org", "global"),
        ("192.0.2.1", 8322, ".example.org", "wildcard"),  # of no name that a ClientHello can have
        ("192.0.2.7", 8322, "", "address"),
        ("192.0.2.7", 8322, "b.example.com", "address"),
        ("192.0.2.7", 8322, "a.example.org", "name"),
        ("192.0.2.7", 8322, "b.example.org", "wildcard"),
        ("192.0.2.7", 8401, "a.example.org", "port"),
        ("192.0.2.1", 8402, "", "all"),
        ("192.0.2.1", 8322, "all.example.com", "all"),
        ("2001:db8::1", 8322, "", "all"),
    ],
)
def test_choice(
    directory: Directory,
    contexts: dict[str, ServerContext],
    host: str,
    port: int,
    server_name: str,
    chosen: str,
) -> None:
    assert directory.choose(Endpoint(host, port), server_name) is contexts[chosen]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_belongs_to_one_context(contexts: dict[str, ServerContext], version: int, tmp_path: Path) -> None:
    """Of another camera or of another generation, even of the same certificate: a full handshake, and no error."""
    issuer = contexts["global"]
    pair = write_pair(tmp_path)
    again = read_context(*pair)
    for here, there, resumed in (
        (issuer, issuer, True),
        (issuer, contexts["port"], False),
        (again, read_context(*pair), False),
    ):
        first = BundledClient(version=version)
        establish(here, first)
        first.read()  # the tickets of TLS 1.3
        second = BundledClient(resume=first)
        session, info = establish(there, second)
        assert second.resumed is resumed
        assert info.certificate_fingerprint == there.fingerprint
        exchange(session, second, b"request", b"answer")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_expired_certificate_that_is_not_to_be_served(tmp_path: Path, version: int) -> None:
    context = read_context(*write_pair(tmp_path))
    context.expired = True
    driver = Driver(always(context))
    with pytest.raises(HandshakeError, match="the certificate of global has expired") as caught:
        drive(driver, BundledClient(version=version))
    assert caught.value.word == "certificate expired"
    assert driver.data_to_send().hex() == "15030300020228"  # fatal handshake_failure
