"""The certificates of a running server: at the start, as files change, as time passes. Time comes in."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from camfleet.core.wire.control import Endpoint, TLSInfo
from camfleet.supervisor.certs import Authority, LiveFiles, Store, StoreError, live, provision, watch
from camfleet.supervisor.certs.authority import RENEWAL_INTERVAL_S
from camfleet.supervisor.certs.live import LiveCertificates
from camfleet.supervisor.certs.watch import GRACE_S
from camfleet.supervisor.config import ClientPolicy, IdentitySettings, TLSSettings
from camfleet.supervisor.examine import Material, Pair, Purpose, Report
from camfleet.supervisor.examine.examination import examined
from camfleet.supervisor.tls import CertificateError, ServerContext
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import load_pem_x509_certificate

from tests.kit import authority
from tests.kit.supervisor import until
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


@pytest.fixture(autouse=True)
def examinations(monkeypatch: pytest.MonkeyPatch) -> list[Material]:
    """Without the child process, which costs a third of a second; what was examined is in the list."""
    seen: list[Material] = []

    def examine(material: Material, purpose: Purpose) -> Report:
        seen.append(material)
        trusted = x509.load_pem_x509_certificates(purpose.trusted) if purpose.trusted else []
        return examined(material, purpose, trusted, datetime.fromtimestamp(Rig.now_s, UTC))

    monkeypatch.setattr(watch, "examine", examine)
    monkeypatch.setattr(provision, "examine", examine)
    return seen


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


# -------------------------------------------------------------------- the start


async def test_nothing_there(tmp_path: Path) -> None:
    """A self-signed pair is made, and is generation 1."""
    rig = Rig(tmp_path / "certs")
    await rig.start()
    row = rig.row()
    assert shown(rig.context()) == row["fingerprint"]
    assert (row["generation"], row["state"], row["problem"]) == (1, "live", "")
    assert row["files"] == [str(rig.certs / "ssl.ca"), str(rig.certs / "ssl.key")]
    assert row["key"] == "ECDSA P-256"
    assert 390 <= row["days_left"] <= 397


async def test_no_tls(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs")
    rig.live.commit(await rig.live.prepare(None, NOW_S))
    await rig.look()
    assert rig.live.directory is None
    assert rig.live.status([], NOW_S) == []
    assert not any(rig.certs.iterdir())


async def test_a_pair_that_was_put_there_by_hand_is_examined_and_archived(
    tmp_path: Path, examinations: list[Material]
) -> None:
    rig = Rig(tmp_path / "certs")
    rig.put(pair := ecdsa_pair())
    await rig.start()
    assert shown(rig.context()) == fingerprint(pair)
    assert [(each.number, each.origin) for each in rig.store.history("global")] == [(1, "files")]
    assert len(examinations) == 1


async def test_what_was_installed_is_not_examined_again(tmp_path: Path, examinations: list[Material]) -> None:
    rig = Rig(tmp_path / "certs")
    rig.store.install("global", [installed(ecdsa_pair())], "install")
    await rig.start()
    assert rig.row()["generation"] == 1
    assert examinations == []


BAD = [
    ((b"", b""), "ssl.ca"),
    ((ecdsa_pair()[0], ecdsa_pair()[1]), "the private key belongs to none of the certificates"),
    ((b"\x00" * 5000, b"\xff" * 200), "ssl.ca"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
async def test_a_bad_pair_and_nothing_else(tmp_path: Path, bad: PEM, reason: str) -> None:
    rig = Rig(tmp_path / "certs")
    rig.put(bad)
    with pytest.raises(CertificateError, match=reason):
        await rig.start()


@pytest.mark.parametrize("damage", ["both", "key", "certificate gone"])
async def test_a_bad_pair_and_a_good_generation(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(
        tmp_path / "certs", IdentitySettings(name="ipc1", files=((Path("a.pem"), Path("a.key")),), rtsps_port=8401)
    )
    pair = ecdsa_pair()
    (rig.certs / "a.pem").write_bytes(pair[0])
    (rig.certs / "a.key").write_bytes(pair[1])
    await rig.start()
    if damage == "certificate gone":
        (rig.certs / "a.pem").unlink()
    else:
        (rig.certs / "a.key").write_bytes(b"")
    again = Rig(rig.certs, *rig.settings.identities[1:])
    await again.start()
    assert shown(again.context(8401)) == fingerprint(pair)
    assert again.row("ipc1")["state"].startswith("refused: ")
    assert [record.levelname for record in caplog.records if record.getMessage() == "certificate_refused"] == ["ERROR"]
    await again.look()
    (rig.certs / "a.pem").write_bytes(pair[0])
    (rig.certs / "a.key").write_bytes(pair[1])
    await again.look()
    assert again.row("ipc1")["state"] == "live"


async def test_half_of_an_installation_is_completed(tmp_path: Path) -> None:
    """Killed between key and certificate: the store knows."""
    rig = Rig(tmp_path / "certs")
    rig.store.install("global", [installed(ecdsa_pair())], "install")
    new = installed(ecdsa_pair())
    rig.store.install("global", [new], "install")
    folder = rig.store.generation_folder("global", 2)
    (rig.certs / "ssl.ca").write_bytes((rig.store.generation_folder("global", 1) / "ssl.ca").read_bytes())
    folder.rename(folder.with_suffix(".installing"))
    await rig.start()
    assert shown(rig.context()) == new.description.fingerprint
    assert rig.row()["generation"] == 2


# -------------------------------------------------------------------- changes


@pytest.mark.parametrize("by", ["hand", "install"])
async def test_a_change_is_live_at_the_next_look(tmp_path: Path, by: str) -> None:
    rig = Rig(tmp_path / "certs")
    await rig.start()
    before, directory = rig.context(), rig.live.directory
    for pair in (ecdsa_pair(), rsa_pair(), ecdsa_pair()):
        if by == "hand":
            rig.put(pair)
        else:
            rig.store.install("global", [installed(pair)], "install")
        await rig.look()
        assert shown(rig.context()) == rig.row()["fingerprint"] == fingerprint(pair)
    assert rig.row()["generation"] == 4
    assert directory is not None
    assert directory.choose(Endpoint("192.0.2.1", 8322), "") is before  # who has the old one ends with it


async def test_nothing_changes_nothing(tmp_path: Path, examinations: list[Material]) -> None:
    """Touched, or written again as it was: the same context, with its tickets."""
    rig = Rig(tmp_path / "certs")
    rig.put(pair := ecdsa_pair())
    await rig.start()
    before = rig.context()
    rig.put(pair)
    for _ in range(3):
        await rig.look()
    await rig.reload()
    assert rig.context() is before
    assert len(examinations) == 1


async def test_half_a_copy_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path / "certs")
    rig.put(old := ecdsa_pair())
    await rig.start()
    new = ecdsa_pair()
    (rig.certs / "ssl.ca").write_bytes(new[0])
    caplog.clear()
    await rig.look()
    await rig.look(GRACE_S / 2)
    assert shown(rig.context()) == fingerprint(old)
    assert rig.row()["state"] == "live"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    (rig.certs / "ssl.key").write_bytes(new[1])
    await rig.look()
    assert shown(rig.context()) == fingerprint(new)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(("bad", "reason"), BAD)
async def test_a_bad_pair_leaves_the_old_one_and_is_said_once(
    tmp_path: Path, bad: PEM, reason: str, told: bool, caplog: pytest.LogCaptureFixture, examinations: list[Material]
) -> None:
    rig = Rig(tmp_path / "certs")
    rig.put(old := ecdsa_pair())
    await rig.start()
    before = rig.context()
    rig.put(bad)
    caplog.clear()
    if told:
        await rig.reload()
    for _ in range(10):
        await rig.look(1.0)
    assert rig.context() is before
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == "certificate_refused"
    assert reason in vars(record)["fields"]["reason"]
    row = rig.row()
    assert row["fingerprint"] == fingerprint(old)
    assert reason in row["problem"]
    assert row["state"] == f"refused: {row['problem']}"
    assert len(examinations) <= 2  # the same bad bytes are not examined over and over
    rig.put(new := rsa_pair())
    await rig.look()
    assert shown(rig.context()) == fingerprint(new)
    assert (rig.row()["state"], rig.row()["problem"]) == ("live", "")


async def test_the_old_files_come_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path / "certs")
    rig.put(old := ecdsa_pair())
    await rig.start()
    before = rig.context()
    caplog.set_level("INFO")
    rig.put((old[0], b"nothing"))
    await rig.look()
    await rig.look(GRACE_S)
    assert rig.row()["problem"]
    rig.put(old)
    await rig.look()
    await rig.look()
    assert rig.context() is before
    assert rig.row()["state"] == "live"
    assert [record.getMessage() for record in caplog.records].count("certificate_files_good") == 1


async def test_missing_files_are_made_only_when_somebody_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs")
    await rig.start()
    before = rig.context()
    for name in ("ssl.ca", "ssl.key"):
        (rig.certs / name).unlink()
    await rig.look()
    await rig.look(GRACE_S + 1)
    assert rig.context() is before
    assert rig.row()["problem"] == "its certificate is gone"
    await rig.reload()
    assert rig.context() is not before
    assert rig.row()["state"] == "live"


# -------------------------------------------------------------------- cameras


async def test_a_camera_gets_and_gives_up_its_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs", IdentitySettings(name="ipc1", rtsps_port=8401), IdentitySettings(name="ipc2"))
    await rig.start()
    assert rig.context(8401) is rig.context()
    assert rig.context().identity == "global"
    rig.put(pair := ecdsa_pair(), "ipc1")
    await rig.look()
    assert shown(rig.context(8401)) == fingerprint(pair)
    assert (rig.context(8401).identity, rig.context().identity) == ("ipc1", "global")
    assert [row.identity for row in rig.live.status([], NOW_S)] == ["global", "ipc1"]
    rig.store.use_global("ipc1")
    await rig.look()
    assert rig.context(8401).identity == "ipc1"  # perhaps somebody is replacing the files
    await rig.look(GRACE_S)
    assert rig.context(8401) is rig.context()
    assert rig.row()["state"] == "live"


async def test_one_cameras_change_is_no_others(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path / "certs",
        IdentitySettings(name="ipc1", server_name="ipc1.example.org"),
        IdentitySettings(name="ipc2", address="192.0.2.2"),
    )
    rig.put(ecdsa_pair(), "ipc1")
    rig.put(ecdsa_pair(), "ipc2")
    await rig.start()
    places: list[dict[str, Any]] = [{}, {"host": "192.0.2.2"}, {"server_name": "ipc1.example.org"}]
    *others, before = [rig.context(**place) for place in places]
    rig.put(rsa_pair(), "ipc1")
    await rig.look()
    *same, after = [rig.context(**place) for place in places]
    assert same == others
    assert after is not before
    rig.put(BAD[1][0], "ipc2")
    await rig.look()
    await rig.look(GRACE_S)
    assert [rig.context(**place) for place in places] == [*others, after]


async def test_a_bad_first_pair_of_a_camera_is_in_the_status(tmp_path: Path) -> None:
    """Until it is good, the global one is shown."""
    rig = Rig(tmp_path / "certs", IdentitySettings(name="ipc1", rtsps_port=8401))
    await rig.start()
    rig.put(BAD[1][0], "ipc1")
    await rig.look()
    await rig.look(GRACE_S)
    assert rig.context(8401) is rig.context()
    row = rig.row("ipc1")
    assert row["state"].startswith("refused: ")
    assert row["fingerprint"] == ""


async def test_a_reload_with_a_new_camera_whose_pair_is_bad_changes_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs")
    await rig.start()
    before = rig.context()
    rig.put(BAD[1][0], "ipc1")
    rig.settings = TLSSettings(
        identities=(IdentitySettings(name="global"), IdentitySettings(name="ipc1", rtsps_port=8401))
    )
    with pytest.raises(CertificateError, match="belongs to none"):
        await rig.reload()
    await rig.look()
    assert rig.context(8401) is before


async def test_a_reload_moves_a_camera(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs", IdentitySettings(name="ipc1", rtsps_port=8401))
    rig.put(ecdsa_pair(), "ipc1")
    await rig.start()
    own = rig.context(8401)
    rig.settings = TLSSettings(
        identities=(IdentitySettings(name="global"), IdentitySettings(name="ipc1", rtsps_port=8402))
    )
    await rig.reload()
    assert rig.context(8402) is own
    assert rig.context(8401) is rig.context()


async def test_other_files_by_the_configuration(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs")
    await rig.start()
    pair = ecdsa_pair()
    (rig.certs / "a.pem").write_bytes(pair[0])
    (tmp_path / "a.key").write_bytes(pair[1])
    files = ((Path("a.pem"), tmp_path / "a.key"),)
    rig.settings = TLSSettings(identities=(IdentitySettings(name="global", files=files),))
    await rig.reload()
    assert shown(rig.context()) == fingerprint(pair)
    assert rig.row()["files"] == [str(rig.certs / "a.pem"), str(tmp_path / "a.key")]
    assert rig.row()["generation"] == 2
    new = ecdsa_pair()
    (rig.certs / "a.pem").write_bytes(new[0])
    (tmp_path / "a.key").write_bytes(new[1])
    await rig.look()
    assert shown(rig.context()) == fingerprint(new)


# -------------------------------------------------------------------- two key types, time, clients


async def test_two_key_types_are_two_rows(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs")
    rig.put(first := ecdsa_pair())
    rig.put(second := rsa_pair(), name="ssl.alternate")
    await rig.start()
    rows = rig.live.status([], rig.now_s)
    assert [(row.key, row.fingerprint) for row in rows] == [
        ("ECDSA P-256", fingerprint(first)),
        ("RSA 2048", fingerprint(second)),
    ]
    assert rows[1].files[0].endswith("ssl.alternate.ca")
    assert set(rig.context().fingerprints) == {"ECDSA", "RSA"}
    rig.put(ecdsa_pair(), name="ssl.alternate")  # of the same type
    await rig.reload()
    assert "both certificates are ECDSA" in rig.row()["problem"]
    assert set(rig.context().fingerprints) == {"ECDSA", "RSA"}


def session(certificate: str, fingerprint: str) -> TLSInfo:
    return TLSInfo(version="TLSv1.3", suite="", certificate=certificate, certificate_fingerprint=fingerprint)


async def test_sessions_on_older_ones(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs")
    rig.put(old := ecdsa_pair())
    await rig.start()
    sessions = [session("global", fingerprint(old)), session("ipc1", "ab" * 32)]
    assert rig.row(sessions=sessions)["sessions_on_older"] == 0
    rig.put(ecdsa_pair())
    await rig.look()
    assert rig.row(sessions=sessions)["sessions_on_older"] == 1


@pytest.mark.parametrize("expired", ["serve", "refuse"])
async def test_the_end_of_a_certificate(tmp_path: Path, expired: str, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path / "certs", IdentitySettings(name="ipc1", rtsps_port=8401), expired=expired)
    rig.put(ecdsa_pair(days=20))
    rig.put(ecdsa_pair(days=90), "ipc1")
    await rig.start()
    events = []
    for _ in range(22):
        await rig.look(DAY_S)
        events += [
            (record.getMessage(), vars(record)["fields"].get("days_left"))
            for record in caplog.records
            if record.getMessage().startswith("certificate_expire")
        ]
        caplog.clear()
    assert [event for event, _ in events] == ["certificate_expires"] * 4 + ["certificate_expired"]
    assert rig.row()["state"] == "expired"
    assert rig.row()["days_left"] < 0
    assert rig.context().expired is (expired == "refuse")
    assert not rig.context(8401).expired
    rig.put(new := ecdsa_pair(days=400))
    await rig.look()
    assert shown(rig.context()) == fingerprint(new)


async def test_a_start_with_a_certificate_that_has_expired(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs")
    rig.put(old := ecdsa_pair(days=-3))
    await rig.start()
    assert shown(rig.context()) == fingerprint(old)
    assert rig.row()["state"] == "expired"


async def test_of_two_certificates_the_one_that_has_expired_is_shown_to_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs", expired="refuse")
    rig.put(ecdsa_pair(days=1))
    rig.put(rsa_pair(), name="ssl.alternate")
    await rig.start()
    assert set(rig.context().fingerprints) == {"ECDSA", "RSA"}
    await rig.look(2 * DAY_S)
    assert set(rig.context().fingerprints) == {"RSA"}
    assert not rig.context().expired
    assert [row.state for row in rig.live.status([], rig.now_s)] == ["expired", "live"]


async def test_renewal_at_two_thirds(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "certs", IdentitySettings(name="ipc1", rtsps_port=8401))
    rig.put(ecdsa_pair(days=365))
    ours = Authority(rig.certs)
    now = datetime.fromtimestamp(NOW_S, UTC)
    ours.create("localhost", [], now)
    subject = provision.host_subject()
    material = ours.issue(subject, now, days=90)
    rig.store.install("ipc1", [provision.vetted(material, "ipc1", ours.root_pem)], "authority")
    await rig.start()
    before, other = rig.context(8401), rig.context()
    await rig.look(58 * DAY_S)
    assert rig.context(8401) is before
    await rig.look(3 * DAY_S)
    assert rig.context(8401) is not before
    assert rig.row("ipc1")["generation"] == 2
    assert rig.row("ipc1")["days_left"] >= 88
    assert rig.context() is other


async def test_a_renewal_that_fails_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def renew(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(live, "renew", renew)
    rig = Rig(tmp_path / "certs")
    Authority(rig.certs).create("localhost", [], datetime.fromtimestamp(NOW_S, UTC))
    await rig.start()
    for seconds in (1, RENEWAL_INTERVAL_S, 1):
        await rig.look(seconds)
    events = [record for record in caplog.records if record.getMessage() == "certificate_not_renewed"]
    assert len(events) == 2


async def test_policies(tmp_path: Path) -> None:
    """A camera with another authority has a context of its own, with whatever certificate."""
    client = ClientPolicy(certificates="required", ca=Path("clients.pem"))
    rig = Rig(tmp_path / "certs", IdentitySettings(name="ipc1", rtsps_port=8401, client=client), profile="strict")
    with pytest.raises(CertificateError, match=r"client_ca: .*clients.pem: No such file"):
        await rig.start()
    (rig.certs / "clients.pem").write_bytes(CA.root)
    await rig.start()
    assert rig.context(8401).identity == rig.context().identity == "global"
    assert (rig.context(8401).policy.client_certificates, rig.context().policy.client_certificates) == (
        "required",
        "off",
    )
    assert rig.context().policy.strict
    assert rig.live.policy("ipc1") is rig.context(8401).policy
    assert rig.live.policy("ipc9").client_certificates == "off"
    before = rig.context()
    (rig.certs / "clients.pem").write_bytes(b"nothing")
    await rig.look()
    assert rig.live.policy("ipc1").client_ca == CA.root
    other = authority.Authority("Other")
    (rig.certs / "clients.pem").write_bytes(other.root)
    await rig.look()
    assert rig.live.policy("ipc1").client_ca == rig.context(8401).policy.client_ca == other.root
    assert rig.context() is before


async def test_one_that_takes_long_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path / "certs", *(IdentitySettings(name=f"ipc{n}", rtsps_port=8400 + n) for n in (1, 2)))
    await rig.start()
    slow, pair = ecdsa_pair(), ecdsa_pair()
    ended = threading.Event()

    def examine_slowly(material: Material, purpose: Purpose) -> Report:
        if material.certificate == slow[0]:
            assert ended.wait(20)
        return examined(material, purpose, [], datetime.now(UTC))

    monkeypatch.setattr(watch, "examine", examine_slowly)
    rig.put(slow, "ipc1")
    rig.put(pair, "ipc2")
    looking = asyncio.create_task(rig.look())
    await until(lambda: rig.context(8402).fingerprint == fingerprint(pair))
    assert not looking.done()
    assert rig.context(8401) is rig.context()
    ended.set()
    await looking
    assert rig.context(8401).fingerprint == fingerprint(slow)


async def test_a_mistake_of_ours_is_one_identitys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path / "certs", *(IdentitySettings(name=f"ipc{n}", rtsps_port=8400 + n) for n in (1, 2)))
    await rig.start()
    pair, read = ecdsa_pair(), Store.live

    def broken(store: Store, identity: str) -> list[LiveFiles]:
        if identity == "ipc1":
            raise RuntimeError("a mistake")
        return read(store, identity)

    monkeypatch.setattr(Store, "live", broken)
    rig.put(ecdsa_pair(), "ipc1")
    rig.put(pair, "ipc2")
    await rig.look()
    assert rig.context(8402).fingerprint == fingerprint(pair)
    assert [record.getMessage() for record in caplog.records].count("certificate_look_failed") == 1


async def test_a_hundred_cameras_wait_for_each_other_two_by_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each examination is a process of its own."""
    running: list[int] = [0, 0]

    def examine(material: Material, purpose: Purpose) -> Report:
        running[0] += 1
        running[1] = max(running)
        report = examined(material, purpose, [], datetime.now(UTC))
        running[0] -= 1
        return report

    monkeypatch.setattr(watch, "examine", examine)
    rig = Rig(tmp_path / "certs", *(IdentitySettings(name=f"ipc{n}", rtsps_port=9000 + n) for n in range(20)))
    for n in range(20):
        rig.put(ecdsa_pair(), f"ipc{n}")
    await asyncio.wait_for(rig.start(), 20)
    assert running[1] <= 2
    assert len({rig.context(9000 + n) for n in range(20)}) == 20
