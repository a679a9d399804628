import ipaddress
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from camfleet.supervisor.certs import Authority, Store, StoreError, ensure_pair, renew
from camfleet.supervisor.certs.issue import KeyType, Subject, key_pem, new_key, self_signed
from camfleet.supervisor.certs.provision import beside, signing_request, vetted
from camfleet.supervisor.examine import Material, Pair
from camfleet.supervisor.tls import CertificateError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.kit.pairs import pair
from tests.kit.tls_client import SystemClient, establish, read_context

NOW = datetime.now(UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def verifying(certificate: Path) -> ssl.SSLContext:
    """A client that trusts this certificate and nothing else, and checks as strictly as Python can."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_fresh_pair(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        certificate, private_key = ensure_pair(tmp_path)
    finally:
        os.umask(before)
    assert (certificate.name, private_key.name) == ("ssl.ca", "ssl.key")
    assert (mode(certificate), mode(private_key)) == (0o644, 0o600)
    assert sorted(path.name for path in tmp_path.glob("ssl.*")) == ["ssl.ca", "ssl.key"]
    read_context(certificate, private_key)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_verifying_client_accepts_it(tmp_path: Path, name: str) -> None:
    certificate, private_key = ensure_pair(tmp_path)
    client = SystemClient(verifying(certificate), server_name=name)
    establish(read_context(certificate, private_key), client)


def test_a_verifying_client_refuses_another_name(tmp_path: Path) -> None:
    certificate, private_key = ensure_pair(tmp_path)
    client = SystemClient(verifying(certificate), server_name="camera.example.org")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        establish(read_context(certificate, private_key), client)


def test_an_existing_pair_is_not_touched(tmp_path: Path) -> None:
    paths = ensure_pair(tmp_path)
    contents = [path.read_bytes() for path in paths]
    assert ensure_pair(tmp_path) == paths
    assert [path.read_bytes() for path in paths] == contents


def test_a_key_alone_gets_a_certificate(tmp_path: Path) -> None:
    """After a crash between the two files, or an operator's own key, here RSA."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ssl.key").write_bytes(pem)
    (tmp_path / "ssl.ca.new").write_bytes(b"left by the crash")
    paths = ensure_pair(tmp_path)
    assert paths[1].read_bytes() == pem
    read_context(*paths)


def test_a_certificate_without_its_key_is_not_replaced(tmp_path: Path) -> None:
    certificate, private_key = ensure_pair(tmp_path)
    content = certificate.read_bytes()
    private_key.unlink()
    with pytest.raises(CertificateError, match=r"ssl.key is not; remove it"):
        ensure_pair(tmp_path)
    assert certificate.read_bytes() == content


def test_the_first_pair_is_the_first_generation(tmp_path: Path) -> None:
    ensure_pair(tmp_path)
    store = Store(tmp_path)
    (first,) = store.history("global")
    assert (first.number, first.origin) == (1, "self-signed")
    assert first.pairs[0].self_signed
    assert store.current("global") == first
    ensure_pair(tmp_path)
    assert store.history("global") == [first]


def test_a_change_that_was_cut_off_is_completed_at_the_start(tmp_path: Path) -> None:
    ensure_pair(tmp_path)
    (tmp_path / "history/global/000001").rename(tmp_path / "history/global/000001.installing")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("ssl.*")}
    (tmp_path / "ssl.ca").unlink()
    ensure_pair(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("ssl.*")} == before
    assert [generation.number for generation in Store(tmp_path).history("global")] == [1]


def test_what_was_made_is_examined_as_well() -> None:
    old = self_signed(new_key("ecdsa"), Subject(("cams",)), NOW - timedelta(days=800))
    material = Material(certificate=old.public_bytes(Encoding.PEM), private_key=key_pem(new_key("ecdsa")))
    with pytest.raises(StoreError, match="the certificate that was made for ipc1 cannot be served: "):
        vetted(material, "ipc1")


