"""Certificates with exactly one thing wrong. Keys are ECDSA where it does not matter: they take no time to make."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VECTORS = Path(__file__).parents[1] / "vectors" / "certificates"
PASSWORD = b"secret"  # of all that is encrypted there

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def vector(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(vector(f"rsa_{bits}.key"), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def key_usage(**allowed: bool) -> x509.KeyUsage:
    kinds = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{kind: allowed.get(kind, False) for kind in kinds})


@dataclass(frozen=True)
class Recipe:
    """A server's certificate without a fault, until something is changed."""

    name: str = "cam.example.org"
    names: tuple[str, ...] = ("cam.example.org",)
    addresses: tuple[str, ...] = ("192.0.2.1",)
    begins: datetime = NOW - DAY
    ends: datetime = NOW + 90 * DAY
    serial_number: int = 0x1234
    authority: bool = False
    digest: hashes.SHA256 | hashes.SHA224 = field(default_factory=hashes.SHA256)
    key_usage: x509.KeyUsage | None = field(default_factory=lambda: key_usage(digital_signature=True))
    uses: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,)
    more: tuple[x509.ExtensionType, ...] = ()

    def made(self, key: Key, issuer: "Issuer | None" = None) -> x509.Certificate:
        """`issuer` None: self-signed."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(self.name))
            .issuer_name(issuer.certificate.subject if issuer else named(self.name))
            .public_key(key.public_key())
            .serial_number(self.serial_number)
            .not_valid_before(self.begins)
            .not_valid_after(self.ends)
            .add_extension(x509.BasicConstraints(ca=self.authority, path_length=None), critical=True)
        )
        alternatives = [*map(x509.DNSName, self.names), *(x509.IPAddress(ip_address(a)) for a in self.addresses)]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if self.key_usage:
            builder = builder.add_extension(self.key_usage, critical=True)
        if self.uses:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.uses), critical=False)
        for extension in self.more:
            builder = builder.add_extension(extension, critical=False)
        signer = issuer.key if issuer else key
        return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else self.digest)


@dataclass(frozen=True)
class Issuer:
    certificate: x509.Certificate
    key: Key


def authority(
    name: str, issuer: Issuer | None = None, key: Key | None = None, ends: datetime = NOW + 3650 * DAY
) -> Issuer:
    """A root, or an intermediate."""
    key = key or ec_key()
    usage = key_usage(key_cert_sign=True, crl_sign=True)
    recipe = Recipe(
        name, names=(), addresses=(), begins=NOW - 3650 * DAY, ends=ends, authority=True, key_usage=usage, uses=()
    )
    return Issuer(recipe.made(key, issuer), key)


def pem(*things: x509.Certificate | Key) -> bytes:
    return b"".join(
        thing.public_bytes(Encoding.PEM)
        if isinstance(thing, x509.Certificate)
        else thing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for thing in things
    )


def der(thing: x509.Certificate | Key) -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(Encoding.DER)
    return thing.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
