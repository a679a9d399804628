"""What is examined, what for, and what came out. These cross to the child process and back as MessagePack."""

from typing import Literal

import msgspec

Verdict = Literal["pass", "warning", "block"]

_SEVERITY: tuple[Verdict, ...] = ("pass", "warning", "block")

MAX_MATERIAL_SIZE = 1024 * 1024  # certificate, key and password together


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """As it was given: PEM, DER, PKCS#12 or PKCS#7; the key may be in the certificate's file."""

    certificate: bytes
    private_key: bytes = b""
    password: bytes = b""

    def __repr__(self) -> str:
        return f"Material({len(self.certificate)} + {len(self.private_key)} bytes)"


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """Who will show the certificate, and by what clients call it."""

    identity: str  # "global" or a camera's id
    names: tuple[str, ...] = ()  # one of these and of the addresses should be in the certificate
    addresses: tuple[str, ...] = ()
    server_name: str = ""  # by which the camera's certificate is chosen (SNI), "*.example.org" too: must be in it
    trusted: bytes = b""  # PEM of the authorities that clients trust; empty: the system's store and ...
    own_authority: bytes = b""  # ... this server's private one, PEM
    outside_dates: Verdict = "block"  # expired or not yet valid; "warning" where it is served all the same
    other_keys: dict[str, str] = {}  # SHA-256 of SubjectPublicKeyInfo, hex -> identity that uses this key


class Finding(msgspec.Struct, frozen=True):
    """One line of the table."""

    verdict: Verdict
    check: str  # a short noun: "format", "key belongs to certificate"
    reason: str  # plain words, and what to do


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A pair in words and numbers, safe to show: no control characters."""

    subject: str  # RFC 4514
    issuer: str
    names: tuple[str, ...]  # of the SAN: DNS names, then addresses
    not_before_unix_s: int  # of the leaf
    not_after_unix_s: int  # the earliest end of the chain
    fingerprint: str  # SHA-256 of the leaf, hex
    key: str  # "ECDSA P-256", "RSA 2048"
    key_fingerprint: str  # SHA-256 of the SubjectPublicKeyInfo, hex
    chain_length: int  # as sent, the leaf included
    self_signed: bool


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Ready to serve."""

    chain: bytes  # PEM: leaf first, without its root
    private_key: bytes  # PEM, PKCS#8, not encrypted
    description: Description

    def __repr__(self) -> str:
        return f"Pair({self.description.subject!r}, {self.description.fingerprint})"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the checks."""

    findings: list[Finding]
    pair: Pair | None = None  # None: something blocks

    @property
    def verdict(self) -> Verdict:
        """The worst one."""
        return max((finding.verdict for finding in self.findings), key=_SEVERITY.index, default="block")
