"""`camfleet cert create` and `root`: what openssl says of it."""

import stat
from pathlib import Path

import pytest
from camfleet.supervisor.certs import issue
from camfleet.supervisor.cli import main

from tests.kit.cert_place import CA, Cert, shown, store_of, tree
from tests.kit.certificates import pem
from tests.kit.openssl import openssl, verifies


@pytest.mark.parametrize(("key", "words"), [("ecdsa", "ECDSA P-256"), ("rsa", "RSA 3072")])
def test_create_self_signed(place: Path, cert: Cert, key: str, words: str) -> None:
    code, out, _ = cert(f"create self-signed --key {key}")
    assert (code, f"  {words}, CN=camfleet, " in out) == (0, True)
    (files,) = store_of(place).live("global")
    assert verifies(files.certificate, files.certificate, "-verify_hostname", "localhost")
    assert verifies(files.certificate, files.certificate, "-verify_ip", "127.0.0.1")
    assert openssl("x509", "-in", files.certificate, "-noout", "-checkend", str(395 * 86400)).returncode == 0
    (generation,) = store_of(place).history("global")
    assert generation.origin == "self-signed"
    assert shown(place) == [generation.pairs[0].fingerprint]


def test_from_a_request_to_a_certificate(place: Path, cert: Cert) -> None:
    """As with a public or a company's authority, which openssl plays here."""
    for command in ("create request --for ipc7", "create request --for ipc7 --name Ipc7.Example.org --out ipc7.csr"):
        code, out, err = cert(command)
        assert code == 0
        assert err.endswith("\ncamfleet cert install CERTIFICATE --config camfleet.toml --for ipc7\n")
        assert out.startswith("-----BEGIN CERTIFICATE REQUEST-----\n") != ("--out" in command)
    pending = store_of(place).pending("ipc7")
    assert stat.S_IMODE(pending.stat().st_mode) == 0o600
    assert "verify OK" in (done := openssl("req", "-in", "ipc7.csr", "-noout", "-verify", "-subject")).stderr
    assert done.stdout == "subject=CN = ipc7.example.org\n"
    (place / "ca.key").write_bytes(pem(CA.key))
    (place / "ipc7.ext").write_text("subjectAltName=DNS:ipc7.example.org\nextendedKeyUsage=serverAuth\n")
    signed = openssl("x509", "-req", "-in", "ipc7.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "90",
                     "-extfile", "ipc7.ext", "-out", "ipc7.crt")  # fmt: skip
    assert signed.returncode == 0
    assert cert("install ipc7.crt --ca ca.crt")[0] == 1, "it is not the server's"
    key = pending.read_bytes()
    code, out, _ = cert("install ipc7.crt --ca ca.crt --for ipc7")
    assert code == 0, out
    assert not pending.exists()
    assert store_of(place).live("ipc7")[0].private_key.read_bytes() == key
    assert store_of(place).live("ipc7")[0].certificate.read_text() == (place / "ipc7.crt").read_text()


def test_a_request_names_nothing_that_is_everybodys(cert: Cert, place: Path) -> None:
    cert("create request --out all.csr")
    shown = openssl("req", "-in", place / "all.csr", "-noout", "-text").stdout
    assert "localhost" not in shown
    assert "127.0.0.1" not in shown


