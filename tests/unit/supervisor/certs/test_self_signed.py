import ipaddress
import os
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from camfleet.supervisor.certs import ensure_pair, issue
from camfleet.supervisor.tls import CertificateError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.kit.tls_client import SystemClient, establish, read_context

NOW = datetime(2026, 3, 1, tzinfo=UTC)


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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ssl.ca", "ssl.key"]
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
    pair = ensure_pair(tmp_path)
    assert pair[1].read_bytes() == pem
    read_context(*pair)


def test_a_certificate_without_its_key_is_not_replaced(tmp_path: Path) -> None:
    certificate, private_key = ensure_pair(tmp_path)
    content = certificate.read_bytes()
    private_key.unlink()
    with pytest.raises(CertificateError, match=r"ssl.key is not; remove it"):
        ensure_pair(tmp_path)
    assert certificate.read_bytes() == content


def test_the_certificates_words() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    address = ipaddress.ip_address("192.0.2.7")
    certificate = issue(key, ["localhost", "cams"], [address], NOW)
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime <= timedelta(days=397)
    assert certificate.not_valid_before_utc < NOW - timedelta(hours=14), "a client's clock in any time zone"
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "cams"]
    assert names.get_values_for_type(x509.IPAddress) == [address]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    usages = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_openssl_finds_no_fault(tmp_path: Path) -> None:
    certificate, _ = ensure_pair(tmp_path)
    command: list[str | Path] = [
        "openssl",
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        certificate,
        certificate,
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith(": OK\n")
