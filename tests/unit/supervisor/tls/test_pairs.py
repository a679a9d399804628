"""Two key types for one identity, the strict profile, and the rehearsal."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from camfleet.supervisor.tls import CertificateError, HandshakeError, Policy, ServerContext, rehearse
from camfleet.supervisor.tls.context import PrivateKey
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from OpenSSL._util import lib

from tests.kit.tls_client import SUITES_1_2_ECDSA, SUITES_1_2_RSA, BundledClient, establish, exchange, write_pair

Material = tuple[bytes, bytes]


def material(folder: Path, key: PrivateKey | None = None) -> Material:
    certificate, private_key = write_pair(folder, key)
    return certificate.read_bytes(), private_key.read_bytes()


@pytest.fixture(scope="module")
def ecdsa(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material(tmp_path_factory.mktemp("ecdsa"))


@pytest.fixture(scope="module")
def rsa_(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material(tmp_path_factory.mktemp("rsa"), rsa.generate_private_key(65537, 2048))


def signing(algorithms: bytes) -> BundledClient:
    """A TLS 1.3 client that can verify only these signatures."""
    client = BundledClient()
    assert lib.SSL_CTX_set1_sigalgs_list(client.tls.get_context()._context, algorithms) == 1
    new = BundledClient.__new__(BundledClient)
    new.closed = False
    new.tls = SSL.Connection(client.tls.get_context(), None)
    new.tls.set_connect_state()
    return new


def of_1_2(suite: str) -> BundledClient:
    return BundledClient(version=SSL.TLS1_2_VERSION, suites=suite)


CLIENTS = [
    ("ECDSA", BundledClient),
    ("ECDSA", functools.partial(signing, b"ecdsa_secp256r1_sha256")),
    ("RSA", functools.partial(signing, b"rsa_pss_rsae_sha256")),
    *(("ECDSA", functools.partial(of_1_2, suite)) for suite in SUITES_1_2_ECDSA),
    *(("RSA", functools.partial(of_1_2, suite)) for suite in SUITES_1_2_RSA),
]


@pytest.mark.parametrize("first", ["ECDSA", "RSA"])
@pytest.mark.parametrize(("kind", "make"), CLIENTS)
def test_each_client_gets_what_it_can_verify(
    ecdsa: Material, rsa_: Material, first: str, kind: Literal["ECDSA", "RSA"], make: Callable[[], BundledClient]
) -> None:
    context = ServerContext([ecdsa, rsa_] if first == "ECDSA" else [rsa_, ecdsa], identity="ipc1")
    client = make()
    session, info = establish(context, client)
    assert info.certificate == "ipc1"
    assert info.certificate_fingerprint == context.fingerprints[kind]
    shown = client.tls.get_peer_certificate(as_cryptography=True)
    assert shown is not None
    assert isinstance(shown.public_key(), rsa.RSAPublicKey) is (kind == "RSA")
    chain = client.tls.get_peer_cert_chain(as_cryptography=True)
    assert chain is not None
    assert len(chain) == 1
    exchange(session, client, b"request", b"answer")


def test_each_pair_has_its_own_chain(tmp_path: Path, ecdsa: Material, rsa_: Material) -> None:
    (tmp_path / "a").mkdir()
    issuer, _ = material(tmp_path / "a")
    context = ServerContext([ecdsa, (rsa_[0] + issuer, rsa_[1])])
    for suite, length in ((SUITES_1_2_ECDSA[0], 1), (SUITES_1_2_RSA[0], 2)):
        client = BundledClient(version=SSL.TLS1_2_VERSION, suites=suite)
        establish(context, client)
        assert len(client.tls.get_peer_cert_chain(as_cryptography=True) or ()) == length


def test_two_of_one_kind(tmp_path: Path, ecdsa: Material) -> None:
    with pytest.raises(CertificateError, match="both certificates are ECDSA"):
        ServerContext([ecdsa, material(tmp_path)])
    with pytest.raises(CertificateError, match="there is no certificate"):
        ServerContext([])


def test_the_strict_profile_knows_tls_1_3_only(ecdsa: Material) -> None:
    context = ServerContext([ecdsa], Policy(strict=True))
    _, info = establish(context, BundledClient())
    assert info.version == "TLSv1.3"
    with pytest.raises(HandshakeError) as caught:
        establish(context, BundledClient(version=SSL.TLS1_2_VERSION))
    assert caught.value.alert == "protocol_version"


@pytest.mark.parametrize("policy", [Policy(), Policy(strict=True)])
def test_rehearsal(ecdsa: Material, rsa_: Material, policy: Policy) -> None:
    for pairs in ([ecdsa], [rsa_], [ecdsa, rsa_], [rsa_, ecdsa]):
        rehearse(ServerContext(pairs, policy))


def test_a_rehearsal_needs_no_client_certificate(ecdsa: Material) -> None:
    rehearse(ServerContext([ecdsa], Policy(client_certificates="required", client_ca=ecdsa[0])))


def test_a_rehearsal_sees_another_certificate(ecdsa: Material) -> None:
    context = ServerContext([ecdsa])
    context.fingerprints["ECDSA"] = "00" * 32
    with pytest.raises(CertificateError, match="another certificate"):
        rehearse(context)


def test_a_rehearsal_sees_a_handshake_that_fails(ecdsa: Material) -> None:
    context = ServerContext([ecdsa])
    context.fingerprints["RSA"] = context.fingerprint  # a key type that is not there
    with pytest.raises(CertificateError, match="a rehearsed handshake failed"):
        rehearse(context)
