"""A folder with certificates of an authority, and a server of two cameras that `camfleet cert` is about."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from camfleet.supervisor import cert_changes, cert_commands
from camfleet.supervisor.arbiter import ServerNotRunningError
from camfleet.supervisor.certs import Store
from camfleet.supervisor.status import CertificateStatus, StatusReport, SupervisorStatus
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.kit.certificates import Recipe, authority, ec_key, rsa_key
from tests.kit.openssl import openssl

NOW = datetime.now(UTC)
CA = authority("Example CA", ends=NOW + timedelta(days=900))
NAMES: dict[str, Any] = {"names": ("localhost", "ipc7.example.org"), "begins": NOW - timedelta(days=1)}
RECIPE = Recipe(ends=NOW + timedelta(days=90), **NAMES)
KEYS = {name: ec_key() for name in "ab"} | {"rsa": rsa_key(2048)}
LEAVES = {name: RECIPE.made(key, CA) for name, key in KEYS.items()}
CAMERA = '[[cameras]]\nid = "{}"\n{}[[cameras.streams]]\nid = "s"\nsource = {{ kind = "testlive" }}\n'
Answer = tuple[int, str, str]
Cert = Callable[..., Answer]


def store_of(place: Path) -> Store:
    return Store(place / "state/certs")


def shown(place: Path, identity: str = "global") -> list[str]:
    """What would be served: fingerprints of the live files, whose keys belong to them."""
    found = []
    for files in store_of(place).live(identity):
        leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        public = openssl("pkey", "-in", files.private_key, "-pubout").stdout
        assert public == openssl("x509", "-in", files.certificate, "-noout", "-pubkey").stdout
        found.append(leaf.fingerprint(hashes.SHA256()).hex())
    return found


def prints(*names: str) -> list[str]:
    return [LEAVES[name].fingerprint(hashes.SHA256()).hex() for name in names]


def tree(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (place / "state/certs").rglob("*") if path.is_file()}


class Server:
    """Answers as a running one; `certificates`: at each question the next of its rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *certificates: list[CertificateStatus] | None) -> None:
        self.asked = 0
        self._certificates = certificates
        monkeypatch.setattr(cert_commands.Place, "server_runs", lambda _: True)
        monkeypatch.setattr("camfleet.supervisor.arbiter.query_status", self._answer)
        monkeypatch.setattr(cert_changes, "LIVE_TIMEOUT_S", 0.3)
        monkeypatch.setattr(cert_changes, "_LOOK_INTERVAL_S", 0.001)

    def _answer(self, _: Path) -> bytes:
        rows = self._certificates[min(self.asked, len(self._certificates) - 1)]
        self.asked += 1
        if rows is None:
            raise ServerNotRunningError("no server answers")
        supervisor = SupervisorStatus(pid=1, version="0", uptime_s=1.0)
        return msgspec.json.encode(StatusReport(supervisor=supervisor, cameras=[], certificates=rows))


def row(name: str, identity: str = "global", state: str = "live", older: int = 0) -> CertificateStatus:
    return CertificateStatus(
        identity=identity, generation=7, fingerprint=prints(name)[0], state=state, sessions_on_older=older,
        problem=state.removeprefix("refused: ") if state.startswith("refused") else "",
    )  # fmt: skip
