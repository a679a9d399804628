"""The chain as it must be sent (RFC 8446 4.4.2): leaf first, each next one the issuer of the one before, no root."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

# X509_V_ERR_..., x509_vfy.h
DEPTH_ZERO_SELF_SIGNED = 18
_ISSUER_UNKNOWN = {2, 19, 20, 21}


@dataclass(frozen=True, slots=True)
class Chain:
    """What is sent, and what has been done to have it so."""

    certificates: tuple[x509.Certificate, ...]  # leaf first
    root: x509.Certificate | None  # was there, is not sent: who trusts it has it
    mended: tuple[str, ...]  # in words
    strangers: tuple[x509.Certificate, ...]  # belong to no certificate of the chain

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]

    @property
    def self_signed(self) -> bool:
        return is_root(self.leaf)


def build(certificates: Sequence[x509.Certificate], keys: Sequence[PrivateKeyTypes]) -> Chain:
    """Of at least one certificate."""
    unique = list(dict.fromkeys(certificates))
    leaf = _leaf(unique, keys)
    chain, rest = [leaf], [certificate for certificate in unique if certificate != leaf]
    root = None
    while not is_root(chain[-1]):
        # Of a root that another root has signed too, the signed one goes out: it serves clients of both.
        issuers = sorted((c for c in rest if issued(chain[-1], c)), key=is_root)
        if not issuers:
            break
        rest.remove(issuers[0])
        if is_root(issuers[0]):
            root = issuers[0]
            break
        chain.append(issuers[0])
    given = [certificate for certificate in unique if certificate in chain]
    mended = [
        words
        for done, words in (
            (len(unique) < len(certificates), "duplicates dropped"),
            (given != chain, "put in order"),
            (root is not None, "the root dropped, which clients have themselves"),
        )
        if done
    ]
    return Chain(tuple(chain), root, tuple(mended), tuple(rest))


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except (UnsupportedAlgorithm, ValueError, TypeError):  # the name must do; rules.py speaks of the algorithm
        return True
    return True


def is_root(certificate: x509.Certificate) -> bool:
    return issued(certificate, certificate)


def public_bytes(key: PublicKeyTypes) -> bytes:
    """Its SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _leaf(certificates: Sequence[x509.Certificate], keys: Iterable[PrivateKeyTypes]) -> x509.Certificate:
    """The newest one that a key belongs to; else the first that has issued none of the others."""
    ours = {public_bytes(key.public_key()) for key in keys}
    owned = [certificate for certificate in certificates if public_bytes(certificate.public_key()) in ours]
    if owned:
        return max(owned, key=lambda certificate: certificate.not_valid_before_utc)
    issuers = {certificate.issuer for certificate in certificates if certificate.issuer != certificate.subject}
    return next((c for c in certificates if c.subject not in issuers), certificates[0])


def verify(chain: Chain, trusted: Sequence[x509.Certificate], now: datetime) -> tuple[int, str]:
    """As OpenSSL's clients do it, at the nearest time when the whole chain is valid: dates have a rule of their own.

    X509_V_OK (0), or the error and OpenSSL's words for it.
    """
    begin = max(certificate.not_valid_before_utc for certificate in chain.certificates)
    end = min(certificate.not_valid_after_utc for certificate in chain.certificates)
    store = crypto.X509Store()
    for certificate in trusted:
        store.add_cert(crypto.X509.from_cryptography(certificate))
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)  # a given authority need not be a root
    store.set_time(min(max(now, begin), end).astimezone(UTC))
    first, *others = [crypto.X509.from_cryptography(certificate) for certificate in chain.certificates]
    try:
        crypto.X509StoreContext(store, first, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        code, _depth, words = error.errors
        return code, words
    return 0, ""


def issuer_is_unknown(code: int) -> bool:
    return code in _ISSUER_UNKNOWN
