"""All of it in a row: read, put in order, judge, rehearse, describe. Runs in the child process only (sandbox.py)."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from . import names
from .chain import Chain, build, public_bytes
from .formats import UnusableError, read
from .rehearsal import rehearse
from .report import Description, Finding, Material, Pair, Purpose, Report
from .rules import Case, fingerprint, judge, key_name


def examined(material: Material, purpose: Purpose, trusted: Sequence[x509.Certificate], now: datetime) -> Report:
    """`trusted`: the authorities to verify by. `now`: with a time zone."""
    try:
        found = read(material)
    except UnusableError as error:
        return Report(findings=[Finding("block", error.check, str(error))])
    chain = build(found.certificates, found.keys)
    key = _key_of(chain.leaf, found.keys)
    findings = list(judge(Case(found, chain, key, purpose, trusted, now)))
    if any(finding.verdict == "block" for finding in findings) or key is None:
        return Report(findings=findings)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)  # the rule "key" blocks all others
    findings += rehearse(chain.certificates, key)
    report = Report(findings=findings)
    if report.verdict == "block":
        return report
    pair = Pair(
        chain=b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain.certificates),
        private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        description=describe(chain),
    )
    return Report(findings=findings, pair=pair)


def describe(chain: Chain) -> Description:
    dns, addresses = names.alternatives(chain.leaf)
    return Description(
        subject=names.shown(chain.leaf.subject),
        issuer=names.shown(chain.leaf.issuer),
        names=tuple(map(names.printable, [*dns, *addresses])),
        not_before_unix_s=int(chain.leaf.not_valid_before_utc.timestamp()),
        not_after_unix_s=int(min(c.not_valid_after_utc for c in chain.certificates).timestamp()),
        fingerprint=chain.leaf.fingerprint(hashes.SHA256()).hex(),
        key=key_name(chain.leaf.public_key()),
        key_fingerprint=fingerprint(chain.leaf),
        chain_length=len(chain.certificates),
        self_signed=chain.self_signed,
    )


def _key_of(leaf: x509.Certificate, keys: Sequence[PrivateKeyTypes]) -> PrivateKeyTypes | None:
    wanted = public_bytes(leaf.public_key())
    return next((key for key in keys if public_bytes(key.public_key()) == wanted), None)