def issue_for(authority: Authority, *key_types: KeyType, days_ago: int, days: int = 90) -> list[Pair]:
    subject = Subject(("cams.example.org",), (ipaddress.ip_address("192.0.2.7"),))
    then = NOW - timedelta(days=days_ago)
    made = [authority.issue(subject, then, key_type=key_type, days=days) for key_type in key_types]
    return [vetted(material, "ipc1", authority.root_pem) for material in made]


def test_renew(tmp_path: Path) -> None:
    store, authority = Store(tmp_path), Authority(tmp_path)
    assert renew(store, authority, "ipc1", NOW) is None, "there is none"
    authority.create("cams", [], NOW - timedelta(days=100))
    before = issue_for(authority, "ecdsa", "rsa", days_ago=20, days=30)
    store.install("ipc1", before, "authority")
    assert renew(store, authority, "ipc1", NOW - timedelta(days=2)) is None, "not yet"
    generation = renew(store, authority, "ipc1", NOW)
    assert generation is not None
    assert (generation.number, generation.origin) == (2, "authority")
    for old, fresh in zip([each.description for each in before], generation.pairs, strict=True):
        assert (fresh.names, fresh.key.split()[0], fresh.issuer) == (old.names, old.key.split()[0], old.issuer)
        assert fresh.key_fingerprint != old.key_fingerprint
        assert fresh.not_after_unix_s - fresh.not_before_unix_s == old.not_after_unix_s - old.not_before_unix_s
    assert store.current("ipc1") == generation
    assert renew(store, authority, "ipc1", NOW) is None, "just done"


def test_renewal_leaves_alone_what_is_not_ours(tmp_path: Path) -> None:
    store, authority = Store(tmp_path), Authority(tmp_path)
    authority.create("cams", [], NOW - timedelta(days=100))
    (ours,), foreign = issue_for(authority, "ecdsa", days_ago=80), self_signed_pair("rsa")
    store.install("ipc1", [ours, foreign], "install")
    generation = renew(store, authority, "ipc1", NOW)
    assert generation is not None
    assert generation.pairs[1] == foreign.description
    assert generation.pairs[0] != ours.description
    store.install("ipc2", [ours], "authority")
    (tmp_path / "cameras/ipc2/ssl.ca").write_bytes(b"put there by hand")
    assert renew(store, authority, "ipc2", NOW) is None


def self_signed_pair(key_type: KeyType) -> Pair:
    key = new_key(key_type)
    leaf = self_signed(key, Subject(("cams",)), datetime.now(UTC))
    return vetted(Material(certificate=leaf.public_bytes(Encoding.PEM), private_key=key_pem(key)), "global")


def test_beside() -> None:
    a, b, r, s = pair("a"), pair("b"), pair("r", "RSA 3072"), pair("s", "RSA 2048")
    assert beside([], a) == [a]
    assert beside([a], b) == [b]
    assert beside([a], r) == [a, r]
    assert beside([r], a) == [r, a]
    assert beside([a, r], s) == [a, s]
    assert beside([a, r], b) == [b, r]


def test_a_request_that_waits_keeps_its_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = signing_request(store, "ipc1", Subject(("a.example.org",)), "ecdsa")
    key = store.pending("ipc1")
    assert mode(key) == 0o600
    pem = key.read_bytes()
    second = signing_request(store, "ipc1", Subject(("b.example.org",)), "ecdsa")
    publics = [x509.load_pem_x509_csr(each).public_key() for each in (first, second)]
    assert publics[0] == publics[1]
    assert key.read_bytes() == pem
    with pytest.raises(StoreError, match=r"another kind of key has not been answered; .* remove .*ipc1\.key"):
        signing_request(store, "ipc1", Subject(("a.example.org",)), "rsa")
    store.forget_pending("ipc1")
    assert not key.exists()
    store.forget_pending("ipc1")
