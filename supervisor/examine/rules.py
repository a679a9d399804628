"""The checks, one function each, in the order in which they are shown.

A rule blocks what cannot be served or what no client takes, warns of what some clients refuse, and says what to do.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    PublicKeyAlgorithmOID,
    SignatureAlgorithmOID,
)

from . import names
from .chain import DEPTH_ZERO_SELF_SIGNED, Chain, issuer_is_unknown, public_bytes, verify
from .formats import Found, authorities
from .report import Finding, Purpose, Verdict

MIN_RSA_BITS, LARGE_RSA_BITS, MAX_RSA_BITS = 2048, 4096, 8192
SOON_DAYS = 30
_DAY_S = 86_400
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}  # what TLS 1.3 can sign with

Result = tuple[Verdict, str]
_E = TypeVar("_E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Case:
    """All that the rules look at. No repr of the key: it has none."""

    found: Found
    chain: Chain
    key: PrivateKeyTypes | None  # the one that belongs to the leaf
    purpose: Purpose
    trusted: Sequence[x509.Certificate]  # the authorities of purpose.trusted, or of this system
    now: datetime

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain.leaf


def judge(case: Case) -> Iterator[Finding]:
    for check, rule in RULES:
        verdict, reason = rule(case)
        yield Finding(verdict, check, reason)


def key_name(key: PrivateKeyTypes | PublicKeyTypes) -> str:
    """ "ECDSA P-256", "RSA 2048"; for others the library's word."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")


def _form(case: Case) -> Result:
    count, keys = len(case.found.certificates), len(case.found.keys)
    held = f"{count} certificate{'s' * (count > 1)} and {keys} private key{'s' * (keys > 1)}"
    return "pass", f"{', '.join(case.found.forms)}: {held}"


def _ownership(case: Case) -> Result:
    if case.key is not None:
        return "pass", f"the private key is that of {names.shown(case.leaf.subject)}"
    leaf, given = key_name(case.leaf.public_key()), key_name(case.found.keys[0])
    given = "another one" if given == leaf else given
    return "block", (
        f"the private key belongs to none of the certificates; {names.shown(case.leaf.subject)} has an "
        f"{leaf} key, given is {given}: find the key that the signing request was made with"
    )


def _order(case: Case) -> Result:
    chain = case.chain
    count = len(chain.certificates) - 1
    sent = f"the certificate and {count} intermediate{'s' * (count != 1)}" if count else "the certificate alone"
    done = f" ({', '.join(chain.mended)})" if chain.mended else ""
    if chain.strangers:
        left_out = names.listed([names.shown(certificate.subject) for certificate in chain.strangers], 3)
        return "warning", f"{sent}{done}; left out, because they do not belong to it: {left_out}"
    return "pass", sent + done


def _trust(case: Case) -> Result:
    given = bool(case.purpose.trusted)
    whose = "the given authorities" if given else "the authorities that this system trusts"
    if not case.trusted:
        return ("block", "the given authorities' file holds no certificate in PEM form") if given else (
            "warning", "not verified: this system has no store of authorities; give yours with --ca FILE"
        )  # fmt: skip
    code, words = verify(case.chain, case.trusted, case.now)
    if code == 0:
        return "pass", _trusted(case, whose)
    if case.chain.self_signed or code == DEPTH_ZERO_SELF_SIGNED:
        return _refused(given), "self-signed: clients that verify need this very certificate, or one from an authority"
    if issuer_is_unknown(code):
        return _refused(given), _unknown_issuer(case.chain, whose)
    return "block", f"the chain does not verify: {words}; ask the authority for a new certificate"


def _trusted(case: Case, whose: str) -> str:
    if case.chain.self_signed:
        return f"self-signed, and among {whose}"
    top = case.chain.certificates[-1].issuer
    if any(each.subject == top for each in authorities(case.purpose.own_authority)):
        return f"verified: this server's own authority, {names.shown(top)}; clients need its root (camfleet cert root)"
    return f"verified: {whose}, {names.shown(top)}"


def _refused(given: bool) -> Verdict:
    """Who names the authority of his clients wants to know that they will refuse."""
    return "block" if given else "warning"


def _unknown_issuer(chain: Chain, whose: str) -> str:
    top = chain.certificates[-1]
    issuer = names.shown(top.issuer)
    if chain.root is not None:
        return f"{issuer} is not among {whose}: clients that verify need its root certificate"
    where = "".join(f" (it is at {names.printable(url)})" for url in _issuer_urls(top)[:1])
    return (
        f"{issuer} is neither in the file nor among {whose}: add the missing intermediate{where}; "
        "if it is a private authority's root, give that to the clients"
    )


