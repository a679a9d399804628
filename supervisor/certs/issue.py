"""Makes keys, certificates (RFC 5280) and signing requests (RFC 2986). No files and no clock."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from camfleet.supervisor import StartError
from camfleet.supervisor.tls.context import PrivateKey
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .addresses import IPAddress

KeyType = Literal["ecdsa", "rsa"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

# The longest that browsers and Apple's systems accept is 398 days; a day less for rounding. It is not shorter, because
# clients pin this certificate by hand.
SELF_SIGNED_DAYS = 397
ISSUED_DAYS = 90
ROOT_DAYS = 3652  # ten years
# Everything begins a day early, or a tenth of its lifetime, for clients whose clock is behind or in another zone.
_BACKDATED = timedelta(days=1)

_RSA_SIZE = 3072  # as strong as P-256 (NIST SP 800-57 part 1, table 2)
_MAX_COMMON_NAME = 64  # RFC 5280 A.1, ub-common-name
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_NAME = re.compile(rf"(?!.{{254}})(\*\.(?=.*\.))?{_LABEL}(\.{_LABEL})*")


class SubjectError(StartError):
    """Not a name that a certificate can carry."""


class Subject(NamedTuple):
    """What clients call the server."""

    names: tuple[str, ...]  # DNS names; "*.example.org" too
    addresses: tuple[IPAddress, ...] = ()


def parse_subject(given: Iterable[str]) -> Subject:
    """DNS names and addresses, each once. Raises SubjectError."""
    names: dict[str, None] = {}
    addresses: dict[IPAddress, None] = {}
    for text in given:
        try:
            addresses[ipaddress.ip_address(text.partition("%")[0])] = None  # a scope is nothing to others
        except ValueError:
            names[dns_name(text)] = None
    return Subject(tuple(names), tuple(addresses))


def dns_name(text: str) -> str:
    """In lower case, without the final dot. Raises SubjectError."""
    name = text.lower().removesuffix(".")
    if not _DNS_NAME.fullmatch(name):
        hint = "; write it with its xn-- labels" if not text.isascii() else ""
        raise SubjectError(f"{text!r} is neither a DNS name nor an address{hint}")
    return name


def without_loopback(subject: Subject) -> Subject:
    """What an authority may be asked for: "localhost" is everybody's."""
    return Subject(
        tuple(name for name in subject.names if name != "localhost"),
        tuple(each for each in subject.addresses if not each.is_loopback and not each.is_link_local),
    )


def new_key(key_type: KeyType) -> PrivateKey:
    if key_type == "rsa":
        return rsa.generate_private_key(65537, _RSA_SIZE)
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """PKCS#8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def self_signed(key: PrivateKey, subject: Subject, now: datetime, days: int = SELF_SIGNED_DAYS) -> x509.Certificate:
    """Of a TLS server."""
    name = _common_name("camfleet")
    # RFC 5280 4.2.1.1 lets it be left out here; rustls and others of the stricter kind want it all the same.
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    extensions = [*_server_extensions(key.public_key(), subject), (authority, False)]
    return _with(_builder(name, name, key.public_key(), now, days), extensions).sign(key, hashes.SHA256())


def signing_request(key: PrivateKey, subject: Subject) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(_named_after(subject))
    return builder.add_extension(_alternatives(subject), critical=False).sign(key, hashes.SHA256())


def root(
    key: PrivateKey, name: str, permitted: Sequence[str | Network], now: datetime, days: int = ROOT_DAYS
) -> x509.Certificate:
    """Of a certificate authority that signs servers directly. `permitted`: domains and networks; empty: any."""
    subject = _common_name(name)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_key_usage(authority=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    if permitted:
        extensions.append((_name_constraints(permitted), True))
    return _with(_builder(subject, subject, key.public_key(), now, days), extensions).sign(key, hashes.SHA256())


def issued(
    public: PublicKey,
    subject: Subject,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    now: datetime,
    days: int = ISSUED_DAYS,
) -> x509.Certificate:
    """Of a TLS server; it ends with its issuer at the latest."""
    builder = _builder(_named_after(subject), issuer.subject, public, now, days, issuer.not_valid_after_utc)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    extensions = [*_server_extensions(public, subject), (authority, False)]
    return _with(builder, extensions).sign(issuer_key, hashes.SHA256())


def _builder(
    name: x509.Name, issuer: x509.Name, public: PublicKey, now: datetime, days: int, latest: datetime | None = None
) -> x509.CertificateBuilder:
    """`days`: in all, those before `now` among them."""
    lifetime = timedelta(days=days)
    begin = now - min(_BACKDATED, lifetime / 10)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(min(begin + lifetime, latest or begin + lifetime))
    )


def _with(
    builder: x509.CertificateBuilder, extensions: Iterable[tuple[x509.ExtensionType, bool]]
) -> x509.CertificateBuilder:
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder


def _server_extensions(public: PublicKey, subject: Subject) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(authority=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (_alternatives(subject), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
    ]


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(subject: Subject) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([*map(x509.DNSName, subject.names), *map(x509.IPAddress, subject.addresses)])


def _name_constraints(permitted: Sequence[str | Network]) -> x509.NameConstraints:
    """RFC 5280 4.2.1.10. A kind of name that is not permitted at all must be excluded: silence would allow any."""
    names = [x509.DNSName(each) for each in permitted if isinstance(each, str)]
    networks = [x509.IPAddress(each) for each in permitted if not isinstance(each, str)]
    excluded: list[x509.GeneralName] = []
    if not names:
        excluded.append(x509.DNSName(""))
    if not networks:
        excluded += [x509.IPAddress(ipaddress.ip_network(each)) for each in ("0.0.0.0/0", "::/0")]
    return x509.NameConstraints([*names, *networks], excluded or None)


def _named_after(subject: Subject) -> x509.Name:
    """Clients look at the SAN alone; people, and some authorities, at the common name.

    Never an address: without a DNS name in the SAN, OpenSSL holds the common name against the name constraints.
    """
    return _common_name(next((name for name in subject.names if len(name) <= _MAX_COMMON_NAME), "camfleet"))


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
