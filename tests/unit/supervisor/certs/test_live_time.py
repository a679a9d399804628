"""The certificates of a running server as time passes: warnings, the end, renewal. Time comes in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from camfleet.supervisor.certs import Authority, StoreError, live, provision
from camfleet.supervisor.certs.authority import RENEWAL_INTERVAL_S
from camfleet.supervisor.config import IdentitySettings

from tests.kit.live_certificates import DAY_S, NOW_S, Rig, ecdsa_pair, examine_here, fingerprint, rsa_pair, shown


@pytest.fixture(autouse=True)
def _examinations(monkeypatch: pytest.MonkeyPatch) -> None:
    examine_here(monkeypatch)


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
