"""`camfleet cert` in a folder of its own."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from camfleet.supervisor.cli import main

from tests.kit.cert_place import CA, CAMERA, KEYS, LEAVES, Answer, Cert
from tests.kit.certificates import pem


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Two pairs, an RSA one, and a server of the cameras ipc7 (reachable by its name) and ipc8."""
    for name, key in KEYS.items():
        (tmp_path / f"{name}.crt").write_bytes(pem(LEAVES[name]))
        (tmp_path / f"{name}.key").write_bytes(pem(key))
    (tmp_path / "ca.crt").write_bytes(pem(CA.certificate))
    (tmp_path / "camfleet.toml").write_text(
        '[server]\nstate_dir = "state"\n[[users]]\nname = "a"\npassword = "x"\n'
        + CAMERA.format("ipc7", 'server_name = "ipc7.example.org"\n')
        + CAMERA.format("ipc8", "")
    )
    yield tmp_path
    keys = [path for path in tmp_path.rglob("*.key") if path.parent != tmp_path and not path.is_symlink()]
    assert [path for path in keys if stat.S_IMODE(path.stat().st_mode) != 0o600] == []


@pytest.fixture
def cert(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cert:
    """Runs a command in the folder; its exit code, stdout and stderr."""
    monkeypatch.chdir(place)

    def run(command: str, *arguments: str) -> Answer:
        words = command.split()
        at = 2 if words[0] == "create" else 1
        code = main(["cert", *words[:at], "--config", "camfleet.toml", *words[at:], *arguments])
        return code, *capsys.readouterr()

    return run
