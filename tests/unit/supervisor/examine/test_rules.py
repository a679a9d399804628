"""One thing wrong at a time: exactly that is found, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from camfleet.supervisor.examine import Material, Pair, Purpose, Report
from camfleet.supervisor.examine.examination import examined
from camfleet.supervisor.examine.formats import authorities
from camfleet.supervisor.examine.rules import RULES
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from tests.kit.certificates import (
    DAY,
    NOW,
    Issuer,
    Key,
    Recipe,
    authority,
    der,
    ec_key,
    key_usage,
    pem,
    rsa_key,
    vector,
)

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

HOUR = timedelta(hours=1)
ED25519 = ed25519.Ed25519PrivateKey.generate()
CA_ISSUERS = x509.AuthorityInformationAccess(
    [
        x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example.org/ca.crt")
        )
    ]
)
ROOT = authority("Example Root")
INTERMEDIATE = authority("Example CA", ROOT)
KEY = ec_key()
PURPOSE = Purpose(identity="global", names=("cam.example.org",), trusted=pem(ROOT.certificate))

Case = tuple[Material, Purpose]
Build = Callable[[], Case]


def run(material: Material, purpose: Purpose = PURPOSE, store: bytes = b"") -> Report:
    """`store`: the system's."""
    return examined(material, purpose, authorities(purpose.trusted or store), NOW)


def complaints(report: Report) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in report.findings if finding.verdict != "pass"}


def made(key: Key = KEY, issuer: Issuer | None = INTERMEDIATE, **changes: Any) -> Material:
    certificate = replace(Recipe(), **changes).made(key, issuer)
    chain = [certificate, issuer.certificate] if issuer else [certificate]
    return Material(certificate=pem(*chain), private_key=pem(key))


def for_(**changes: Any) -> Purpose:
    return msgspec.structs.replace(PURPOSE, **changes)


def reason(report: Report, check: str) -> str:
    return next(finding.reason for finding in report.findings if finding.check == check)


def test_nothing_wrong() -> None:
    report = run(made())
    assert complaints(report) == {}
    checks = [finding.check for finding in report.findings]
    assert checks == [check for check, _ in RULES] + ["handshake TLS 1.2", "handshake TLS 1.3"]
    assert len(set(checks)) == len(checks)
    assert reason(report, "handshake TLS 1.3") == "TLS_AES_128_GCM_SHA256"
    assert report.verdict == "pass"


def test_what_is_handed_on() -> None:
    pair = run(made()).pair
    assert pair is not None
    chain = x509.load_pem_x509_certificates(pair.chain)
    assert [certificate.subject for certificate in chain][1:] == [INTERMEDIATE.certificate.subject]
    assert pair.private_key == pem(KEY)
    about = pair.description
    assert (about.subject, about.issuer) == ("CN=cam.example.org", "CN=Example CA")
    assert about.names == ("cam.example.org", "192.0.2.1")
    assert about.not_before_unix_s == int((NOW - DAY).timestamp())
    assert about.not_after_unix_s == int((NOW + 90 * DAY).timestamp())
    assert about.fingerprint == chain[0].fingerprint(hashes.SHA256()).hex()
    assert (about.key, about.chain_length, about.self_signed) == ("ECDSA P-256", 2, False)


def test_no_key_in_a_repr() -> None:
    material, pair = made(), run(made()).pair
    assert isinstance(pair, Pair)
    for shown in (repr(material), repr(pair), repr(run(material))):
        assert "PRIVATE" not in shown
        assert "MIG" not in shown


def with_(**changes: Any) -> Build:
    return lambda: (made(**changes), PURPOSE)


def seen_by(**changes: Any) -> Build:
    return lambda: (made(), for_(**changes))


def broken_rsa() -> Case:
    """Signatures by the CRT with a wrong exponent give the prime factors away."""
    good = rsa_key(2048).private_numbers()
    bad = RSAPrivateNumbers(good.p, good.q, good.d, good.dmp1 ^ 2, good.dmq1, good.iqmp, good.public_numbers)
    return made(key=bad.private_key(unsafe_skip_rsa_key_validation=True)), PURPOSE


def below(**changes: Any) -> Build:
    """The intermediate is at fault."""
    return lambda: (made(issuer=authority("Weak CA", ROOT, **changes)), PURPOSE)


def old(name: str, **changes: object) -> Build:
    """Made by OpenSSL; its authority is the trusted one."""
    material = Material(certificate=vector(name), private_key=vector("ec.key"))
    return lambda: (material, for_(**{"trusted": vector("old_ca.crt")} | changes))


def one_file(name: str) -> Build:
    return lambda: (Material(certificate=vector(name)), for_(trusted=vector(name)))


def negative_serial_number() -> Case:
    """The library makes none. Patched it is no longer what was signed, but then it is trusted as it is."""
    material = made(issuer=None, serial_number=0x5A5A5A5A)
    certificate = x509.load_pem_x509_certificate(material.certificate)
    patched = x509.load_der_x509_certificate(der(certificate).replace(b"\x02\x04ZZZZ", b"\x02\x04\x80ZZZ"))
    return Material(certificate=pem(patched), private_key=material.private_key), for_(trusted=pem(patched))


