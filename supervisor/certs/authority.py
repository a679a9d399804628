"""A private certificate authority: one root, which clients are given once, and short certificates below it.

authority/root.crt root.key     made whole or not at all; the key is not encrypted, as it renews without being asked
"""

import contextlib
import ipaddress
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from camfleet.supervisor.examine import Description, Material
from camfleet.supervisor.tls.context import CertificateError, PrivateKey, load_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from . import durable, issue
from .addresses import IPAddress
from .files import StoreError
from .issue import KeyType, Network, Subject

ROOT_NAME, KEY_NAME = "root.crt", "root.key"
# Who renews looks once in this time: rather before two thirds are over than after, for of the usual 90 days the
# warning of 30 days would come first.
RENEWAL_INTERVAL_S = 3600.0


class Authority:
    """The one in a folder of certificates. Every method raises StoreError."""

    def __init__(self, certs: Path) -> None:
        self._folder = certs / "authority"

    @property
    def exists(self) -> bool:
        return (self._folder / ROOT_NAME).exists()

    def create(
        self,
        host: str,
        permitted: Sequence[str],
        now: datetime,
        *,
        key_type: KeyType = "ecdsa",
        days: int = issue.ROOT_DAYS,
    ) -> None:
        """`permitted`: domains, addresses and networks that it may issue for; empty: any."""
        if self._folder.exists():
            raise StoreError(f"{self._folder} is there already; clients trust it, so it is not replaced")
        key = issue.new_key(key_type)
        # The key's digest makes the name unique: clients find an issuer by its name.
        digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]
        root = issue.root(key, f"camfleet {host[:40]} {digest}", [_subtree(each) for each in permitted], now, days)
        writing = self._folder.with_suffix(".writing")
        try:
            with contextlib.suppress(FileNotFoundError):
                durable.remove_folder(writing)  # of one that was cut off
            durable.make_folder(writing)
            durable.write(writing / KEY_NAME, issue.key_pem(key), durable.PRIVATE)
            durable.write(writing / ROOT_NAME, issue.certificate_pem(root), durable.PUBLIC)
            durable.sync_folder(writing)
            durable.rename(writing, self._folder)  # fails when another one has been faster
        except OSError as error:
            with contextlib.suppress(OSError):
                durable.remove_folder(writing)
            outcome = "" if self.exists else "; nothing was changed"
            raise StoreError(f"{error.filename or writing}: {error.strerror}{outcome}") from None

    @property
    def root(self) -> x509.Certificate:
        path = self._folder / ROOT_NAME
        try:
            return x509.load_pem_x509_certificate(path.read_bytes())
        except FileNotFoundError:
            raise StoreError("there is no authority yet; make it with: camfleet cert create authority") from None
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise StoreError(f"{path}: {error}") from None

    @property
    def root_pem(self) -> bytes:
        """For clients."""
        return issue.certificate_pem(self.root)

    @property
    def root_fingerprint(self) -> str:
        """SHA-256, hex."""
        return self.root.fingerprint(hashes.SHA256()).hex()

    def issue(
        self, subject: Subject, now: datetime, *, key_type: KeyType = "ecdsa", days: int = issue.ISSUED_DAYS
    ) -> Material:
        """A new key and its certificate. Clients have the root, so that the chain is the certificate alone."""
        root = self.root
        if now >= root.not_valid_after_utc:
            raise StoreError(f"the authority ended on {root.not_valid_after_utc:%Y-%m-%d}")
        if outside := [str(each) for each in (*subject.names, *subject.addresses) if not permits(root, each)]:
            raise StoreError(f"the authority may not issue for {', '.join(outside)}: name constraints of its root")
        if not subject.names and not subject.addresses:
            raise StoreError("a certificate needs a name; give one with --name")
        key = issue.new_key(key_type)
        certificate = issue.issued(key.public_key(), subject, root, self._key(), now, days)
        return Material(certificate=issue.certificate_pem(certificate), private_key=issue.key_pem(key))

    def permitted(self, subject: Subject) -> Subject:
        """Without the names that the authority may not issue for."""
        root = self.root
        return Subject(
            tuple(name for name in subject.names if permits(root, name)),
            tuple(address for address in subject.addresses if permits(root, address)),
        )

    def due(self, description: Description, now_unix_s: float) -> bool:
        """Whether a certificate is one of ours and two thirds of its lifetime are over, or soon."""
        if not self.exists or description.self_signed:
            return False
        if description.issuer != self.root.subject.rfc4514_string():
            return False
        begin, end = description.not_before_unix_s, description.not_after_unix_s
        return now_unix_s >= begin + (end - begin) * 2 / 3 - RENEWAL_INTERVAL_S

    def _key(self) -> PrivateKey:
        try:
            return load_key(self._folder / KEY_NAME)
        except CertificateError as error:
            raise StoreError(str(error)) from None


def permits(root: x509.Certificate, name: str | IPAddress) -> bool:
    """RFC 5280 4.2.1.10, for such constraints as `create` makes."""
    try:
        constraints = root.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return True
    permitted = [each.value for each in constraints.permitted_subtrees or ()]
    if isinstance(name, str):
        return any(isinstance(each, str) and f".{name}".endswith(f".{each}") for each in permitted)
    return any(isinstance(each, Network) and name in each for each in permitted)


def _subtree(text: str) -> str | Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return issue.dns_name(text)
