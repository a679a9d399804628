"""`camfleet cert validate`: files in, a table or JSON out, an exit code."""

import getpass
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from camfleet.supervisor.certs.store import Store
from camfleet.supervisor.cli import main
from camfleet.supervisor.examine import Material, Purpose, examine
from camfleet.supervisor.state import StateFolder
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.kit.certificates import PASSWORD, Recipe, authority, ec_key, pem

NOW = datetime.now(UTC)
CA = authority("Example CA", ends=NOW + timedelta(days=900))
KEY = ec_key()
LASTING: dict[str, Any] = {"begins": NOW - timedelta(days=1), "ends": NOW + timedelta(days=90)}
LEAF = Recipe(names=("localhost", "cam.example.org"), **LASTING).made(KEY, CA)

CONFIGURATION = b"""
server.state_dir = "state"
[[users]]
name = "a"
password = "x"
[[cameras]]
id = "ipc7"
server_name = "ipc7.example.org"
streams = [{ id = "s", source = { kind = "testlive" } }]
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a good pair and what may go with it; state and configuration too."""
    encrypted = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    for name, data in {
        "cam.crt": pem(LEAF),
        "cam.key": pem(KEY),
        "ca.crt": pem(CA.certificate),
        "other.key": pem(ec_key()),
        "encrypted.key": encrypted,
        "password": PASSWORD + b"\n",
        "camfleet.toml": CONFIGURATION,
    }.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def validate(files: Path, *arguments: str) -> int:
    names = [str(files / argument) if "." in argument or argument == "password" else argument for argument in arguments]
    return main(["cert", "validate", "--config", str(files / "camfleet.toml"), *names])


def test_good(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(files, "cam.crt", "cam.key", "--ca", "ca.crt") == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].split() == ["VERDICT", "CHECK", "REASON"]
    assert "pass     trust                       verified: the given authorities, CN=Example CA" in lines
    assert lines[-1] == "Good."
    assert max(map(len, lines)) <= 130
    assert not (files / "state").exists()


def test_a_warning_is_no_failure(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(files, "cam.crt", "cam.key", "--ca", "ca.crt", "--for", "ipc7") == 0
    out = capsys.readouterr().out
    assert "ipc7.example.org, the server name, is not in it" in out
    assert out.endswith("Good with 1 warning.\n")


def test_a_block_is_a_failure(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(files, "cam.crt", "other.key", "--ca", "ca.crt") == 1
    out = capsys.readouterr().out
    assert "\nblock    key belongs to certificate  the private key belongs to none of the certificates" in out
    assert out.endswith("\nNot good: 1 of these must be mended.\n")


def test_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(files, "cam.crt", "cam.key", "--ca", "ca.crt", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["verdict", "findings", "certificate"]
    assert report["verdict"] == "pass"
    assert report["certificate"]["names"] == ["localhost", "cam.example.org", "192.0.2.1"]
    assert {"verdict", "check", "reason"} == set(report["findings"][0])
    assert validate(files, "cam.crt", "other.key", "--json") == 1
    out = capsys.readouterr().out
    assert json.loads(out)["certificate"] is None
    assert "PRIVATE" not in out


def test_password_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(files, "cam.crt", "encrypted.key", "--ca", "ca.crt", "--password-file", "password") == 0
    (files / "password").write_text("wrong")
    assert validate(files, "cam.crt", "encrypted.key", "--password-file", "password") == 1
    assert "the password does not open the private key" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_password_is_asked_for_at_a_terminal_only(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD.decode()

    monkeypatch.setattr(getpass, "getpass", answer)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert validate(files, "cam.crt", "encrypted.key", "--ca", "ca.crt") == 1
    assert "its password is needed" in capsys.readouterr().out
    assert asked == []
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert validate(files, "cam.crt", "encrypted.key", "--ca", "ca.crt") == 0
    assert validate(files, "cam.crt", "cam.key", "--ca", "ca.crt") == 0
    assert len(asked) == 1


def test_a_key_that_is_used_elsewhere(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = StateFolder(files / "state")
    state.prepare()
    pair = examine(Material(certificate=pem(LEAF), private_key=pem(KEY)), Purpose(identity="global")).pair
    assert pair is not None
    Store(state.certs).install("global", [pair], "install")
    assert validate(files, "cam.crt", "cam.key", "--ca", "ca.crt") == 0
    assert "same key" not in capsys.readouterr().out
    assert validate(files, "cam.crt", "cam.key", "--ca", "ca.crt", "--for", "ipc7") == 0
    assert "global has the same key" in capsys.readouterr().out


def test_a_file_too_large_is_not_read_whole(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (files / "cam.crt").open("ab") as file:
        file.truncate(1 << 40)
    assert validate(files, "cam.crt", "cam.key") == 1
    assert "block    size " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["none.crt"], "none.crt: No such file or directory"),
        (["cam.crt", "none.key"], "none.key: No such file or directory"),
        (["cam.crt", "cam.key", "--for", "ipc3"], 'there is no camera "ipc3"; there are ipc7'),
        (["cam.crt", "cam.key", "--ca", "none.crt"], "none.crt: No such file or directory"),
        (["cam.crt", "cam.key", "--password-file", "none.txt"], "none.txt: No such file or directory"),
    ],
)
def test_what_cannot_be_done(
    files: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(files, *arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("camfleet: ")
    assert complaint in err