def _issuer_urls(certificate: x509.Certificate) -> list[str]:
    access = _extension(certificate, x509.AuthorityInformationAccess) or ()
    return [
        description.access_location.value
        for description in access
        if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        and isinstance(description.access_location, x509.UniformResourceIdentifier)
    ]


def _dates(case: Case) -> Result:
    begins = max(case.chain.certificates, key=lambda certificate: certificate.not_valid_before_utc)
    ends = min(case.chain.certificates, key=lambda certificate: certificate.not_valid_after_utc)
    end = f"{ends.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    days = (ends.not_valid_after_utc - case.now).total_seconds() / _DAY_S
    whose = "" if ends is case.leaf else f" (the intermediate {names.shown(ends.subject)})"
    if case.now < begins.not_valid_before_utc:
        begin = f"{begins.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return case.purpose.outside_dates, f"it is not valid before {begin}: wait, or set this host's clock"
    if days < 0:
        return case.purpose.outside_dates, f"it has expired on {end}{whose}: every client that verifies refuses it"
    left = f"valid until {end}{whose}, {int(days)} days left"
    return ("warning", f"{left}: renew it now") if days <= SOON_DAYS else ("pass", left)


def _names(case: Case) -> Result:
    dns, addresses = names.alternatives(case.leaf)
    held = names.listed([*dns, *addresses])
    purpose = case.purpose
    if not dns and not addresses:
        return "warning", "no subject alternative name: today's clients look at no other; ask for one with your names"
    if purpose.server_name and not names.covers(dns, purpose.server_name):
        return "warning", f"{names.printable(purpose.server_name)}, the server name, is not in it; it is for {held}"
    ours = [*purpose.names, *purpose.addresses]
    covered = [name for name in purpose.names if names.covers(dns, name)]
    covered += [address for address in purpose.addresses if names.covers_address(addresses, address)]
    if purpose.server_name:
        covered.insert(0, purpose.server_name)
    if ours and not covered:
        return "warning", (
            f"for {held}, which is none of this server's names and addresses ({names.listed(ours)}): clients that "
            "verify must reach it by a name in the certificate"
        )
    others = [name for name in ours if name not in covered]
    return "pass", f"for {held}" + (f"; not for {names.listed(others)}" if others else "")


def _key(case: Case) -> Result:
    key = case.leaf.public_key()
    kind = key_name(key)
    if case.leaf.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        return "block", "an RSA key for PSS only, which few clients know: use ECDSA P-256 or plain RSA"
    if isinstance(key, rsa.RSAPublicKey):
        return _rsa_size(case, key.key_size)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        # Windows, Apple's systems, browsers and Mbed TLS do not offer Ed25519 in signature_algorithms.
        return (
            "block",
            f"{kind} keys are refused by many clients, Windows and Apple's too: use ECDSA P-256 or RSA",
        )
    if key.curve.name not in _CURVES:
        return "block", f"TLS 1.3 has no signature for {kind}: use ECDSA P-256"
    if public_bytes(key) not in case.leaf.tbs_certificate_bytes:  # RFC 5480 2.1.1, RFC 8446 4.2.8.2
        return (
            "block",
            f"{kind}, but with its curve written out or its point compressed: clients refuse it; make a new one",
        )
    if key.curve.name == "secp521r1":
        return "warning", f"{kind}: Chrome and others of its library refuse it; P-256 is known to all"
    return "pass", kind


def _rsa_size(case: Case, bits: int) -> Result:
    if bits < MIN_RSA_BITS:
        return "block", f"RSA {bits} is too weak, clients refuse it: use {MIN_RSA_BITS} bits or ECDSA P-256"
    if bits > MAX_RSA_BITS:
        return "block", f"RSA {bits}: more than {MAX_RSA_BITS} bits are refused, each handshake would take far too long"
    if isinstance(case.key, rsa.RSAPrivateKey) and not _is_consistent(case.key.private_numbers()):
        return "block", f"RSA {bits}, but the numbers of the private key contradict each other: take a fresh copy"
    if bits > LARGE_RSA_BITS:
        return "warning", f"RSA {bits}: each handshake costs many times one of {MIN_RSA_BITS} bits or ECDSA P-256"
    return "pass", f"RSA {bits}"


def _is_consistent(key: rsa.RSAPrivateNumbers) -> bool:
    """All but the proof that p and q are prime. A wrong CRT exponent would give the key away with one signature."""
    p, q, e = key.p, key.q, key.public_numbers.e
    return (
        p > 1 < q
        and p * q == key.public_numbers.n
        and key.d * e % math.lcm(p - 1, q - 1) == 1
        and (key.dmp1, key.dmq1) == (key.d % (p - 1), key.d % (q - 1))
        and key.iqmp * q % p == 1
    )


