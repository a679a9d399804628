import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from camfleet.supervisor.certs.issue import (
    KeyType,
    Subject,
    SubjectError,
    issued,
    key_pem,
    new_key,
    parse_subject,
    root,
    self_signed,
    signing_request,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from tests.kit.openssl import openssl, verifies

NOW = datetime.now(UTC).replace(microsecond=0)
V4, V6 = ipaddress.ip_address("192.0.2.7"), ipaddress.ip_address("2001:db8::7")
SUBJECT = Subject(("cams.example.org", "*.cams.example.org"), (V4, V6))


def alternatives(extensions: x509.Extensions) -> list[object]:
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.IPAddress)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["cams"], Subject(("cams",))),
        (["Cams.Example.ORG.", "cams.example.org"], Subject(("cams.example.org",))),
        (["*.example.org", "192.0.2.7", "2001:DB8::7"], Subject(("*.example.org",), (V4, V6))),
        (["fe80::1%eth0"], Subject((), (ipaddress.ip_address("fe80::1"),))),
        (["xn--bcher-kva.example", "a_b.example"], Subject(("xn--bcher-kva.example", "a_b.example"))),
    ],
)
def test_parse_subject(given: list[str], expected: Subject) -> None:
    assert parse_subject(given) == expected


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "-a.example", "a-.example", "*", "*.org", "a.*.example", "a*.example.org", "a b", "a\n", "a\0b",
     "a" * 64, "a." * 127 + "a", "bücher.example", "rtsps://a.example", "a.example:8322", "192.0.2.0/24"],
)  # fmt: skip
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(SubjectError, match="is neither a DNS name nor an address" + ".*xn--" * (not name.isascii())):
        parse_subject([name])


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_openssl_finds_no_fault_in_a_self_signed_one(tmp_path: Path, key_type: KeyType) -> None:
    leaf = self_signed(new_key(key_type), SUBJECT, NOW)
    path = tmp_path / "leaf.pem"
    path.write_bytes(leaf.public_bytes(Encoding.PEM))
    assert verifies(path, path, "-verify_hostname", "cams.example.org")
    assert verifies(path, path, "-verify_hostname", "ipc1.cams.example.org")
    assert verifies(path, path, "-verify_ip", "2001:db8::7")
    assert not verifies(path, path, "-verify_hostname", "example.org")
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=397)
    assert leaf.not_valid_before_utc < NOW - timedelta(hours=14), "a client's clock in any time zone"


def test_a_strict_verifier_finds_no_fault_in_a_self_signed_one() -> None:
    """That of the cryptography package, which wants all of RFC 5280 and of the CA/Browser Forum's rules."""
    leaf = self_signed(new_key("ecdsa"), SUBJECT, NOW)
    verifier = PolicyBuilder().store(Store([leaf])).build_server_verifier(x509.DNSName("cams.example.org"))
    assert verifier.verify(leaf, []) == [leaf]


def test_a_lifetime_of_a_day_has_not_gone_by_when_it_begins() -> None:
    leaf = self_signed(new_key("ecdsa"), SUBJECT, NOW, days=1)
    assert NOW - leaf.not_valid_before_utc == timedelta(hours=2.4)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=1)


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_openssl_finds_no_fault_in_a_request(tmp_path: Path, key_type: KeyType) -> None:
    key = new_key(key_type)
    request = signing_request(key, SUBJECT)
    path = tmp_path / "request.pem"
    path.write_bytes(request.public_bytes(Encoding.PEM))
    shown = openssl("req", "-in", path, "-verify", "-noout", "-text")
    assert shown.returncode == 0
    assert "verify OK" in shown.stderr + shown.stdout
    assert "Subject: CN = cams.example.org" in shown.stdout
    assert alternatives(request.extensions) == [*SUBJECT.names, V4, V6]
    (tmp_path / "key.pem").write_bytes(key_pem(key))
    public = openssl("pkey", "-in", tmp_path / "key.pem", "-pubout").stdout
    assert public == openssl("req", "-in", path, "-noout", "-pubkey").stdout


@pytest.mark.parametrize("root_type", ["ecdsa", "rsa"])
@pytest.mark.parametrize("leaf_type", ["ecdsa", "rsa"])
def test_openssl_finds_no_fault_in_an_issued_one(tmp_path: Path, root_type: KeyType, leaf_type: KeyType) -> None:
    root_key, leaf_key = new_key(root_type), new_key(leaf_type)
    authority = root(root_key, "Example authority", [], NOW)
    leaf = issued(leaf_key.public_key(), SUBJECT, authority, root_key, NOW)
    root_path, leaf_path = tmp_path / "root.pem", tmp_path / "leaf.pem"
    root_path.write_bytes(authority.public_bytes(Encoding.PEM))
    leaf_path.write_bytes(leaf.public_bytes(Encoding.PEM))
    assert verifies(root_path, leaf_path, "-verify_hostname", "cams.example.org")
    assert verifies(root_path, leaf_path, "-verify_ip", "192.0.2.7")
    assert not verifies(root_path, leaf_path, "-verify_ip", "192.0.2.8")
    at = str(int((NOW + timedelta(days=90)).timestamp()))
    assert not verifies(root_path, leaf_path, "-attime", at)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=90)
    assert openssl("x509", "-in", leaf_path, "-noout", "-checkend", str(88 * 86400)).returncode == 0
    assert openssl("x509", "-in", root_path, "-noout", "-checkend", str(3650 * 86400)).returncode == 0


def test_the_words_of_an_issued_one() -> None:
    root_key = new_key("ecdsa")
    authority = root(root_key, "Example authority", [], NOW, days=30)
    leaf = issued(new_key("ecdsa").public_key(), SUBJECT, authority, root_key, NOW)
    assert leaf.not_valid_after_utc == authority.not_valid_after_utc, "not longer than its root"
    assert leaf.issuer == authority.subject
    assert leaf.subject.rfc4514_string() == "CN=cams.example.org"
    extensions = leaf.extensions
    assert alternatives(extensions) == [*SUBJECT.names, V4, V6]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    usages = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert issued(new_key("ecdsa").public_key(), SUBJECT, authority, root_key, NOW).serial_number != leaf.serial_number


def test_a_long_name_is_in_the_san_alone() -> None:
    name = ".".join(["a" * 40, "b" * 40])
    request = signing_request(new_key("ecdsa"), Subject((name,)))
    assert request.subject.rfc4514_string() == "CN=camfleet"
    assert alternatives(request.extensions) == [name]
