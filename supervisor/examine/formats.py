"""Certificates and keys out of files: PEM with anything around it, DER, PKCS#12, PKCS#7, in any mixture.

Nothing is believed but the bytes: which file a certificate or key is in and what the file is called does not matter.
Runs in the child process only (sandbox.py).
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    pkcs7,
    pkcs12,
)
from OpenSSL import crypto

from .report import Material

MAX_CERTIFICATES = 64  # a chain has 2 to 4; more is somebody's collection
MAX_KEYS = 8
MAX_ROUNDS = 5_000_000  # of a password's protection: a second of work. OpenSSL's default is 2,048, OWASP says 600,000

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
_NOT_BASE64 = re.compile(rb"\s+")
_STRANGERS = {
    "CERTIFICATE REQUEST": "a signing request: give the certificate that the authority sends back for it",
    "NEW CERTIFICATE REQUEST": "a signing request: give the certificate that the authority sends back for it",
    "PUBLIC KEY": "a public key: the private key is needed",
    "RSA PUBLIC KEY": "a public key: the private key is needed",
    "OPENSSH PRIVATE KEY": "a key in OpenSSH's own form: convert it with ssh-keygen -p -m PEM -f FILE",
}
_JAVA_KEYSTORES = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")

# id-PBKDF2 and PBES1 (RFC 8018 A), PKCS#12's own (RFC 7292 C). Parameters of all: SEQUENCE { salt OCTET STRING,
# iterationCount INTEGER, .. }
_KEY_DERIVATION = re.compile(
    rb"\x06(?:\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05[\x01-\x0c]|\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01[\x01-\x06])\x30"
)
_PKCS12_VERSION = b"\x02\x01\x03"  # no other form begins with version 3


_UNREADABLE = (ValueError, x509.InvalidVersion)  # what the library raises for certificates that are none


class UnusableError(Exception):
    """The material cannot even be taken apart; `check` and the text are those of the finding."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(reason)
        self.check = check


@dataclass(slots=True)
class Found:
    """Everything that was in the material, in order."""

    certificates: list[x509.Certificate] = field(default_factory=list)
    keys: list[PrivateKeyTypes] = field(default_factory=list)
    forms: dict[str, None] = field(default_factory=dict)  # "PEM", "PKCS#12"; in order
    strangers: dict[str, None] = field(default_factory=dict)  # what is neither


def read(material: Material) -> Found:
    """Raises UnusableError."""
    found = Found()
    reader = _Reader(found, material.password)
    if not material.certificate.strip():
        raise UnusableError("format", "the certificate's file is empty")
    for data in (material.certificate, material.private_key):
        if data.strip():
            reader.read(data)
    if not found.certificates:
        held = "; it holds " + "; ".join(found.strangers) if found.strangers else ", but a private key only"
        raise UnusableError("format", f"there is no certificate in it{held}")
    if not found.keys:
        held = f"; there is {'; '.join(found.strangers)}" if found.strangers else ": give its file too"
        raise UnusableError("format", f"the private key is missing{held}")
    for number, certificate in enumerate(found.certificates, 1):
        _read_all(certificate, number)
    return found


def authorities(pem: bytes) -> list[x509.Certificate]:
    """Those of a store that can be read: of a system's 150, a few break the standard."""
    end = b"-----END CERTIFICATE-----"
    found = []
    for block in pem.split(end)[:-1]:
        try:
            certificate = x509.load_pem_x509_certificate(block + end)
            crypto.X509.from_cryptography(certificate)
        except (*_UNREADABLE, crypto.Error):
            continue
        found.append(certificate)
    return found


