"""A slow, plain record layer of one direction, written from the RFCs, to compare core.tls with.

RFC 8446 5.2, 5.3, 7.1-7.3; RFC 5246 6.2.3.3; RFC 5288 3; RFC 7905 2. The AEADs are those of the `cryptography` package,
which brings its own OpenSSL; HKDF is the standard library's HMAC.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

TLS_1_2, TLS_1_3 = 0x0303, 0x0304
ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23


@dataclass(frozen=True)
class Suite:
    number: int
    version: int
    aead: type[AESGCM] | type[ChaCha20Poly1305]
    key_size: int
    digest: str

    @property
    def secret_size(self) -> int:
        """Of what a session is made from: the traffic secret of TLS 1.3, the write key of TLS 1.2."""
        return hashlib.new(self.digest).digest_size if self.version == TLS_1_3 else self.key_size

    @property
    def iv_size(self) -> int:
        """Of the fixed IV in the key block: none in TLS 1.3, the salt alone for AES-GCM."""
        if self.version == TLS_1_3:
            return 0
        return 4 if self.aead is AESGCM else 12


SUITES = [
    Suite(0x1301, TLS_1_3, AESGCM, 16, "sha256"),
    Suite(0x1302, TLS_1_3, AESGCM, 32, "sha384"),
    Suite(0x1303, TLS_1_3, ChaCha20Poly1305, 32, "sha256"),
    Suite(0xC02B, TLS_1_2, AESGCM, 16, "sha256"),
    Suite(0xC02C, TLS_1_2, AESGCM, 32, "sha384"),
    Suite(0xC02F, TLS_1_2, AESGCM, 16, "sha256"),
    Suite(0xC030, TLS_1_2, AESGCM, 32, "sha384"),
    Suite(0xCCA8, TLS_1_2, ChaCha20Poly1305, 32, "sha256"),
    Suite(0xCCA9, TLS_1_2, ChaCha20Poly1305, 32, "sha256"),
]


def hkdf_expand(secret: bytes, info: bytes, size: int, digest: str) -> bytes:
    """RFC 5869 2.3."""
    out = block = b""
    counter = 0
    while len(out) < size:
        counter += 1
        block = hmac.digest(secret, block + info + bytes([counter]), digest)
        out += block
    return out[:size]


def expand_label(secret: bytes, label: bytes, context: bytes, size: int, digest: str) -> bytes:
    """HKDF-Expand-Label of RFC 8446 7.1."""
    label = b"tls13 " + label
    info = size.to_bytes(2) + bytes([len(label)]) + label + bytes([len(context)]) + context
    return hkdf_expand(secret, info, size, digest)


class RecordError(Exception):
    """Not a record that this direction's key has made."""


class Direction:
    """One direction of a connection; the same object can seal or open, each advances `sequence`."""

    def __init__(self, suite: Suite, secret: bytes, iv: bytes = b"", sequence: int = 0) -> None:
        """`iv`: TLS 1.2 only. Behind the salt of AES-GCM may stand the explicit nonce of record 0."""
        self.suite = suite
        self.secret = secret
        self.sequence = sequence
        self.iv = iv
        self._set_key()

    def _set_key(self) -> None:
        key = self.secret
        if self.suite.version == TLS_1_3:
            key = expand_label(self.secret, b"key", b"", self.suite.key_size, self.suite.digest)
            self.iv = expand_label(self.secret, b"iv", b"", 12, self.suite.digest)
        self._aead = self.suite.aead(key)

    def update(self) -> None:
        """RFC 8446 7.2."""
        self.secret = expand_label(self.secret, b"traffic upd", b"", len(self.secret), self.suite.digest)
        self.sequence = 0
        self._set_key()

    def _nonce(self) -> bytes:
        if self.suite.iv_size == 4:
            first = int.from_bytes(self.iv[4:])
            return self.iv[:4] + ((first + self.sequence) % 2**64).to_bytes(8)
        return bytes(a ^ b for a, b in zip(self.iv, self.sequence.to_bytes(12), strict=True))

    def seal(self, content: bytes, content_type: int = APPLICATION_DATA, padding: int = 0) -> bytes:
        """One record; limits are not checked, so that tests can break them."""
        nonce = self._nonce()
        if self.suite.version == TLS_1_3:
            return self.seal_inner(content + bytes([content_type]) + bytes(padding))
        explicit = nonce[4:] if self.suite.iv_size == 4 else b""
        start = bytes([content_type]) + TLS_1_2.to_bytes(2)
        sealed = self._aead.encrypt(nonce, content, self.sequence.to_bytes(8) + start + len(content).to_bytes(2))
        self.sequence += 1
        return start + (len(explicit) + len(sealed)).to_bytes(2) + explicit + sealed

    def seal_inner(self, inner: bytes) -> bytes:
        """TLS 1.3: any bytes as TLSInnerPlaintext."""
        header = bytes([APPLICATION_DATA]) + TLS_1_2.to_bytes(2) + (len(inner) + 16).to_bytes(2)
        sealed = self._aead.encrypt(self._nonce(), inner, header)
        self.sequence += 1
        return header + sealed

    def open(self, record: bytes) -> tuple[int, bytes]:
        """Content type and content of one whole record. Raises cryptography's InvalidTag or RecordError."""
        header, body = record[:5], record[5:]
        if len(body) != int.from_bytes(header[3:]):
            raise RecordError(f"{len(body)} bytes after a header that says {int.from_bytes(header[3:])}")
        nonce = self._nonce()
        if self.suite.version == TLS_1_3:
            inner = self._aead.decrypt(nonce, body, header).rstrip(b"\0")
            if not inner or header[0] != APPLICATION_DATA:
                raise RecordError("no content type, or an unprotected record")
            self.sequence += 1
            return inner[-1], inner[:-1]
        if self.suite.iv_size == 4:
            nonce, body = nonce[:4] + body[:8], body[8:]
        additional = self.sequence.to_bytes(8) + header[:3] + (len(body) - 16).to_bytes(2)
        content = self._aead.decrypt(nonce, body, additional)
        self.sequence += 1
        return header[0], content