def test_a_private_authority(place: Path, cert: Cert) -> None:
    assert cert("create issued") == (
        1,
        "",
        "camfleet: there is no authority yet; make it with: camfleet cert create authority\n",
    )
    code, out, _ = cert("create authority")
    assert code == 0
    assert out.endswith("For this server:  camfleet cert create issued --config camfleet.toml\n")
    assert cert("root --out root.crt") == (0, "", "")
    assert cert("root") == (0, (place / "root.crt").read_text(), "")
    printed = openssl("x509", "-in", "root.crt", "-noout", "-fingerprint", "-sha256").stdout
    assert printed.rpartition("=")[2].strip().replace(":", "").lower() in out
    before = tree(place)
    code, _, err = cert("create authority")
    assert (code, "it is not replaced" in err) == (1, True)
    assert tree(place) == before

    assert cert("create issued")[0] == 0
    assert cert("create issued --key rsa --beside --days 7")[0] == 0
    ecdsa, rsa = (files.certificate for files in store_of(place).live("global"))
    for name in ("-verify_hostname localhost", "-verify_ip 127.0.0.1", "-verify_ip ::1"):
        assert verifies(place / "root.crt", ecdsa, *name.split())
        assert verifies(place / "root.crt", rsa, *name.split())
    day_s = 86400
    for path, days in ((ecdsa, 90), (rsa, 7), (place / "root.crt", 3652)):
        seconds = [str(number * day_s) for number in (days - 2, days)]
        assert [openssl("x509", "-in", path, "-noout", "-checkend", each).returncode for each in seconds] == [0, 1]

    assert cert("create issued --for ipc7")[0] == 0
    (camera,) = (files.certificate for files in store_of(place).live("ipc7"))
    assert verifies(place / "root.crt", camera, "-verify_hostname", "ipc7.example.org")
    assert verifies(place / "root.crt", camera, "-verify_ip", "127.0.0.1")
    assert not verifies(place / "root.crt", ecdsa, "-verify_hostname", "ipc7.example.org")
    assert [each.origin for each in store_of(place).history("ipc7")] == ["authority"]


def test_an_authority_with_limits(place: Path, cert: Cert) -> None:
    assert cert("create authority --name example.org")[0] == 0
    cert("root --out root.crt")
    assert cert("create issued --for ipc7")[0] == 0, "of the default names those that it may issue for"
    (files,) = store_of(place).live("ipc7")
    assert verifies(place / "root.crt", files.certificate, "-verify_hostname", "ipc7.example.org")
    code, _, err = cert("create issued --for ipc7 --name cams.example.com")
    assert (code, "may not issue for cams.example.com: name constraints" in err) == (1, True)
    code, _, err = cert("create issued --name localhost")
    assert code == 1
    assert cert("create issued --for ipc8")[2] == "camfleet: a certificate needs a name; give one with --name\n"


@pytest.mark.parametrize("name", ["", "a b", "*.org", "rtsps://a.example"])
def test_a_name_that_is_none(place: Path, cert: Cert, name: str) -> None:
    for kind in ("self-signed", "request", "authority"):
        code, _, err = cert(f"create {kind} --name", name)
        assert (code, "is neither a DNS name nor an address" in err) == (1, True)
    assert tree(place) == dict.fromkeys(tree(place), b""), "no key of a request that was never made"


@pytest.mark.parametrize("days", ["0", "-1", "x", "36501", "9" * 40])
def test_days_that_are_none(cert: Cert, capsys: pytest.CaptureFixture[str], days: str) -> None:
    with pytest.raises(SystemExit):
        cert(f"create self-signed --days={days}")
    assert "argument --days: a whole number from 1 to 36500\n" in capsys.readouterr().err


def test_the_lifetimes_in_the_help_are_those_of_the_room(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {"self-signed": issue.SELF_SIGNED_DAYS, "issued": issue.ISSUED_DAYS, "authority": issue.ROOT_DAYS}
    for kind, days in kinds.items():
        with pytest.raises(SystemExit):
            main(["cert", "create", kind, "--help"])
        assert f"lifetime; else {days}\n" in capsys.readouterr().out


def test_where_nothing_can_be_written(cert: Cert, place: Path) -> None:
    cert("create authority")
    assert cert("root --out nowhere/root.crt") == (1, "", "camfleet: nowhere/root.crt: No such file or directory\n")
    code, _, err = cert("create request --out nowhere/a.csr")
    assert (code, err) == (1, "camfleet: nowhere/a.csr: No such file or directory\n")
    key = store_of(place).pending("global").read_bytes()
    cert("create request --out a.csr")
    assert store_of(place).pending("global").read_bytes() == key