def self_signed(trusted: bool) -> Case:
    material = made(issuer=None)
    return material, for_(trusted=material.certificate if trusted else b"")


def with_stranger() -> Material:
    material = made()
    return Material(
        certificate=material.certificate + pem(authority("X").certificate), private_key=material.private_key
    )


def key_of(identity: str) -> Case:
    pair = run(made()).pair
    assert pair is not None
    return made(), for_(other_keys={pair.description.key_fingerprint: identity})


DEFECTS: list[tuple[str, Build, dict[str, str]]] = [
    ("key of somebody else", lambda: (Material(certificate=made().certificate, private_key=pem(ec_key())), PURPOSE),
     {"key belongs to certificate": "block"}),
    ("expired", with_(ends=NOW - HOUR), {"dates": "block"}),
    ("expired, and served", lambda: (made(ends=NOW - HOUR), for_(outside_dates="warning")), {"dates": "warning"}),
    ("not yet valid", with_(begins=NOW + HOUR), {"dates": "block"}),
    ("expires soon", with_(ends=NOW + 30 * DAY), {"dates": "warning"}),
    ("expires later", with_(ends=NOW + 32 * DAY), {}),
    ("expired intermediate", below(ends=NOW - HOUR), {"dates": "block"}),
    ("year 9999", with_(ends=NOW.replace(year=9999)), {}),
    ("from 1950", with_(begins=NOW.replace(year=1950)), {}),
    ("other names", with_(names=("other.example.org",), addresses=()), {"names": "warning"}),
    ("no names", with_(names=(), addresses=()), {"names": "warning"}),
    ("address is enough", seen_by(names=("x",), addresses=("192.0.2.1",)), {}),
    ("interface", lambda: (made(addresses=("fe80::1",)), for_(names=(), addresses=("fe80::1%eth0",))), {}),
    ("capital letters", with_(names=("CAM.Example.org",)), {}),
    ("neither name nor address", seen_by(names=("x",), addresses=("192.0.2.2", "fe80::1%eth0")), {"names": "warning"}),
    ("server name", seen_by(server_name="ipc1.example.org"), {"names": "warning"}),
    ("server name by wildcard", lambda: (made(names=("*.example.org",)), for_(server_name="ipc1.example.org")), {}),
    ("wildcard is one label", with_(names=("*.org",)), {"names": "warning"}),
    ("wildcard for wildcard", lambda: (made(names=("*.example.org",)), for_(server_name="*.example.org")), {}),
    ("name for wildcard", seen_by(server_name="*.example.org"), {"names": "warning"}),
    ("IDN", lambda: (made(names=("xn--kche-0ra.example",)), for_(names=("K\u00dcCHE.example.",))), {}),
    ("RSA 1024", with_(key=rsa_key(1024)), {"key": "block"}),
    ("RSA 2048", with_(key=rsa_key(2048)), {}),
    ("RSA 8192", with_(key=rsa_key(8192)), {"key": "warning"}),
    ("RSA 16384", with_(key=rsa_key(16384)), {"key": "block"}),
    ("RSA numbers", broken_rsa, {"key": "block"}),
    ("RSA for PSS", one_file("rsa_pss.pem"), {"key": "block"}),
    ("DSA", one_file("dsa.pem"), {"key": "block"}),
    ("explicit curve", one_file("explicit_curve.pem"), {"key": "block"}),
    ("P-384", with_(key=ec_key(ec.SECP384R1())), {}),
    ("P-521", with_(key=ec_key(ec.SECP521R1())), {"key": "warning"}),
    ("secp256k1", with_(key=ec_key(ec.SECP256K1())), {"key": "block"}),
    ("Ed25519", with_(key=ED25519), {"key": "block"}),
    ("weak intermediate", below(key=rsa_key(1024)), {"keys of intermediates": "block"}),
    ("large intermediate", below(key=rsa_key(16384)), {"keys of intermediates": "block"}),
    ("Ed25519 intermediate", below(key=ED25519), {"signatures": "warning"}),
    ("SHA-224", with_(digest=hashes.SHA224()), {"signatures": "warning"}),
    ("SHA-1", old("issued_sha1.crt"), {"signatures": "block"}),
    ("MD5", old("issued_md5.crt"), {"signatures": "block"}),
    ("SHA-1 by itself", old("self_signed_sha1.crt", trusted=vector("self_signed_sha1.crt")), {"signatures": "warning"}),
    ("OpenSSL's trusted form", old("trusted.crt"), {}),
    ("no signing", with_(key_usage=key_usage(key_encipherment=True)), {"key usage": "block"}),
    ("any usage", with_(key_usage=None), {}),
    ("client only", with_(uses=(ExtendedKeyUsageOID.CLIENT_AUTH,)), {"extended key usage": "block"}),
    ("any use", with_(uses=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), {"extended key usage": "warning"}),
    ("no uses named", with_(uses=()), {}),
    ("authority", with_(authority=True), {"basic constraints": "warning"}),
    ("must-staple", with_(more=(x509.TLSFeature([x509.TLSFeatureType.status_request]),)), {"must-staple": "warning"}),
    ("key of ipc1", lambda: key_of("ipc1"), {"key used elsewhere": "warning"}),
    ("key of its own", lambda: key_of("global"), {}),
    ("negative serial number", negative_serial_number, {"serial number": "warning"}),
    ("self-signed", lambda: self_signed(trusted=False), {"trust": "warning"}),
    ("self-signed and trusted", lambda: self_signed(trusted=True), {}),
    ("self-signed, other authority", lambda: (made(issuer=None), PURPOSE), {"trust": "block"}),
    ("no store", seen_by(trusted=b""), {"trust": "warning"}),
    ("other authority", seen_by(trusted=pem(authority("Other").certificate)), {"trust": "block"}),
    ("no authority in the file", seen_by(trusted=b"x"), {"trust": "block"}),
    ("intermediate is trusted", seen_by(trusted=pem(INTERMEDIATE.certificate)), {}),
    ("a stranger among them", lambda: (with_stranger(), PURPOSE), {"chain": "warning"}),
    ("too long for clients", with_(names=("cam.example.org", *(f"{i}.{'x' * 60}.example" for i in range(1600)))),
     {"handshake TLS 1.2": "block", "handshake TLS 1.3": "block"}),
]  # fmt: skip


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in DEFECTS], ids=[row[0] for row in DEFECTS])
def test_defect(build: Build, expected: dict[str, str]) -> None:
    material, purpose = build()
    report = run(material, purpose)
    assert complaints(report) == expected, [finding.reason for finding in report.findings]
    assert (report.pair is None) == ("block" in expected.values())


