"""Pairs that the server makes itself: examined as all others are, then put into the store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from camfleet.supervisor.config import GLOBAL
from camfleet.supervisor.examine import Description, Material, Pair, Purpose, examine
from camfleet.supervisor.tls.context import CertificateError, load_key
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from . import issue
from .addresses import host_addresses, host_names
from .authority import Authority
from .files import CERTIFICATE_NAME, PRIVATE_KEY_NAME, LiveFiles, StoreError
from .issue import KeyType, Subject
from .store import Generation, Store


def host_subject() -> Subject:
    """All by which this machine may be called, its full name first."""
    return Subject(tuple(reversed(host_names())), tuple(host_addresses()))


def ensure_pair(folder: Path) -> tuple[Path, Path]:
    """Paths of the global certificate and key in `folder` (mode 0700); what is there stays, what is not is made.

    A key alone, an operator's own, gets a certificate. Raises CertificateError for a certificate without its key,
    StoreError.
    """
    store = Store(folder)
    store.recover(GLOBAL)
    files = LiveFiles(folder / CERTIFICATE_NAME, folder / PRIVATE_KEY_NAME)
    if files.certificate.exists():
        if not files.private_key.exists():
            raise CertificateError(
                f"{files.certificate} is there but {files.private_key} is not; remove it to get a new pair"
            )
        return files
    key = load_key(files.private_key) if files.private_key.exists() else issue.new_key("ecdsa")
    certificate = issue.self_signed(key, host_subject(), datetime.now(UTC))
    material = Material(certificate=issue.certificate_pem(certificate), private_key=issue.key_pem(key))
    store.install(GLOBAL, [vetted(material, GLOBAL)], "self-signed")
    return files


def vetted(material: Material, identity: str, trusted: bytes = b"") -> Pair:
    """What was made here passes the same examination. Raises StoreError."""
    report = examine(material, Purpose(identity=identity, trusted=trusted))
    if report.pair is None:
        reasons = "; ".join(each.reason for each in report.findings if each.verdict == "block")
        raise StoreError(f"the certificate that was made for {identity} cannot be served: {reasons}")
    return report.pair


def renew(store: Store, authority: Authority, identity: str, now: datetime) -> Generation | None:
    """New keys and certificates for those of the live pairs that are due; None: nothing is. Raises StoreError."""
    current = store.current(identity)
    if current is None or not any(authority.due(each, now.timestamp()) for each in current.pairs):
        return None
    pairs = []
    for pair in store.pairs(identity, current.number):
        due = authority.due(pair.description, now.timestamp())
        pairs.append(_renewed(pair.description, authority, identity, now) if due else pair)
    return store.install(identity, pairs, "authority")


def _renewed(old: Description, authority: Authority, identity: str, now: datetime) -> Pair:
    """The same names, kind of key and lifetime."""
    lifetime = timedelta(seconds=old.not_after_unix_s - old.not_before_unix_s)
    material = authority.issue(
        issue.parse_subject(old.names), now, key_type=key_type(old), days=max(1, round(lifetime / timedelta(days=1)))
    )
    return vetted(material, identity, authority.root_pem)


def key_type(description: Description) -> KeyType:
    return "rsa" if description.key.startswith("RSA") else "ecdsa"


def beside(live: Sequence[Pair], fresh: Pair) -> list[Pair]:
    """`fresh` in the place of the pair with its kind of key, or as the second one."""
    pairs = [fresh if key_type(each.description) == key_type(fresh.description) else each for each in live]
    return pairs if fresh in pairs else [*pairs, fresh]


def signing_request(store: Store, identity: str, subject: Subject, wanted: KeyType) -> bytes:
    """PEM. The key waits in the store; a request that has not been answered yet is made again with the same key."""
    store.keep_pending(identity, lambda: issue.key_pem(issue.new_key(wanted)))
    path = store.pending(identity)
    try:
        key = load_key(path)
    except CertificateError as error:
        raise StoreError(str(error)) from None
    if isinstance(key, rsa.RSAPrivateKey) != (wanted == "rsa"):
        raise StoreError(f"a request with another kind of key has not been answered; to give it up, remove {path}")
    return issue.signing_request(key, subject).public_bytes(Encoding.PEM)