def _signatures(case: Case) -> Result:
    worst: Result = "pass", ""
    used: dict[str, None] = {}
    for certificate in case.chain.certificates:
        subject = names.shown(certificate.subject)
        oid = certificate.signature_algorithm_oid
        try:
            algorithm = certificate.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return "block", f"{subject} is signed in a way that is not known ({oid.dotted_string}): get a new one"
        name = algorithm.name.upper() if algorithm else "no separate hash"
        used[name] = None
        if isinstance(algorithm, hashes.MD5) or (isinstance(algorithm, hashes.SHA1) and not case.chain.self_signed):
            return "block", f"{subject} is signed with {name}, which is broken and refused: get a new one with SHA-256"
        if isinstance(algorithm, hashes.SHA1):
            worst = "warning", "signed with SHA1 by itself: some clients refuse it; make a new one with SHA-256"
        elif not isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
            of = "Ed25519" if oid == SignatureAlgorithmOID.ED25519 else name
            worst = "warning", f"{subject} is signed with {of}, which some clients do not know; SHA256 is known to all"
    return worst if worst[1] else ("pass", ", ".join(used))


def _issuer_keys(case: Case) -> Result:
    for issuer in case.chain.certificates[1:]:
        key = issuer.public_key()
        if isinstance(key, rsa.RSAPublicKey) and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return (
                "block",
                f"{names.shown(issuer.subject)} has a key of {key_name(key)}: clients refuse the chain",
            )
    return "pass", ", ".join(key_name(issuer.public_key()) for issuer in case.chain.certificates[1:]) or "none"


def _key_usage(case: Case) -> Result:
    usage = _extension(case.leaf, x509.KeyUsage)
    if usage is None:
        return "pass", "no restriction"
    if usage.digital_signature:
        return "pass", "digital signature"
    return "block", "it forbids digital signatures, and every handshake is signed: ask for key usage digitalSignature"


def _extended_key_usage(case: Case) -> Result:
    usage = _extension(case.leaf, x509.ExtendedKeyUsage)
    if usage is None:
        return "pass", "no restriction"
    if ExtendedKeyUsageOID.SERVER_AUTH in usage:
        return "pass", "TLS server"
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage:
        return (
            "warning",
            "for any use, without TLS servers by name: OpenSSL's clients refuse; ask for serverAuth",
        )
    return "block", "not for TLS servers, clients refuse it: ask for extended key usage serverAuth"


def _basic_constraints(case: Case) -> Result:
    constraints = _extension(case.leaf, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return "pass", "not an authority"
    return "warning", "an authority's own certificate (CA:TRUE): Firefox and others refuse it as a server's; issue one"


def _must_staple(case: Case) -> Result:
    features = _extension(case.leaf, x509.TLSFeature) or ()
    if x509.TLSFeatureType.status_request in features:
        return "warning", "it demands OCSP stapling, which this server does not do: clients that obey it refuse"
    return "pass", "not demanded"


def _key_elsewhere(case: Case) -> Result:
    user = case.purpose.other_keys.get(fingerprint(case.leaf))
    if user is None or user == case.purpose.identity:
        return "pass", "this key is used nowhere else here"
    return "warning", f"{names.printable(user)} has the same key: who gets one has both; give each its own"


def _serial_number(case: Case) -> Result:
    wrong = [c for c in case.chain.certificates if c.serial_number <= 0 or c.serial_number.bit_length() > 159]
    if not wrong:
        return "pass", f"{case.leaf.serial_number:x}"
    return (
        "warning",
        f"that of {names.shown(wrong[0].subject)} is not positive or too long (RFC 5280): some refuse it",
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, hex."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_bytes(certificate.public_key()))
    return digest.finalize().hex()


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


RULES: tuple[tuple[str, Callable[[Case], Result]], ...] = (
    ("format", _form),
    ("key belongs to certificate", _ownership),
    ("chain", _order),
    ("trust", _trust),
    ("dates", _dates),
    ("names", _names),
    ("key", _key),
    ("keys of intermediates", _issuer_keys),
    ("signatures", _signatures),
    ("key usage", _key_usage),
    ("extended key usage", _extended_key_usage),
    ("basic constraints", _basic_constraints),
    ("must-staple", _must_staple),
    ("key used elsewhere", _key_elsewhere),
    ("serial number", _serial_number),
)
