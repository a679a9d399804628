import ipaddress
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from camfleet.supervisor.certs import Authority, StoreError
from camfleet.supervisor.certs.issue import Subject
from camfleet.supervisor.certs.provision import vetted
from camfleet.supervisor.examine import Description
from cryptography import x509

from tests.kit.faults import failing_at_each_step, killed_at_each_step
from tests.kit.openssl import openssl, verifies

NOW = datetime.now(UTC).replace(microsecond=0)
DAY_S = 86400
SUBJECT = Subject(("cams.example.org",))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    authority.create("cams", [], NOW)
    return authority


def leaf(authority: Authority, folder: Path, subject: Subject) -> Path:
    path = folder / "leaf.pem"
    path.write_bytes(authority.issue(subject, NOW).certificate)
    return path


def test_create(tmp_path: Path, authority: Authority) -> None:
    folder = tmp_path / "authority"
    assert authority.exists
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"authority": 0o700, "root.key": 0o600, "root.crt": 0o644}
    assert authority.root_pem == (folder / "root.crt").read_bytes()
    assert "CA:TRUE, pathlen:0" in openssl("x509", "-in", folder / "root.crt", "-noout", "-text").stdout
    assert openssl("verify", "-x509_strict", "-CAfile", folder / "root.crt", folder / "root.crt").returncode == 0
    printed = openssl("x509", "-in", folder / "root.crt", "-noout", "-fingerprint", "-sha256").stdout
    assert printed.rpartition("=")[2].strip().replace(":", "").lower() == authority.root_fingerprint


def test_an_authority_is_never_replaced(tmp_path: Path, authority: Authority) -> None:
    before = (tmp_path / "authority/root.key").read_bytes()
    with pytest.raises(StoreError, match="is there already; clients trust it"):
        authority.create("cams", [], NOW)
    assert (tmp_path / "authority/root.key").read_bytes() == before


def test_two_authorities_have_different_names(tmp_path: Path, authority: Authority) -> None:
    other = Authority(tmp_path / "other")
    other.create("cams", [], NOW)
    assert other.root.subject != authority.root.subject


def test_without_an_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert not authority.exists
    with pytest.raises(StoreError, match="camfleet cert create authority"):
        authority.issue(SUBJECT, NOW)
    with pytest.raises(StoreError, match="camfleet cert create authority"):
        _ = authority.root_pem
    assert not authority.due(description("CN=x", 0, 1), 2)


def test_it_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    def create() -> None:
        Authority(tmp_path).create("cams", [], NOW)

    def prepare() -> None:
        if Authority(tmp_path).exists:
            for name in ("root.crt", "root.key"):
                (tmp_path / "authority" / name).unlink()
            (tmp_path / "authority").rmdir()

    steps = []
    for step in killed_at_each_step(create, prepare):
        steps.append(step)
        if not Authority(tmp_path).exists:
            create()
        assert [path.name for path in tmp_path.iterdir()] == ["authority"]
        leaf(Authority(tmp_path), tmp_path, SUBJECT).unlink()
    assert len(steps) > 10
    for _, raised in failing_at_each_step(create, prepare, lambda: OSError(28, "No space left on device")):
        assert raised is None or "No space left on device" in str(raised)
        assert Authority(tmp_path).exists != str(raised).endswith("; nothing was changed")


@pytest.mark.parametrize(
    ("permitted", "subject", "refused"),
    [
        ([], Subject(("localhost",), (ipaddress.ip_address("192.0.2.7"),)), ""),
        (["example.org"], SUBJECT, ""),
        (["example.org"], Subject(("example.org", "*.example.org")), ""),
        (["example.org"], Subject(("cams.example.com",)), "cams.example.com"),
        (["example.org"], Subject(("badexample.org",)), "badexample.org"),
        (["example.org"], Subject(("a.example.org",), (ipaddress.ip_address("192.0.2.7"),)), "192.0.2.7"),
        (["192.0.2.0/24"], Subject((), (ipaddress.ip_address("192.0.2.7"),)), ""),
        (["192.0.2.0/24"], Subject((), (ipaddress.ip_address("198.51.100.7"),)), "198.51.100.7"),
        (["192.0.2.0/24"], Subject((), (ipaddress.ip_address("2001:db8::7"),)), "2001:db8::7"),
        (["192.0.2.7"], SUBJECT, "cams.example.org"),
        (["example.org", "2001:db8::/32"], Subject(("a.example.org",), (ipaddress.ip_address("2001:db8::7"),)), ""),
    ],
)
def test_name_constraints_mean_to_us_what_they_mean_to_openssl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, permitted: list[str], subject: Subject, refused: str
) -> None:
    authority = Authority(tmp_path)
    authority.create("cams", permitted, NOW)
    if not refused:
        assert authority.permitted(subject) == subject
        assert verifies(tmp_path / "authority/root.crt", leaf(authority, tmp_path, subject))
        return
    with pytest.raises(StoreError, match=f"may not issue for {refused}: name constraints"):
        authority.issue(subject, NOW)
    assert refused not in [*authority.permitted(subject).names, *map(str, authority.permitted(subject).addresses)]
    monkeypatch.setattr("camfleet.supervisor.certs.authority.permits", lambda *_: True)
    assert not verifies(tmp_path / "authority/root.crt", leaf(authority, tmp_path, subject))


def test_what_cannot_be_issued(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(StoreError, match="the authority ended on "):
        authority.issue(SUBJECT, NOW + timedelta(days=3653))
    with pytest.raises(StoreError, match="needs a name"):
        authority.issue(Subject(()), NOW)
    (tmp_path / "authority/root.key").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"root\.key: the private key is not in PEM form"):
        authority.issue(SUBJECT, NOW)
    (tmp_path / "authority/root.crt").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"root\.crt: "):
        authority.issue(SUBJECT, NOW)


def description(issuer: str, begin: int, end: int, *, self_signed: bool = False) -> Description:
    return Description(
        subject="CN=cams.example.org",
        issuer=issuer,
        names=("cams.example.org",),
        not_before_unix_s=begin,
        not_after_unix_s=end,
        fingerprint="",
        key="ECDSA P-256",
        key_fingerprint="",
        chain_length=1,
        self_signed=self_signed,
    )


@pytest.mark.parametrize(
    ("day", "due"), [(0, False), (59, False), (59.9, False), (59.99, True), (60, True), (89, True), (200, True)]
)
def test_due_at_two_thirds(authority: Authority, day: float, due: bool) -> None:
    issuer = authority.root.subject.rfc4514_string()
    assert authority.due(description(issuer, 0, 90 * DAY_S), day * DAY_S) == due
    assert not authority.due(description("CN=Example CA", 0, 90 * DAY_S), day * DAY_S)
    assert not authority.due(description(issuer, 0, 90 * DAY_S, self_signed=True), day * DAY_S)


def test_an_examined_certificate_is_known_again(authority: Authority) -> None:
    """By the issuer as the examination writes it."""
    pair = vetted(authority.issue(SUBJECT, NOW), "global", authority.root_pem)
    assert authority.due(pair.description, NOW.timestamp() + 60 * DAY_S)
    assert not authority.due(pair.description, NOW.timestamp() + 58 * DAY_S)
    assert not authority.due(msgspec.structs.replace(pair.description, issuer="CN=else"), NOW.timestamp() + 89 * DAY_S)


def test_each_has_a_key_of_its_own(authority: Authority) -> None:
    first, second = (authority.issue(SUBJECT, NOW) for _ in range(2))
    assert first.private_key != second.private_key
    assert x509.load_pem_x509_certificate(first.certificate).issuer == authority.root.subject