class _Reader:
    def __init__(self, found: Found, password: bytes) -> None:
        self._found = found
        self._password = password

    def read(self, data: bytes) -> None:
        text = _as_ascii(data)
        if _BEGIN in text:
            coding = "" if text is data else ", UTF-16"
            self._found.forms[f"PEM{coding}"] = None
            for label, body in _blocks(text):
                self._read_block(label, body)
        elif data.startswith(_JAVA_KEYSTORES):
            raise UnusableError("format", "this is a Java keystore; convert it with keytool -importkeystore to PKCS12")
        else:
            self._read_der(data)

    def _read_block(self, label: str, body: bytes) -> None:
        if label in _STRANGERS:
            self._found.strangers[_STRANGERS[label]] = None
        elif label.endswith("PRIVATE KEY") and b"Proc-Type" in body:
            lines = [b"-----BEGIN %b-----" % label.encode(), *(line.strip() for line in body.strip().splitlines())]
            self._add_key(b"\n".join([*lines, b"-----END %b-----" % label.encode(), b""]), pem=True)
        elif label.endswith("PRIVATE KEY"):
            self._add_key(_decode(label, body))
        elif label in ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"):
            der = _decode(label, body)
            self._add_certificate(der[: _size(der)] if label.startswith("TRUSTED") else der)
        elif label in ("PKCS7", "CMS", "PKCS #7 SIGNED DATA"):
            if not self._add_pkcs7(_decode(label, body)):
                raise UnusableError("format", f"the PEM block {label} is damaged, or is not a list of certificates")
        else:
            self._found.strangers[f'a PEM block "{label[:40]}"'] = None

    def _read_der(self, der: bytes) -> None:
        header = der[:1] == b"\x30" and _header_size(der)
        if header and der[header : header + len(_PKCS12_VERSION)] == _PKCS12_VERSION:
            self._found.forms["PKCS#12"] = None
            self._add_pkcs12(der)
            return
        if header and self._add_pkcs7(der):
            self._found.forms["PKCS#7"] = None
            return
        self._found.forms["DER"] = None
        with contextlib.suppress(ValueError):
            x509.load_der_x509_csr(der)
            self._found.strangers[_STRANGERS["CERTIFICATE REQUEST"]] = None
            return
        with contextlib.suppress(ValueError, UnsupportedAlgorithm):
            load_der_public_key(der)
            self._found.strangers[_STRANGERS["PUBLIC KEY"]] = None
            return
        try:
            certificate = x509.load_der_x509_certificate(der)
        except _UNREADABLE:
            # SEQUENCE { SEQUENCE { [0] version 3: only a certificate
            if header and der[header:].startswith(b"\x30") and b"\xa0\x03\x02\x01\x02" in der[:16]:
                raise UnusableError("format", _damaged(1)) from None
        else:
            self._append(certificate)
            return
        if not header or not _looks_like_a_key(der[header:]):
            raise UnusableError("format", "this is neither PEM nor DER nor PKCS#12 nor PKCS#7, or it is damaged")
        self._add_key(der)

    def _add_certificate(self, der: bytes) -> None:
        try:
            self._append(x509.load_der_x509_certificate(der))
        except _UNREADABLE:
            raise UnusableError("format", _damaged(len(self._found.certificates) + 1)) from None

    def _append(self, *certificates: x509.Certificate) -> None:
        self._found.certificates += certificates
        if len(self._found.certificates) > MAX_CERTIFICATES:
            raise UnusableError(
                "format", f"there are more than {MAX_CERTIFICATES} certificates in it; give one and its intermediates"
            )

    def _add_pkcs7(self, der: bytes) -> bool:
        try:
            self._append(*pkcs7.load_der_pkcs7_certificates(der))
        except (*_UNREADABLE, UnsupportedAlgorithm):
            return False
        return True

    def _add_pkcs12(self, der: bytes) -> None:
        _refuse_too_many_rounds(max(_rounds(der), _mac_rounds(der)))
        try:
            store = pkcs12.load_pkcs12(der, self._password or None)
        except _UNREADABLE:
            raise UnusableError("password", self._refused_password("PKCS#12 file")) from None
        except UnsupportedAlgorithm as error:
            raise UnusableError("format", f"the PKCS#12 file uses what this system does not support: {error}") from None
        if store.key is not None:
            self._add(store.key)
        if store.cert is not None:
            self._append(store.cert.certificate)
        self._append(*(extra.certificate for extra in store.additional_certs))

    def _add_key(self, data: bytes, *, pem: bool = False) -> None:
        # RSA keys are not proved to be of primes: that takes 38 s for 16,384 bits. rules.py looks at the size first.
        load = load_pem_private_key if pem else load_der_private_key
        try:
            try:
                key = load(data, None, unsafe_skip_rsa_key_validation=True)
            except TypeError:  # it is encrypted
                if not self._password:
                    raise UnusableError("password", self._refused_password("private key")) from None
                _refuse_too_many_rounds(_rounds(data))
                try:
                    key = load(data, self._password, unsafe_skip_rsa_key_validation=True)
                except (ValueError, TypeError):
                    raise UnusableError("password", self._refused_password("private key")) from None
        except UnsupportedAlgorithm as error:
            raise UnusableError(
                "key", f"the private key, or its encryption, is of a kind not supported: {error}"
            ) from None
        except ValueError:
            raise UnusableError(
                "format", "the private key is damaged or of an unknown kind; take a fresh copy, or make a new one"
            ) from None
        self._add(key)

    def _add(self, key: PrivateKeyTypes) -> None:
        self._found.keys.append(key)
        if len(self._found.keys) > MAX_KEYS:
            raise UnusableError(
                "format", f"there are more than {MAX_KEYS} private keys in it; give the certificate's alone"
            )

    def _refused_password(self, what: str) -> str:
        if self._password:
            return f"the password does not open the {what}"
        return f"the {what} is encrypted: its password is needed (--password-file FILE, or type it)"


