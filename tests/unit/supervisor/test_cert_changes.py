"""`camfleet cert install`, `use-global`, `rollback`, with files as they come."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from camfleet.supervisor.examine import Material, Pair, Purpose, examine
from camfleet.supervisor.status import CertificateStatus
from cryptography import x509

from tests.kit.cert_place import (
    CA,
    CAMERA,
    KEYS,
    LEAVES,
    NAMES,
    NOW,
    RECIPE,
    Cert,
    Server,
    prints,
    row,
    shown,
    store_of,
    tree,
)
from tests.kit.certificates import Recipe, authority, der, pem
from tests.kit.openssl import openssl

# ------------------------------------------------------------ install


def test_install(place: Path, cert: Cert) -> None:
    code, out, err = cert("install a.crt a.key --ca ca.crt")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Generation 1 of global:",
        f"  ECDSA P-256, CN=cam.example.org, SHA-256 {prints('a')[0]}",
        "No server is running here; it will be used at the next start.",
    ]
    assert shown(place) == prints("a")
    assert stat.S_IMODE((place / "state/certs").stat().st_mode) == 0o700
    assert cert("install b.crt b.key --ca ca.crt")[0] == 0
    assert shown(place) == prints("b")


def test_warnings_are_shown_and_what_is_good_is_not(cert: Cert) -> None:
    code, out, _ = cert("install a.crt a.key")
    assert code == 0
    assert out.startswith("VERDICT  CHECK  REASON\nwarning  trust  CN=Example CA is neither in the file nor among")
    assert "pass " not in out
    assert "\n\nGood with 1 warning.\nGeneration 1 of global:" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("a.crt b.key", "the private key belongs to none of the certificates"),
        ("a.crt", "the private key is missing"),
        ("a.key", "there is no certificate in it"),
        ("a.crt a.key --ca expired.crt", "block "),
    ],
)
def test_what_blocks_changes_nothing(place: Path, cert: Cert, arguments: str, reason: str) -> None:
    other = authority("Other CA", ends=NOW - timedelta(days=1))
    (place / "expired.crt").write_bytes(pem(other.certificate))
    assert cert("install b.crt b.key --ca ca.crt")[0] == 0
    before = tree(place)
    code, out, _ = cert(f"install {arguments}")
    assert code == 1
    assert reason in " ".join(out.split())
    assert out.endswith("must be mended.\nNothing was changed.\n")
    assert tree(place) == before


def test_the_forms_in_which_they_come(place: Path, cert: Cert) -> None:
    (place / "bundle.pem").write_bytes(pem(KEYS["a"], LEAVES["a"], CA.certificate))
    (place / "a.der").write_bytes(der(LEAVES["a"]))
    (place / "password").write_text("s3cret\n")
    made = openssl("pkcs12", "-export", "-in", place / "b.crt", "-inkey", place / "b.key", "-passout", "pass:s3cret",
                   "-out", place / "b.p12")  # fmt: skip
    assert made.returncode == 0
    for arguments, name in (
        ("bundle.pem", "a"),
        ("b.p12 --password-file password", "b"),
        ("a.der a.key", "a"),
    ):
        assert cert(f"install --ca ca.crt {arguments}")[0] == 0, arguments
        assert shown(place) == prints(name)
    assert cert("install --ca ca.crt b.p12")[0] == 1, "a password is needed, and nobody can be asked"
    chain = store_of(place).live("global")[0].certificate.read_bytes()
    assert chain == pem(LEAVES["a"]), "without the root"


def test_beside(place: Path, cert: Cert) -> None:
    assert cert("install rsa.crt rsa.key --ca ca.crt --beside")[0] == 0
    assert shown(place) == prints("rsa")
    assert cert("install a.crt a.key --ca ca.crt --beside")[0] == 0
    assert shown(place) == prints("rsa", "a")
    assert cert("install b.crt b.key --ca ca.crt --beside")[0] == 0
    assert shown(place) == prints("rsa", "b")
    assert cert("install a.crt a.key --ca ca.crt")[0] == 0
    assert shown(place) == prints("a")


def test_beside_files_that_were_put_there_by_hand(place: Path, cert: Cert) -> None:
    certs = place / "state/certs"
    certs.mkdir(parents=True)
    (certs / "ssl.ca").write_bytes(pem(LEAVES["a"]))
    (certs / "ssl.key").write_bytes(pem(KEYS["a"]))
    assert cert("install rsa.crt rsa.key --ca ca.crt --beside")[0] == 0
    assert shown(place) == prints("a", "rsa")
    (certs / "ssl.key").write_bytes(pem(KEYS["b"]))
    code, _, err = cert("install rsa.crt rsa.key --ca ca.crt --beside")
    assert (code, "ssl.ca is live and no good; install without --beside" in err) == (1, True)
    (certs / "ssl.key").chmod(0o600)


def test_a_renewed_certificate_of_the_same_key(place: Path, cert: Cert) -> None:
    cert("install a.crt a.key --ca ca.crt")
    (place / "renewed.crt").write_bytes(pem(RECIPE.made(KEYS["a"], CA)))
    assert cert("install renewed.crt --ca ca.crt")[0] == 0
    assert shown(place) != prints("a")
    before = tree(place)
    code, out, _ = cert("install b.crt --ca ca.crt")
    assert (code, "the private key is missing" in out) == (1, True)
    assert tree(place) == before


# ------------------------------------------------------------ whose


def test_of_a_camera(place: Path, cert: Cert) -> None:
    assert cert("install a.crt a.key --ca ca.crt")[0] == 0
    code, out, _ = cert("install b.crt b.key --ca ca.crt --for ipc7")
    assert (code, "No client can" in out) == (0, False)
    assert (shown(place), shown(place, "ipc7")) == (prints("a"), prints("b"))
    _, out, _ = cert("install rsa.crt rsa.key --ca ca.crt --for ipc8")
    assert "No client can be shown it: give ipc8 an rtsps_port, a server_name or an address of its own.\n" in out
    code, out, _ = cert("use-global ipc7")
    assert code == 0
    assert out.startswith("ipc7 has no certificate of its own any more; its history is kept.\n")
    assert shown(place, "ipc7") == []
    assert cert("rollback --for ipc7")[0] == 0
    assert shown(place, "ipc7") == prints("b")


@pytest.mark.parametrize(
    "command",
    ["install a.crt a.key --for ipc9", "use-global ipc9", "rollback --for ipc9", "history --for ipc9",
     "create self-signed --for ipc9", "create request --for ../x", "create issued --for ipc9"],
)  # fmt: skip
def test_a_camera_that_is_not_there(place: Path, cert: Cert, command: str) -> None:
    code, _, err = cert(command)
    assert code == 1
    assert err.startswith('camfleet: there is no camera "')
    assert err.endswith('"; there are ipc7, ipc8\n')
    assert not (place / "state").exists()


def test_the_history_of_a_camera_that_is_gone(place: Path, cert: Cert) -> None:
    cert("install a.crt a.key --ca ca.crt --for ipc7")
    text = (place / "camfleet.toml").read_text()
    (place / "camfleet.toml").write_text(text.replace('id = "ipc7"', 'id = "ipc1"'))
    code, out, _ = cert("history --for ipc7")
    assert (code, "ipc7" in out) == (0, True)
    code, _, err = cert("rollback --for ipc7")
    assert (code, err) == (1, 'camfleet: there is no camera "ipc7"; there are ipc1, ipc8\n')


def test_configured_files_are_named_with_their_line(place: Path, cert: Cert) -> None:
    text = (place / "camfleet.toml").read_text()
    paths = f'certificate = "{place}/a.crt"\nprivate_key = "{place}/a.key"\n'
    mine = CAMERA.format("ipc7", 'server_name = "ipc7.example.org"\n')
    changed = text.replace(mine, f"{mine}[cameras.tls]\n{paths}") + f"[tls]\n{paths}"
    (place / "camfleet.toml").write_text(changed)
    lines = [number for number, line in enumerate(changed.splitlines(), 1) if line.startswith("certificate")]
    for whose, name, line in ((" --for ipc7", "ipc7", lines[0]), ("", "global", lines[1])):
        for command in ("install b.crt b.key", "create self-signed", "rollback"):
            code, _, err = cert(command + whose)
            assert code == 1
            assert err == (
                f"camfleet: {name} has its certificate from {place}/a.crt, by camfleet.toml:{line}: replace that file, "
                "which a running server sees, or remove the setting; nothing was changed\n"
            )
    assert cert("use-global ipc7")[0] == 1
    code, out, _ = cert("show")
    assert (code, f"  certificate  {place}/a.crt\n" in out, prints("a")[0] in out) == (0, True, True)


def test_a_link_is_not_replaced(place: Path, cert: Cert) -> None:
    certs = place / "state/certs"
    certs.mkdir(parents=True)
    (certs / "ssl.ca").symlink_to(place / "a.crt")
    (certs / "ssl.key").symlink_to(place / "a.key")
    code, _, err = cert("install b.crt b.key --ca ca.crt")
    assert code == 1
    assert f"ssl.key is a link to {place}/a.key: this certificate is managed by somebody else. Nothing" in err
    assert (certs / "ssl.ca").is_symlink()
    code, out, _ = cert("show")
    assert (code, prints("a")[0] in out, "files of no generation" in out) == (0, True, True)


# ------------------------------------------------------------ rollback, history


def test_rollback_and_history(place: Path, cert: Cert) -> None:
    assert cert("rollback") == (1, "", "camfleet: global has no earlier generation\n")
    cert("install a.crt a.key --ca ca.crt")
    cert("install b.crt b.key --ca ca.crt")
    code, out, _ = cert("rollback")
    assert (code, out.splitlines()[0]) == (0, "The certificate of generation 1 is generation 3 of global now.")
    assert shown(place) == prints("a")
    assert cert("rollback")[0] == 0
    assert shown(place) == prints("b")
    assert cert("rollback 1")[0] == 0
    assert cert("rollback 17") == (1, "", "camfleet: global has no generation 17; there are: 1, 2, 3, 4, 5\n")
    code, out, _ = cert("history")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["IDENTITY", "GENERATION", "SINCE", "BY", "KEY", "SUBJECT", "ENDS", "SHA-256"]
    assert [(row[1], row[4], row[-1]) for row in rows[1:]] == [
        ("1", "install", *prints("a")),
        ("2", "install", *prints("b")),
        ("3", "rollback", *prints("a")),
        ("4", "rollback", *prints("b")),
        ("5*", "rollback", *prints("a")),
    ]


def good(certificate: x509.Certificate, private_key: bytes) -> Pair:
    purpose = Purpose(identity="global", outside_dates="warning")
    pair = examine(Material(certificate=pem(certificate), private_key=private_key), purpose).pair
    assert pair is not None
    return pair


def test_there_is_no_way_back_to_what_has_expired(place: Path, cert: Cert) -> None:
    cert("install a.crt a.key --ca ca.crt")
    old = Recipe(ends=NOW - timedelta(hours=1), **NAMES).made(KEYS["b"], CA)
    store_of(place).archive("global", [good(old, pem(KEYS["b"]))], "files")
    before = tree(place)
    code, out, _ = cert("rollback 2")
    assert (code, out.endswith("Nothing was changed.\n"), "block" in out) == (1, True, True)
    assert tree(place) == before


# ------------------------------------------------------------ with a server that runs


def test_live(cert: Cert, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, [row("b")], None, [row("b"), row("a", "ipc7")], [row("a"), row("b", "ipc7")])
    code, out, _ = cert("install a.crt a.key --ca ca.crt")
    assert (code, out.splitlines()[-1], server.asked) == (0, "Live.", 4)


def test_both_key_types_must_be_live(cert: Cert, monkeypatch: pytest.MonkeyPatch) -> None:
    cert("install a.crt a.key --ca ca.crt")
    server = Server(monkeypatch, [row("a")], [row("a"), row("rsa")])
    assert cert("install rsa.crt rsa.key --ca ca.crt --beside")[0] == 0
    assert server.asked == 2


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([row("b")], "the server has not taken it within 0.3 s; see its log"),
        ([], "the server has not taken it within 0.3 s; see its log"),
        ([row("b", state="refused: it is cursed")], "refused: it is cursed"),
        (None, "no server answers"),
    ],
)
def test_not_live(
    place: Path,
    cert: Cert,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[CertificateStatus] | None,
    complaint: str,
) -> None:
    Server(monkeypatch, rows)
    code, _, err = cert("install a.crt a.key --ca ca.crt")
    assert (code, err) == (1, f"camfleet: {complaint}\n")
    assert shown(place) == prints("a")


def test_what_no_client_can_be_shown_is_not_called_live(cert: Cert, monkeypatch: pytest.MonkeyPatch) -> None:
    Server(monkeypatch, [row("a", "ipc8")])
    code, out, _ = cert("install a.crt a.key --ca ca.crt --for ipc8")
    assert (code, out.splitlines()[-1]) == (0, "The server has taken it.")


def test_the_global_one_is_live_when_the_cameras_own_is_gone(cert: Cert, monkeypatch: pytest.MonkeyPatch) -> None:
    cert("install a.crt a.key --ca ca.crt --for ipc7")
    server = Server(monkeypatch, [row("b"), row("a", "ipc7")], [row("b")])
    code, out, _ = cert("use-global ipc7")
    assert (code, out.splitlines()[-1], server.asked) == (0, "Live.", 2)


def test_without_tls_nothing_is_waited_for(place: Path, cert: Cert, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, [])
    text = (place / "camfleet.toml").read_text()
    (place / "camfleet.toml").write_text(text.replace("[server]\n", '[server]\nrtsps = "off"\n'))
    code, out, _ = cert("install a.crt a.key --ca ca.crt")
    assert out.endswith('\nTLS is off (rtsps = "off"); it is served when it is on.\n')
    assert (code, server.asked) == (0, 0)
