"""A certificate authority of the tests, for servers and clients."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from camfleet.supervisor.tls.context import PrivateKey
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Alternative = x509.DNSName | x509.RFC822Name | x509.IPAddress


class Authority:
    """Signs leaves; `root` is its own certificate, PEM."""

    def __init__(self, name: str = "Test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.root = self._sign(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=None), [], []
        ).public_bytes(Encoding.PEM)

    def issue(
        self,
        common_name: str,
        alternatives: Sequence[Alternative] = (),
        *,
        client: bool = False,
        key: PrivateKey | None = None,
        days: tuple[float, float] = (-1, 30),
    ) -> tuple[bytes, bytes]:
        """Certificate and private key, PEM. `days`: when it begins and ends, from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        basic = x509.BasicConstraints(ca=False, path_length=None)
        leaf = self._sign(_name(common_name), key, basic, alternatives, [usage], days)
        return leaf.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def _sign(
        self,
        subject: x509.Name,
        key: PrivateKey,
        basic: x509.BasicConstraints,
        alternatives: Sequence[Alternative],
        usages: Sequence[x509.ObjectIdentifier],
        days: tuple[float, float] = (-1, 30),
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(basic, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
