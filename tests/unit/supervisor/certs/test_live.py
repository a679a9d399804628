"""The certificates of a running server: at the start, and as files change. Time comes in."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from camfleet.core.wire.control import Endpoint, TLSInfo
from camfleet.supervisor.certs import LiveFiles, Store, watch
from camfleet.supervisor.certs.watch import GRACE_S
from camfleet.supervisor.config import ClientPolicy, IdentitySettings, TLSSettings
from camfleet.supervisor.examine import Material, Purpose, Report
from camfleet.supervisor.examine.examination import examined
from camfleet.supervisor.tls import CertificateError

from tests.kit import authority
from tests.kit.live_certificates import (
    CA,
    NOW_S,
    PEM,
    Rig,
    ecdsa_pair,
    examine_here,
    fingerprint,
    installed,
    rsa_pair,
    shown,
)
from tests.kit.supervisor import until


@pytest.fixture(autouse=True)
def examinations(monkeypatch: pytest.MonkeyPatch) -> list[Material]:
    return examine_here(monkeypatch)


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


# -------------------------------------------------------------------- two key types, clients, many


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
