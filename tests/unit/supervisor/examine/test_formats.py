"""Every form in which certificates and keys come, and every way in which such a file is spoilt."""

import base64
import random
from collections.abc import Callable, Iterator

import pytest
from camfleet.supervisor.examine import Material
from camfleet.supervisor.examine.formats import (
    MAX_CERTIFICATES,
    MAX_KEYS,
    Found,
    UnusableError,
    _mac_rounds,
    _rounds,
    read,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import ExtensionOID

from tests.kit.certificates import PASSWORD, Recipe, authority, der, ec_key, named, pem, rsa_key, vector

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

CA = authority("Example CA")
KEY = ec_key()
LEAF = Recipe().made(KEY, CA)
BOTH = [LEAF, CA.certificate]
CERTIFICATES, PRIVATE_KEY = pem(*BOTH), pem(KEY)


def encrypted(encoding: Encoding = Encoding.PEM) -> bytes:
    return KEY.private_bytes(encoding, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))


def p12(encryption: KeySerializationEncryption | None = None) -> bytes:
    algorithm = encryption or BestAvailableEncryption(PASSWORD)
    return pkcs12.serialize_key_and_certificates(b"name", KEY, LEAF, [CA.certificate], algorithm)


def signing_request(encoding: Encoding) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(named("cam"))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(encoding)


def public_key(encoding: Encoding) -> bytes:
    return KEY.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def openssh() -> bytes:
    return KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def block(label: str, data: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label.encode(), base64.b64encode(data), label.encode())


SEC_1 = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


@pytest.mark.parametrize(
    ("certificate", "private_key", "forms"),
    [
        (CERTIFICATES, PRIVATE_KEY, "PEM"),
        (PRIVATE_KEY, CERTIFICATES, "PEM"),  # swapped
        (CERTIFICATES + PRIVATE_KEY, b"", "PEM"),
        (PRIVATE_KEY + CERTIFICATES, b" \n", "PEM"),
        (b"\xef\xbb\xbf" + CERTIFICATES, b"\xef\xbb\xbf" + PRIVATE_KEY, "PEM"),
        (CERTIFICATES.replace(b"\n", b"\r\n"), PRIVATE_KEY.replace(b"\n", b"\r"), "PEM"),
        (CERTIFICATES.decode().encode("utf-16"), PRIVATE_KEY.decode().encode("utf-16"), "PEM, UTF-16"),
        (CERTIFICATES.decode().encode("utf-16-be"), PRIVATE_KEY.decode().encode("utf-16-le"), "PEM, UTF-16"),
        (b"\n".join(b"    " + line for line in CERTIFICATES.splitlines()), PRIVATE_KEY, "PEM"),
        (b"Bag Attributes\n" + pem(LEAF) + b"subject=CN=cam\nissuer=\n" + pem(CA.certificate), PRIVATE_KEY, "PEM"),
        (CERTIFICATES, PARAMETERS + SEC_1, "PEM"),
        (CERTIFICATES, encrypted(), "PEM"),
        (CERTIFICATES, der(KEY), "PEM, DER"),
        (CERTIFICATES, encrypted(Encoding.DER), "PEM, DER"),
        (der(LEAF), pem(CA.certificate) + PRIVATE_KEY, "DER, PEM"),
        (p12(), b"", "PKCS#12"),
        (p12(), CERTIFICATES, "PKCS#12, PEM"),
        (pkcs7.serialize_certificates(BOTH, Encoding.PEM), PRIVATE_KEY, "PEM"),
        (pkcs7.serialize_certificates(BOTH, Encoding.DER), PRIVATE_KEY, "PKCS#7, PEM"),
    ],
)
def test_form(certificate: bytes, private_key: bytes, forms: str) -> None:
    found = read(Material(certificate=certificate, private_key=private_key, password=PASSWORD))
    assert set(BOTH) == set(found.certificates)
    assert [key.public_key() for key in found.keys] == [KEY.public_key()]
    assert ", ".join(found.forms) == forms


def test_legacy_encryption() -> None:
    material = Material(certificate=CERTIFICATES, private_key=vector("rsa_2048_legacy.key"), password=PASSWORD)
    assert read(material).keys[0].public_key() == rsa_key(2048).public_key()


def test_pkcs12_without_password() -> None:
    assert len(read(Material(certificate=p12(NoEncryption()))).keys) == 1


