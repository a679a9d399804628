"""The child process: what it cannot do, what becomes of what it would, and that it hinders no honest file."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from camfleet.supervisor.examine import MAX_MATERIAL_SIZE, Material, Purpose, Report, examine, examine_async, sandbox
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)

from tests.kit.certificates import PASSWORD, Recipe, authority, der, ec_key, pem, rsa_key, vector
from tests.kit.descriptors import descriptors

ANSWER_S = 6.0
NOW = datetime.now(UTC)
LASTING: dict[str, Any] = {"begins": NOW - timedelta(days=1), "ends": NOW + timedelta(days=90)}

CA = authority("Example CA", ends=NOW + timedelta(days=900))
KEY = ec_key()
LEAF = Recipe(**LASTING).made(KEY, CA)
PURPOSE = Purpose(identity="global", names=("cam.example.org",), trusted=pem(CA.certificate))
ENCRYPTED = BestAvailableEncryption(PASSWORD)


def block(report: Report) -> tuple[str, str]:
    """The only thing that is found."""
    assert report.pair is None
    assert [finding.verdict for finding in report.findings] == ["block"]
    return report.findings[0].check, report.findings[0].reason


@pytest.mark.parametrize(
    ("certificate", "private_key"),
    [
        (pem(LEAF), pem(KEY)),
        (pem(LEAF).decode().encode("utf-16"), pem(KEY).decode().encode("utf-16")),
        (der(LEAF), KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, ENCRYPTED)),
        (pkcs12.serialize_key_and_certificates(None, KEY, LEAF, [CA.certificate], ENCRYPTED), b""),
        (pkcs7.serialize_certificates([LEAF, CA.certificate], Encoding.DER), pem(KEY)),
        (pem(Recipe(**LASTING).made(rsa_key(2048), CA)), vector("rsa_2048_legacy.key")),
        (pem(Recipe(names=("xn--kche-0ra.example", "cam.example.org"), **LASTING).made(KEY, CA)), pem(KEY)),
    ],
    ids=["PEM", "UTF-16", "DER", "PKCS#12", "PKCS#7", "RSA, legacy", "IDN"],
)
def test_honest_files_pass(certificate: bytes, private_key: bytes) -> None:
    """Nothing that they need, such as a module or a codec, is first opened when no file can be."""
    names = ("k\u00fcche.example", "cam.example.org")
    purpose = Purpose(identity="global", names=names, trusted=PURPOSE.trusted)
    report = examine(Material(certificate=certificate, private_key=private_key, password=PASSWORD), purpose)
    assert report.verdict == "pass", report.findings
    assert report.pair is not None
    assert report.pair.description.issuer == "CN=Example CA"


async def test_for_an_event_loop() -> None:
    report = await examine_async(Material(certificate=pem(LEAF), private_key=pem(KEY)), PURPOSE)
    assert report.verdict == "pass"


def test_without_an_authority_the_systems_store_is_asked() -> None:
    assert sandbox.system_store().count(b"BEGIN CERTIFICATE") > 50
    report = examine(Material(certificate=pem(LEAF), private_key=pem(KEY)), Purpose(identity="global"))
    assert [f.reason for f in report.findings if f.verdict != "pass"] == [
        "CN=Example CA is neither in the file nor among the authorities that this system trusts: add the missing "
        "intermediate; if it is a private authority's root, give that to the clients"
    ]


def test_our_own_authority_is_known_beside_the_systems_store() -> None:
    material = Material(certificate=pem(LEAF), private_key=pem(KEY))
    report = examine(material, Purpose(identity="global", own_authority=pem(CA.certificate)))
    assert report.verdict == "pass", report.findings
    reasons = [finding.reason for finding in report.findings if finding.check == "trust"]
    assert reasons == [
        "verified: this server's own authority, CN=Example CA; clients need its root (camfleet cert root)"
    ]
    other = Purpose(identity="global", own_authority=pem(CA.certificate), trusted=pem(authority("Other").certificate))
    assert examine(material, other).verdict == "block", "who names the authorities of his clients has said it all"


def in_pkcs12(bits: int) -> bytes:
    """Here the library proves the primes, before anybody can see how large they are."""
    return pkcs12.serialize_key_and_certificates(None, rsa_key(bits), None, [LEAF], NoEncryption())


def crowd() -> bytes:
    return pem(LEAF) * 20_000


BOMBS: list[tuple[str, Callable[[], Material], str, str]] = [
    ("20 million rounds",
     lambda: Material(certificate=pem(LEAF), private_key=vector("pbkdf2_20m.key"), password=PASSWORD),
     "limits", "20,000,000 rounds; more than 5,000,000 are refused"),
    ("20 million rounds of a MAC", lambda: Material(certificate=vector("mac_20m.p12"), password=PASSWORD),
     "limits", "20,000,000 rounds; more than 5,000,000 are refused"),
    ("RSA 16384 in PKCS#12", lambda: Material(certificate=in_pkcs12(16_384)), "limits", "it takes more than 5"),
    ("1 GB", lambda: Material(certificate=pem(LEAF), private_key=vector("scrypt_1gb.der"), password=PASSWORD),
     "limits", "more than 512 MB of memory"),
    ("20,000 certificates", lambda: Material(certificate=crowd(), private_key=pem(KEY)), "size", "more than 1,048,576"),
    ("as many as go in", lambda: Material(certificate=crowd()[: MAX_MATERIAL_SIZE - 300], private_key=pem(KEY)),
     "format", "more than 64 certificates"),
    ("20,000 empty ones", lambda: Material(certificate=b"-----BEGIN CERTIFICATE-----\n" * 20_000, private_key=pem(KEY)),
     "format", "CERTIFICATE has no end"),
    ("random bytes", lambda: Material(certificate=os.urandom(500_000), private_key=os.urandom(500_000)),
     "format", "neither PEM nor DER"),
    ("a random SEQUENCE", lambda: Material(certificate=b"\x30\x83\x07\xa1\x20" + os.urandom(500_000)),
     "format", "neither PEM nor DER"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "check", "words"), [row[1:] for row in BOMBS], ids=[row[0] for row in BOMBS])
def test_bombs_are_refused_in_time(build: Callable[[], Material], check: str, words: str) -> None:
    material = build()
    began = time.monotonic()
    found, reason = block(examine(material, PURPOSE))
    assert time.monotonic() - began < ANSWER_S
    assert found == check
    assert words in reason


def test_rsa_16384_is_refused_with_its_certificate() -> None:
    key = rsa_key(16_384)
    began = time.monotonic()
    report = examine(Material(certificate=pem(Recipe(**LASTING).made(key, CA)), private_key=pem(key)), PURPOSE)
    assert time.monotonic() - began < ANSWER_S
    assert [(f.check, f.reason[:10]) for f in report.findings if f.verdict == "block"] == [("key", "RSA 16384:")]


def shut_in(program: str) -> str:
    """What a program prints that runs where files are examined."""
    begin = "import os, socket, resource; from camfleet.supervisor.examine.__main__ import _shut_in; _shut_in()\n"
    command = [sys.executable, "-I", "-c", begin + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()


@pytest.mark.parametrize(
    "attempt",
    ["open('/etc/passwd')", "open('/dev/null', 'w')", "socket.socket()", "socket.socketpair()", "os.pipe()",
     "os.memfd_create('x')", "os.listdir('/')"],
)  # fmt: skip
def test_no_file_and_no_socket(attempt: str) -> None:
    program = f"try:\n    {attempt}\nexcept OSError as error:\n    print(error.strerror)"
    assert shut_in(program) == "Too many open files"


def test_the_limits_are_for_good() -> None:
    names = ("CPU", "AS", "NOFILE", "CORE")
    program = f"print([resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in {names}])"
    assert shut_in(program) == f"[(5, 6), ({512 << 20}, {512 << 20}), (0, 0), (0, 0)]"


def child(monkeypatch: pytest.MonkeyPatch, program: str) -> tuple[str, str]:
    """What is reported when this program is the child."""
    monkeypatch.setattr(sandbox, "COMMAND", [sys.executable, "-I", "-c", program])
    return block(examine(Material(certificate=b"x"), PURPOSE))


@pytest.mark.parametrize(
    ("program", "check", "words"),
    [
        ("while True: pass", "limits", "more than 0.5 seconds"),
        ("import os; os.abort()", "examination", "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "limits", "5 seconds of processor time"),
        ("import sys; sys.exit(3)", "limits", "512 MB of memory"),
        ("import sys; sys.exit(1)", "examination", "exit code 1"),
        ("", "examination", "exit code 0"),
        ("print('not a report')", "examination", "exit code 0"),
        ("for _ in range(20): print('x' * 1_000_000)", "examination", "exit code 0"),
    ],
)
def test_whatever_the_child_does_the_answer_is_a_report(
    monkeypatch: pytest.MonkeyPatch, program: str, check: str, words: str
) -> None:
    monkeypatch.setattr(sandbox, "WALL_S", 0.5 if "while" in program else 5.0)
    before = descriptors()
    found, reason = child(monkeypatch, program)
    assert found == check
    assert words in reason
    assert descriptors() == before


def test_the_environment_stays_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET", "1")
    child(monkeypatch, f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(' '.join(os.environ) + os.getcwd())")
    assert (tmp_path / "seen").read_text() in ("/", "LC_CTYPE/")


def test_no_process_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "COMMAND", ["/nonexistent"])
    assert block(examine(Material(certificate=b"x"), PURPOSE)) == (
        "examination", "it could not be started: No such file or directory")  # fmt: skip


def test_fuzz_in_the_child() -> None:
    """A few whole ways; thousands of mutations are in test_formats.py."""
    good = bytearray(der(LEAF))
    for at in range(20, len(good), len(good) // 8):
        spoilt = good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :]
        report = examine(Material(certificate=bytes(spoilt), private_key=pem(KEY)), PURPOSE)
        assert "examination" not in {finding.check for finding in report.findings}
        assert report.verdict == "block"