def _as_ascii(data: bytes) -> bytes:
    """UTF-16 as Windows' editor saves it, with its mark or without, as ASCII; anything else as it is."""
    if b"-\x00-\x00-\x00-\x00-\x00B" not in data:
        return data
    coding = "utf-16-be" if data.index(b"-\x00") % 2 else "utf-16-le"
    return data.decode(coding, errors="replace").encode("ascii", errors="replace")


def _blocks(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Label and body of each PEM block; what is around them does not count (RFC 7468 2)."""
    position = 0
    while (start := text.find(_BEGIN, position)) >= 0:
        body = text.find(_DASHES, start + len(_BEGIN))
        label = text[start + len(_BEGIN) : body]
        if body < 0 or not re.fullmatch(rb"[A-Z0-9# ]{1,64}", label):
            raise UnusableError("format", "a PEM block begins with a damaged line; take a fresh copy of the file")
        body += len(_DASHES)
        end, other = text.find(_END + label + _DASHES, body), text.find(_BEGIN, body)
        if end < 0 or 0 <= other < end:
            raise UnusableError("format", f"the PEM block {label.decode()} has no end: the file is cut off or damaged")
        yield label.decode(), text[body:end]
        position = end + 1


def _decode(label: str, body: bytes) -> bytes:
    try:
        return base64.b64decode(_NOT_BASE64.sub(b"", body), validate=True)
    except binascii.Error:
        raise UnusableError("format", f"the PEM block {label} is not base64: the file is damaged") from None


def _damaged(number: int) -> str:
    return (
        f"certificate {number} is damaged or breaks RFC 5280: take a fresh copy, or ask its authority for another one"
    )


def _read_all(certificate: x509.Certificate, number: int) -> None:
    """The library reads late, and OpenSSL in its own way: what they cannot read is found here, and nowhere else."""
    try:
        for value in ("subject", "issuer", "not_valid_before_utc", "not_valid_after_utc", "extensions"):
            getattr(certificate, value)
        certificate.public_key()
        crypto.X509.from_cryptography(certificate)
    except UnsupportedAlgorithm:
        raise UnusableError(
            "key", f"certificate {number} has a key of an unknown kind: use ECDSA P-256 or RSA"
        ) from None
    except (*_UNREADABLE, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, KeyError, crypto.Error):
        # KeyError: the library's word for a TLS feature (RFC 7633) that it does not know
        raise UnusableError("format", _damaged(number)) from None


def _looks_like_a_key(body: bytes) -> bool:
    """PKCS#1, SEC 1 and PKCS#8 begin with a version of 0 or 1, encrypted PKCS#8 with an algorithm."""
    return body[:3] in (b"\x02\x01\x00", b"\x02\x01\x01") or (body[:1] == b"\x30" and body[2:3] == b"\x06")


def _refuse_too_many_rounds(rounds: int) -> None:
    if rounds > MAX_ROUNDS:
        raise UnusableError(
            "limits",
            f"its password is stretched in {rounds:,} rounds; more than {MAX_ROUNDS:,} are refused. "
            "Save it again with fewer: openssl pkcs8 -topk8 -iter 600000 (PKCS#12: openssl pkcs12 -export)",
        )


# ---------------------------------------------------------------- DER, as much as is needed


def _header_size(der: bytes) -> int:
    return 2 if der[1:2] < b"\x80" else 2 + (der[1] & 0x7F)


def _size(der: bytes) -> int:
    """Of the first element, header included."""
    header = _header_size(der)
    return header + (der[1] if header == 2 else int.from_bytes(der[2:header]))


def _rounds(der: bytes) -> int:
    """The most that any key derivation in it asks for."""
    return max((_parameter(der[match.end() - 1 :]) for match in _KEY_DERIVATION.finditer(der)), default=0)


def _parameter(der: bytes) -> int:
    salt = der[_header_size(der) :][:1024]
    if salt[:1] != b"\x04":
        return 0
    count = salt[_size(salt) :]
    return int.from_bytes(count[2 : _size(count)]) if count[:1] == b"\x02" else 0


def _mac_rounds(der: bytes) -> int:
    """PKCS#12's last element: MacData { DigestInfo, salt, iterations INTEGER DEFAULT 1 }."""
    for size in range(1, 6):
        if der[-size - 2 : -size] == bytes((2, size)):
            return int.from_bytes(der[-size:])
    return 0