def refusal(certificate: bytes, private_key: bytes = b"", password: bytes = b"") -> tuple[str, str]:
    with pytest.raises(UnusableError) as error:
        read(Material(certificate=certificate, private_key=private_key, password=password))
    return error.value.check, str(error.value)


DAMAGED = der(LEAF).replace(LEAF.subject.public_bytes(), LEAF.subject.public_bytes().replace(b"\x0c\x0f", b"\x0c\x7f"))
BAD_SAN = der(LEAF).replace(b"\x82\x0fcam.example.org", b"\x82\x0fc\xe4m.example.org")
YEAR_0 = der(Recipe(ends=Recipe().ends.replace(year=2055)).made(KEY, CA)).replace(b"\x18\x0f2055", b"\x18\x0f0000")
VERSION_9 = der(LEAF).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09")
NAME_OF_OCTETS = der(LEAF).replace(b"\x0c\x0fcam.example.org", b"\x04\x0fcam.example.org")  # OpenSSL alone minds
UNKNOWN_KEY = der(LEAF).replace(b"\x2a\x86\x48\xce\x3d\x02\x01", b"\x2a\x86\x48\xce\x3d\x02\x7f")
FEATURE = x509.UnrecognizedExtension(ExtensionOID.TLS_FEATURE, b"\x30\x03\x02\x01\x25")
UNKNOWN_FEATURE = der(Recipe(more=(FEATURE,)).made(KEY, CA))
SPOILT: list[tuple[str, bytes, bytes, str, str]] = [
    ("empty", b"", PRIVATE_KEY, "format", "the certificate's file is empty"),
    ("blank", b" \r\n", PRIVATE_KEY, "format", "the certificate's file is empty"),
    ("no key", CERTIFICATES, b"", "format", "the private key is missing: give its file too"),
    ("keys only", PRIVATE_KEY, PRIVATE_KEY, "format", "there is no certificate in it, but a private key only"),
    ("text", b"hello", PRIVATE_KEY, "format", "neither PEM nor DER"),
    ("zeros", bytes(5000), PRIVATE_KEY, "format", "neither PEM nor DER"),
    ("sequence", b"\x30\x03abc", PRIVATE_KEY, "format", "neither PEM nor DER"),
    ("sequence alone", b"\x30", PRIVATE_KEY, "format", "neither PEM nor DER"),
    ("cut off", CERTIFICATES[:300], PRIVATE_KEY, "format", "CERTIFICATE has no end"),
    ("cut off in the middle", CERTIFICATES[:300] + CERTIFICATES, PRIVATE_KEY, "format", "CERTIFICATE has no end"),
    ("cut off in the first line", b"-----BEGIN CERTIF", PRIVATE_KEY, "format", "begins with a damaged line"),
    ("DER cut off", der(LEAF)[:-20], PRIVATE_KEY, "format", "certificate 1 is damaged"),
    ("key cut off", CERTIFICATES, der(KEY)[:-20], "format", "the private key is damaged"),
    ("not base64", CERTIFICATES.replace(b"MII", b"****MII", 1), PRIVATE_KEY, "format", "CERTIFICATE is not base64"),
    ("second damaged", CERTIFICATES + block("CERTIFICATE", DAMAGED), PRIVATE_KEY, "format", "certificate 3 is damaged"),
    ("name damaged", DAMAGED, PRIVATE_KEY, "format", "certificate 1 is damaged"),
    ("names damaged", BAD_SAN, PRIVATE_KEY, "format", "certificate 1 is damaged"),
    ("year 0", YEAR_0, PRIVATE_KEY, "format", "certificate 1 is damaged"),
    ("version 9", VERSION_9, PRIVATE_KEY, "format", "neither PEM nor DER"),
    ("version 9, PEM", block("CERTIFICATE", VERSION_9), PRIVATE_KEY, "format", "certificate 1 is damaged"),
    ("name of octets", NAME_OF_OCTETS, PRIVATE_KEY, "format", "certificate 1 is damaged"),
    ("unknown TLS feature", UNKNOWN_FEATURE, PRIVATE_KEY, "format", "certificate 1 is damaged"),
    ("unknown key", UNKNOWN_KEY, PRIVATE_KEY, "key", "certificate 1 has a key of an unknown kind"),
    ("PKCS#7 damaged", block("PKCS7", b"\x30\x00"), PRIVATE_KEY, "format", "PEM block PKCS7 is damaged"),
    ("signing request", signing_request(Encoding.PEM), PRIVATE_KEY, "format", "a signing request"),
    ("signing request, DER", signing_request(Encoding.DER), PRIVATE_KEY, "format", "a signing request"),
    ("public key", CERTIFICATES, public_key(Encoding.PEM), "format", "a public key: the private key is needed"),
    ("public key, DER", CERTIFICATES, public_key(Encoding.DER), "format", "a public key: the private key is needed"),
    ("OpenSSH", CERTIFICATES, openssh(), "format", "ssh-keygen -p -m PEM"),
    ("strange block", block("PGP MESSAGE", b""), PRIVATE_KEY, "format", 'a PEM block "PGP MESSAGE"'),
    ("Java", b"\xfe\xed\xfe\xed" + bytes(40), PRIVATE_KEY, "format", "keytool -importkeystore"),
    ("encrypted", CERTIFICATES, encrypted(), "password", "the private key is encrypted"),
    ("encrypted, DER", CERTIFICATES, encrypted(Encoding.DER), "password", "the private key is encrypted"),
    ("encrypted, legacy", CERTIFICATES, vector("rsa_2048_legacy.key"), "password", "the private key is encrypted"),
    ("encrypted PKCS#12", p12(), b"", "password", "the PKCS#12 file is encrypted"),
    ("certificates", pem(LEAF) * (MAX_CERTIFICATES + 1), PRIVATE_KEY, "format", "more than 64 certificates"),
    ("keys", CERTIFICATES, PRIVATE_KEY * (MAX_KEYS + 1), "format", "more than 8 private keys"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("certificate", "private_key", "check", "words"), [r[1:] for r in SPOILT], ids=[r[0] for r in SPOILT]
)
def test_spoilt(certificate: bytes, private_key: bytes, check: str, words: str) -> None:
    found = refusal(certificate, private_key)
    assert found[0] == check
    assert words in found[1]


@pytest.mark.parametrize(
    "certificate", [p12(), CERTIFICATES + encrypted(), CERTIFICATES + vector("rsa_2048_legacy.key")]
)
def test_wrong_password(certificate: bytes) -> None:
    check, reason = refusal(certificate, password=b"wrong")
    assert check == "password"
    assert reason.startswith("the password does not open the ")


@pytest.mark.parametrize("name", ["pbkdf2_20m.key", "mac_20m.p12"])
def test_absurd_rounds_are_seen_before_they_are_done(name: str) -> None:
    check, reason = refusal(vector(name), CERTIFICATES, PASSWORD)
    assert check == "limits"
    assert "20,000,000 rounds" in reason


def test_usual_rounds_are_seen_too() -> None:
    """Were they not read aright, no number would ever be too high."""
    assert _rounds(encrypted(Encoding.DER)) >= 2048
    assert _rounds(p12()) >= 2048
    assert _mac_rounds(p12()) >= 1


def test_mutations_of_good_files_are_read_or_refused() -> None:
    """Nothing else, whatever the bytes are: no other exception, and no more than the limits."""
    dice = random.Random(20261122)
    good = [CERTIFICATES, PRIVATE_KEY, der(LEAF), der(KEY), p12(NoEncryption()),
            pkcs7.serialize_certificates(BOTH, Encoding.DER), SEC_1,
            CERTIFICATES.decode().encode("utf-16")]  # fmt: skip
    outcomes: set[type] = set()
    for data in mutations(good, dice, 4000):
        try:
            outcomes.add(type(read(Material(certificate=data, private_key=PRIVATE_KEY, password=PASSWORD))))
        except UnusableError as error:
            outcomes.add(type(error))
    assert outcomes == {Found, UnusableError}


def mutations(good: list[bytes], dice: random.Random, count: int) -> Iterator[bytes]:
    changes: list[Callable[[bytearray, int], object]] = [
        lambda data, at: data.__setitem__(at, dice.randrange(256)),
        lambda data, at: data.__setitem__(at, data[at] ^ 1 << dice.randrange(8)),
        lambda data, at: data.__delitem__(slice(at, at + dice.randrange(1, 40))),
        lambda data, at: data.__setitem__(slice(at, at), dice.randbytes(dice.randrange(1, 20))),
        lambda data, at: data.__delitem__(slice(at, None)),
        lambda data, at: data.__setitem__(slice(at, at), data[: dice.randrange(len(data))]),
    ]
    for _ in range(count):
        data = bytearray(dice.choice(good))
        for _ in range(dice.randrange(1, 4)):
            if data:
                dice.choice(changes)(data, dice.randrange(len(data)))
        yield bytes(data)