@pytest.mark.parametrize(
    ("build", "check", "words"),
    [
        (with_(ends=NOW - HOUR), "dates", "expired on 2027-01-01 11:00 UTC"),
        (with_(ends=NOW + 30 * DAY), "dates", "30 days left"),
        (below(ends=NOW - HOUR), "dates", "(the intermediate CN=Weak CA)"),
        (seen_by(names=("a", "b", "cam.example.org", "d")), "names", "cam.example.org, 192.0.2.1; not for a, b, d"),
        (with_(names=("c\x00m\x1b[2J.example",)), "names", r"c\x00m\x1b[2J.example"),
        (with_(name="\x1b[31mred\nnext line"), "key belongs to certificate", "CN=\\x1b[31mred\\x0anext line"),
        (with_(names=tuple(f"n{i}.example.org" for i in range(900))), "names", "and 896 more"),
        (lambda: key_of("ipc1"), "key used elsewhere", "ipc1 has the same key"),
        (with_(names=(), addresses=()), "names", "no subject alternative name"),
        (seen_by(trusted=b""), "trust", "this system has no store"),
        (lambda: (with_stranger(), PURPOSE), "chain", "do not belong to it: CN=X"),
    ],
)
def test_reasons_name_what_matters(build: Build, check: str, words: str) -> None:
    report = run(*build())
    assert words in reason(report, check)
    assert all(finding.reason.isprintable() for finding in report.findings)


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ([Recipe().made(KEY)], "self-signed: clients that verify need this very certificate"),
        (
            [Recipe().made(KEY, INTERMEDIATE)],
            "CN=Example CA is neither in the file nor among the authorities that this",
        ),
        ([Recipe().made(KEY, INTERMEDIATE), INTERMEDIATE.certificate], "CN=Example Root is neither in the file nor"),
        (
            [Recipe().made(KEY, INTERMEDIATE), INTERMEDIATE.certificate, ROOT.certificate],
            "CN=Example Root is not among the authorities that this system trusts: clients that verify need its root",
        ),
    ],
)
def test_what_this_system_does_not_trust_its_clients_may(chain: list[x509.Certificate], words: str) -> None:
    material = Material(certificate=pem(*chain), private_key=pem(KEY))
    report = run(material, for_(trusted=b""), pem(authority("Other").certificate))
    assert complaints(report) == {"trust": "warning"}
    assert words in reason(report, "trust")


def test_a_missing_intermediate_is_warned_of_and_where_to_get_it() -> None:
    leaf = Recipe(more=(CA_ISSUERS,)).made(KEY, INTERMEDIATE)
    report = run(Material(certificate=pem(leaf), private_key=pem(KEY)), for_(trusted=b""))
    trusted = run(Material(certificate=pem(leaf), private_key=pem(KEY)))
    assert complaints(report) == {"trust": "warning"}
    assert complaints(trusted) == {"trust": "block"}
    assert "add the missing intermediate (it is at http://ca.example.org/ca.crt)" in reason(trusted, "trust")
