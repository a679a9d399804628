"""Mutual TLS: who is let in, who that is, and that nothing of it outlives a connection."""

from typing import Literal

import pytest
from camfleet.core.wire.control import TLSInfo
from camfleet.supervisor.tls import CertificateError, HandshakeError, Policy, ServerContext
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from tests.kit.authority import Alternative, Authority
from tests.kit.tls_client import BundledClient, establish, exchange, write_pair

Pair = tuple[bytes, bytes]
AUTHORITY, STRANGER = Authority(), Authority("Another CA")
BOTH = pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    certificate, private_key = write_pair(tmp_path_factory.mktemp("pair"))
    return certificate.read_bytes(), private_key.read_bytes()


def client_with(certificate: Pair | None, version: int = SSL.TLS1_3_VERSION) -> BundledClient:
    client = BundledClient(version=version)
    if certificate is not None:
        client.tls.use_certificate(x509.load_pem_x509_certificate(certificate[0]))
        key = load_pem_private_key(certificate[1], None)
        assert isinstance(key, EllipticCurvePrivateKey)
        client.tls.use_privatekey(key)
    return client


def mutual(
    mode: Literal["off", "optional", "required"], rule: Literal["common_name", "email", "dns"] = "common_name"
) -> Policy:
    return Policy(client_certificates=mode, client_ca=AUTHORITY.root, client_user=rule)


def handshake(pair: Pair, policy: Policy, certificate: Pair | None, version: int = SSL.TLS1_3_VERSION) -> TLSInfo:
    client = client_with(certificate, version)
    session, info = establish(ServerContext([pair], policy), client)
    exchange(session, client, b"request", b"answer")
    return info


@BOTH
@pytest.mark.parametrize("mode", ["optional", "required"])
def test_the_subject_is_told(pair: Pair, version: int, mode: Literal["optional", "required"]) -> None:
    info = handshake(pair, mutual(mode), AUTHORITY.issue("viewer", client=True), version)
    assert (info.client_user, info.client_authority) == ("viewer", mutual(mode).authority)
    assert info.client_authority


@BOTH
def test_nobody_is_nobody(pair: Pair, version: int) -> None:
    info = handshake(pair, mutual("optional"), None, version)
    assert (info.client_user, info.client_authority) == ("", "")
    info = handshake(pair, mutual("off"), AUTHORITY.issue("viewer", client=True), version)
    assert (info.client_user, info.client_authority) == ("", "")


REFUSED = [
    (None, "required", {"handshake_failure", "certificate_required"}),
    (STRANGER.issue("viewer", client=True), "required", {"unknown_ca"}),
    (STRANGER.issue("viewer", client=True), "optional", {"unknown_ca"}),
    (AUTHORITY.issue("viewer", client=False), "required", {"unsupported_certificate"}),  # a server's
    (AUTHORITY.issue("viewer", client=True, days=(-9, -1)), "required", {"certificate_expired"}),
    (AUTHORITY.issue("viewer", client=True, days=(1, 9)), "optional", {"bad_certificate"}),
]


@BOTH
@pytest.mark.parametrize(("certificate", "mode", "alerts"), REFUSED)
def test_who_is_not_let_in(
    pair: Pair, version: int, certificate: Pair | None, mode: Literal["optional", "required"], alerts: set[str]
) -> None:
    with pytest.raises(HandshakeError) as caught:
        handshake(pair, mutual(mode), certificate, version)
    assert caught.value.alert in alerts


SAN: list[Alternative] = [
    x509.RFC822Name("a@example.org"),
    x509.DNSName("recorder.example.org"),
    x509.RFC822Name("b@example.org"),
]


@pytest.mark.parametrize(
    ("rule", "common_name", "alternatives", "user"),
    [
        ("common_name", "viewer", SAN, "viewer"),
        ("common_name", "", SAN, ""),
        ("common_name", "Köln \u202e", [], "Köln \u202e"),
        ("email", "viewer", SAN, "a@example.org"),
        ("email", "viewer", [], ""),
        ("email", "viewer", SAN[1:2], ""),
        ("dns", "viewer", SAN, "recorder.example.org"),
        ("dns", "viewer", SAN[:1], ""),
    ],
)
def test_rules(
    pair: Pair,
    rule: Literal["common_name", "email", "dns"],
    common_name: str,
    alternatives: list[Alternative],
    user: str,
) -> None:
    info = handshake(pair, mutual("required", rule), AUTHORITY.issue(common_name, alternatives, client=True))
    assert info.client_user == user
    assert info.client_authority  # it was verified, whoever it is


@BOTH
def test_no_resumption(pair: Pair, version: int) -> None:
    """A ticket would carry the client's certificate past its end."""
    context = ServerContext([pair], mutual("required"))
    first = client_with(AUTHORITY.issue("viewer", client=True), version)
    session, _ = establish(context, first)
    exchange(session, first, b"request", b"answer")
    again = BundledClient(resume=first)
    with pytest.raises(HandshakeError) as caught:  # without the certificate, as BundledClient takes only the ticket
        establish(context, again)
    assert caught.value.alert in ("handshake_failure", "certificate_required")
    assert not again.resumed


def test_an_issuing_authority_need_not_bring_its_root(pair: Pair) -> None:
    """And a client's own certificate may stand in the file: then it, and no other, is let in."""
    pinned, other = STRANGER.issue("viewer", client=True), STRANGER.issue("viewer", client=True)
    policy = Policy(client_certificates="required", client_ca=AUTHORITY.root + pinned[0])
    assert handshake(pair, policy, pinned).client_user == "viewer"
    with pytest.raises(HandshakeError):
        handshake(pair, policy, other)


def test_authorities_are_equal_where_they_prove_the_same() -> None:
    assert mutual("optional").authority == mutual("required").authority
    assert mutual("required", "email").authority != mutual("required").authority
    assert Policy(client_certificates="required", client_ca=STRANGER.root).authority != mutual("required").authority
    assert mutual("off").authority == ""


def test_a_file_without_a_certificate(pair: Pair) -> None:
    with pytest.raises(CertificateError, match="there is no certificate in PEM form"):
        ServerContext([pair], Policy(client_certificates="optional", client_ca=b"nothing"))
