"""The certificates of a running server without the server, and a clock for them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from camfleet.core.wire.control import Endpoint, TLSInfo
from camfleet.supervisor.certs import Store, provision, watch
from camfleet.supervisor.certs.live import LiveCertificates
from camfleet.supervisor.config import IdentitySettings, TLSSettings
from camfleet.supervisor.examine import Material, Pair, Purpose, Report
from camfleet.supervisor.examine.examination import examined
from camfleet.supervisor.tls import ServerContext
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import load_pem_x509_certificate

from tests.kit import authority
from tests.kit.tls_client import BundledClient, establish

RSA_KEY = rsa.generate_private_key(65537, 2048)
CA = authority.Authority()
NOW_S = datetime.now(UTC).timestamp()
DAY_S = 86_400

PEM = tuple[bytes, bytes]


def ecdsa_pair(days: float = 30) -> PEM:
    return CA.issue("localhost", [x509.DNSName("localhost")], days=(-400, days))


def rsa_pair() -> PEM:
    return CA.issue("localhost", [x509.DNSName("localhost")], key=RSA_KEY)


def fingerprint(pair: PEM) -> str:
    return load_pem_x509_certificate(pair[0]).fingerprint(hashes.SHA256()).hex()


class Rig:
    """certs/ in a folder, a clock, which the examination goes by too, and the certificates."""

    now_s = NOW_S

    def __init__(self, certs: Path, *identities: IdentitySettings, **settings: Any) -> None:
        self.certs = certs
        certs.mkdir(exist_ok=True)
        self.store = Store(certs)
        self.settings = TLSSettings(identities=(IdentitySettings(name="global"), *identities), **settings)
        self.live = LiveCertificates(certs)
        Rig.now_s = NOW_S

    def put(self, pair: PEM, identity: str = "global", name: str = "ssl") -> None:
        """By hand."""
        folder = self.certs if identity == "global" else self.certs / "cameras" / identity
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.ca").write_bytes(pair[0])
        (folder / f"{name}.key").write_bytes(pair[1])

    async def start(self) -> None:
        self.live.commit(await self.live.prepare(self.settings, self.now_s))

    reload = start

    async def look(self, seconds: float = 1.0) -> None:
        Rig.now_s += seconds
        await self.live.look(self.now_s)

    def context(self, port: int = 8322, server_name: str = "", host: str = "192.0.2.1") -> ServerContext:
        assert self.live.directory is not None
        return self.live.directory.choose(Endpoint(host, port), server_name)

    def row(self, identity: str = "global", sessions: Sequence[TLSInfo] = ()) -> dict[str, Any]:
        rows = self.live.status(sessions, self.now_s)
        found: dict[str, Any] = msgspec.to_builtins(next(row for row in rows if row.identity == identity))
        return found


def shown(context: ServerContext) -> str:
    """What a client sees."""
    _, info = establish(context, BundledClient())
    return info.certificate_fingerprint


def installed(pair: PEM) -> Pair:
    report = examined(Material(certificate=pair[0], private_key=pair[1]), Purpose(identity="x"), [], datetime.now(UTC))
    assert report.pair is not None
    return report.pair


def examine_here(monkeypatch: pytest.MonkeyPatch) -> list[Material]:
    """Without the child process, which costs a third of a second; what was examined is in the list."""
    seen: list[Material] = []

    def examine(material: Material, purpose: Purpose) -> Report:
        seen.append(material)
        trusted = x509.load_pem_x509_certificates(purpose.trusted) if purpose.trusted else []
        return examined(material, purpose, trusted, datetime.fromtimestamp(Rig.now_s, UTC))

    monkeypatch.setattr(watch, "examine", examine)
    monkeypatch.setattr(provision, "examine", examine)
    return seen
