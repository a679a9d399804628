"""A self-signed pair, so that the first start is secure without a question asked (RFC 5280)."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from camfleet.supervisor.tls.context import CertificateError, PrivateKey, load_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .addresses import IPAddress, host_addresses, host_names

CERTIFICATE_NAME = "ssl.ca"
PRIVATE_KEY_NAME = "ssl.key"

# The longest that browsers and Apple's systems accept is 398 days; a day less for rounding. It is not shorter, because
# clients pin this certificate by hand. It begins a day early for clients whose clock is behind or in another zone.
VALIDITY = timedelta(days=397)
_BACKDATED = timedelta(days=1)


def ensure_pair(folder: Path) -> tuple[Path, Path]:
    """Paths of certificate and key in `folder` (mode 0700); what is there stays as it is, what is not is made.

    The key is written first: a crash between the two leaves a key alone, and so does an operator who brings his own;
    it then gets a certificate. Raises CertificateError for a certificate without its key, OSError.
    """
    certificate, private_key = folder / CERTIFICATE_NAME, folder / PRIVATE_KEY_NAME
    if certificate.exists():
        if not private_key.exists():
            raise CertificateError(f"{certificate} is there but {private_key} is not; remove it to get a new pair")
        return certificate, private_key
    if not private_key.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        _write(private_key, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    key = load_key(private_key)
    names, addresses = host_names(), host_addresses()
    _write(certificate, issue(key, names, addresses, datetime.now(UTC)).public_bytes(Encoding.PEM), mode=0o644)
    return certificate, private_key


def issue(key: PrivateKey, names: Sequence[str], addresses: Sequence[IPAddress], now: datetime) -> x509.Certificate:
    """A self-signed certificate of a TLS server with these names and addresses."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "camfleet")])
    public = key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    alternatives = [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(alternatives), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now - _BACKDATED + VALIDITY)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256())


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """All or nothing, also when the power goes: a new file, fsync, rename, fsync of the folder."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
