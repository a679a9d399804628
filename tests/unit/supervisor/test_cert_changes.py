"""`camfleet cert install`, `use-global`, `rollback`, `create`, `root`, `show`, `history`, with files as they come."""

import json
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from camfleet.supervisor import cert_changes, cert_commands
from camfleet.supervisor.arbiter import ServerNotRunningError
from camfleet.supervisor.certs import Store, issue
from camfleet.supervisor.cli import main
from camfleet.supervisor.examine import Material, Pair, Purpose, examine
from camfleet.supervisor.status import CertificateStatus, StatusReport, SupervisorStatus
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.kit.certificates import Recipe, authority, der, ec_key, pem, rsa_key
from tests.kit.openssl import openssl, verifies

NOW = datetime.now(UTC)
CA = authority("Example CA", ends=NOW + timedelta(days=900))
NAMES: dict[str, Any] = {"names": ("localhost", "ipc7.example.org"), "begins": NOW - timedelta(days=1)}
RECIPE = Recipe(ends=NOW + timedelta(days=90), **NAMES)
KEYS = {name: ec_key() for name in "ab"} | {"rsa": rsa_key(2048)}
LEAVES = {name: RECIPE.made(key, CA) for name, key in KEYS.items()}
CAMERA = '[[cameras]]\nid = "{}"\n{}[[cameras.streams]]\nid = "s"\nsource = {{ kind = "testlive" }}\n'


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


Answer = tuple[int, str, str]


@pytest.fixture
def cert(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Runs a command in the folder; its exit code, stdout and stderr."""
    monkeypatch.chdir(place)

    def run(command: str, *arguments: str) -> Answer:
        words = command.split()
        at = 2 if words[0] == "create" else 1
        code = main(["cert", *words[:at], "--config", "camfleet.toml", *words[at:], *arguments])
        return code, *capsys.readouterr()

    return run


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


# ------------------------------------------------------------ install


def test_install(place: Path, cert: Callable[..., Answer]) -> None:
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


def test_warnings_are_shown_and_what_is_good_is_not(cert: Callable[..., Answer]) -> None:
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
def test_what_blocks_changes_nothing(place: Path, cert: Callable[..., Answer], arguments: str, reason: str) -> None:
    other = authority("Other CA", ends=NOW - timedelta(days=1))
    (place / "expired.crt").write_bytes(pem(other.certificate))
    assert cert("install b.crt b.key --ca ca.crt")[0] == 0
    before = tree(place)
    code, out, _ = cert(f"install {arguments}")
    assert code == 1
    assert reason in " ".join(out.split())
    assert out.endswith("must be mended.\nNothing was changed.\n")
    assert tree(place) == before


def test_the_forms_in_which_they_come(place: Path, cert: Callable[..., Answer]) -> None:
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


def test_beside(place: Path, cert: Callable[..., Answer]) -> None:
    assert cert("install rsa.crt rsa.key --ca ca.crt --beside")[0] == 0
    assert shown(place) == prints("rsa")
    assert cert("install a.crt a.key --ca ca.crt --beside")[0] == 0
    assert shown(place) == prints("rsa", "a")
    assert cert("install b.crt b.key --ca ca.crt --beside")[0] == 0
    assert shown(place) == prints("rsa", "b")
    assert cert("install a.crt a.key --ca ca.crt")[0] == 0
    assert shown(place) == prints("a")


def test_beside_files_that_were_put_there_by_hand(place: Path, cert: Callable[..., Answer]) -> None:
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


def test_a_renewed_certificate_of_the_same_key(place: Path, cert: Callable[..., Answer]) -> None:
    cert("install a.crt a.key --ca ca.crt")
    (place / "renewed.crt").write_bytes(pem(RECIPE.made(KEYS["a"], CA)))
    assert cert("install renewed.crt --ca ca.crt")[0] == 0
    assert shown(place) != prints("a")
    before = tree(place)
    code, out, _ = cert("install b.crt --ca ca.crt")
    assert (code, "the private key is missing" in out) == (1, True)
    assert tree(place) == before


# ------------------------------------------------------------ whose


def test_of_a_camera(place: Path, cert: Callable[..., Answer]) -> None:
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
def test_a_camera_that_is_not_there(place: Path, cert: Callable[..., Answer], command: str) -> None:
    code, _, err = cert(command)
    assert code == 1
    assert err.startswith('camfleet: there is no camera "')
    assert err.endswith('"; there are ipc7, ipc8\n')
    assert not (place / "state").exists()


def test_the_history_of_a_camera_that_is_gone(place: Path, cert: Callable[..., Answer]) -> None:
    cert("install a.crt a.key --ca ca.crt --for ipc7")
    text = (place / "camfleet.toml").read_text()
    (place / "camfleet.toml").write_text(text.replace('id = "ipc7"', 'id = "ipc1"'))
    code, out, _ = cert("history --for ipc7")
    assert (code, "ipc7" in out) == (0, True)
    code, _, err = cert("rollback --for ipc7")
    assert (code, err) == (1, 'camfleet: there is no camera "ipc7"; there are ipc1, ipc8\n')


def test_configured_files_are_named_with_their_line(place: Path, cert: Callable[..., Answer]) -> None:
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


def test_a_link_is_not_replaced(place: Path, cert: Callable[..., Answer]) -> None:
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


# ------------------------------------------------------------ rollback, history, show


def test_rollback_and_history(place: Path, cert: Callable[..., Answer]) -> None:
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


def test_there_is_no_way_back_to_what_has_expired(place: Path, cert: Callable[..., Answer]) -> None:
    cert("install a.crt a.key --ca ca.crt")
    old = Recipe(ends=NOW - timedelta(hours=1), **NAMES).made(KEYS["b"], CA)
    store_of(place).archive("global", [good(old, pem(KEYS["b"]))], "files")
    before = tree(place)
    code, out, _ = cert("rollback 2")
    assert (code, out.endswith("Nothing was changed.\n"), "block" in out) == (1, True, True)
    assert tree(place) == before


def test_show_without_anything(place: Path, cert: Callable[..., Answer]) -> None:
    code, out, _ = cert("show")
    assert code == 0
    assert out.splitlines()[::2] == [
        "There is no global certificate yet; the first start makes one.",
        "The global certificate is used by ipc7, ipc8.",
        "No server is running here: which of these it shows, and to how many, is not known.",
    ]
    assert cert("history") == (0, "There is no history.\n", "")
    assert not (place / "state").exists()


def test_show(place: Path, cert: Callable[..., Answer]) -> None:
    cert("install a.crt a.key --ca ca.crt")
    cert("install b.crt b.key --ca ca.crt --for ipc7")
    code, out, _ = cert("show")
    certs = place / "state/certs"
    end = (NOW + timedelta(days=90)).strftime("%Y-%m-%d")
    assert code == 0
    assert out.split("\n\n")[1].splitlines() == [
        "ipc7, generation 1",
        f"  certificate  {certs}/cameras/ipc7/ssl.ca",
        f"  private key  {certs}/cameras/ipc7/ssl.key",
        "  subject      CN=cam.example.org",
        "  names        localhost, ipc7.example.org, 192.0.2.1",
        "  issuer       CN=Example CA",
        f"  valid        {NAMES['begins']:%Y-%m-%d} to {end}, 89 days left",
        "  key          ECDSA P-256",
        f"  SHA-256      {prints('b')[0]}",
        f"  of the key   {store_of(place).history('ipc7')[0].pairs[0].key_fingerprint}",
    ]
    assert "The global certificate is used by ipc8.\n" in out
    code, out, _ = cert("show --json")
    assert [(row["identity"], row["days_left"], row["state"]) for row in json.loads(out)] == [
        ("global", 89, None),
        ("ipc7", 89, None),
    ]
    assert "PRIVATE" not in out


def test_show_says_what_is_wrong_with_the_files(place: Path, cert: Callable[..., Answer]) -> None:
    cert("install a.crt a.key --ca ca.crt")
    (place / "state/certs/ssl.key").write_bytes(pem(KEYS["b"]))
    code, out, _ = cert("show")
    assert code == 0
    assert "global, files of no generation\n" in out
    assert "  problem      the private key belongs to none of the certificates" in out
    (place / "state/certs/ssl.key").unlink()
    assert "ssl.key: No such file or directory" in cert("show")[1]


# ------------------------------------------------------------ create


@pytest.mark.parametrize(("key", "words"), [("ecdsa", "ECDSA P-256"), ("rsa", "RSA 3072")])
def test_create_self_signed(place: Path, cert: Callable[..., Answer], key: str, words: str) -> None:
    code, out, _ = cert(f"create self-signed --key {key}")
    assert (code, f"  {words}, CN=camfleet, " in out) == (0, True)
    (files,) = store_of(place).live("global")
    assert verifies(files.certificate, files.certificate, "-verify_hostname", "localhost")
    assert verifies(files.certificate, files.certificate, "-verify_ip", "127.0.0.1")
    assert openssl("x509", "-in", files.certificate, "-noout", "-checkend", str(395 * 86400)).returncode == 0
    (generation,) = store_of(place).history("global")
    assert generation.origin == "self-signed"
    assert shown(place) == [generation.pairs[0].fingerprint]


def test_from_a_request_to_a_certificate(place: Path, cert: Callable[..., Answer]) -> None:
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


def test_a_request_names_nothing_that_is_everybodys(cert: Callable[..., Answer], place: Path) -> None:
    cert("create request --out all.csr")
    shown = openssl("req", "-in", place / "all.csr", "-noout", "-text").stdout
    assert "localhost" not in shown
    assert "127.0.0.1" not in shown


def test_a_private_authority(place: Path, cert: Callable[..., Answer]) -> None:
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


def test_an_authority_with_limits(place: Path, cert: Callable[..., Answer]) -> None:
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
def test_a_name_that_is_none(place: Path, cert: Callable[..., Answer], name: str) -> None:
    for kind in ("self-signed", "request", "authority"):
        code, _, err = cert(f"create {kind} --name", name)
        assert (code, "is neither a DNS name nor an address" in err) == (1, True)
    assert tree(place) == dict.fromkeys(tree(place), b""), "no key of a request that was never made"


@pytest.mark.parametrize("days", ["0", "-1", "x", "36501", "9" * 40])
def test_days_that_are_none(cert: Callable[..., Answer], capsys: pytest.CaptureFixture[str], days: str) -> None:
    with pytest.raises(SystemExit):
        cert(f"create self-signed --days={days}")
    assert "argument --days: a whole number from 1 to 36500\n" in capsys.readouterr().err


def test_the_lifetimes_in_the_help_are_those_of_the_room(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {"self-signed": issue.SELF_SIGNED_DAYS, "issued": issue.ISSUED_DAYS, "authority": issue.ROOT_DAYS}
    for kind, days in kinds.items():
        with pytest.raises(SystemExit):
            main(["cert", "create", kind, "--help"])
        assert f"lifetime; else {days}\n" in capsys.readouterr().out


def test_where_nothing_can_be_written(cert: Callable[..., Answer], place: Path) -> None:
    cert("create authority")
    assert cert("root --out nowhere/root.crt") == (1, "", "camfleet: nowhere/root.crt: No such file or directory\n")
    code, _, err = cert("create request --out nowhere/a.csr")
    assert (code, err) == (1, "camfleet: nowhere/a.csr: No such file or directory\n")
    key = store_of(place).pending("global").read_bytes()
    cert("create request --out a.csr")
    assert store_of(place).pending("global").read_bytes() == key


# ------------------------------------------------------------ with a server that runs


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


def test_live(cert: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, [row("b")], None, [row("b"), row("a", "ipc7")], [row("a"), row("b", "ipc7")])
    code, out, _ = cert("install a.crt a.key --ca ca.crt")
    assert (code, out.splitlines()[-1], server.asked) == (0, "Live.", 4)


def test_both_key_types_must_be_live(cert: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
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
    cert: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
    rows: list[CertificateStatus] | None,
    complaint: str,
) -> None:
    Server(monkeypatch, rows)
    code, _, err = cert("install a.crt a.key --ca ca.crt")
    assert (code, err) == (1, f"camfleet: {complaint}\n")
    assert shown(place) == prints("a")


def test_what_no_client_can_be_shown_is_not_called_live(
    cert: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    Server(monkeypatch, [row("a", "ipc8")])
    code, out, _ = cert("install a.crt a.key --ca ca.crt --for ipc8")
    assert (code, out.splitlines()[-1]) == (0, "The server has taken it.")


def test_the_global_one_is_live_when_the_cameras_own_is_gone(
    cert: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert("install a.crt a.key --ca ca.crt --for ipc7")
    server = Server(monkeypatch, [row("b"), row("a", "ipc7")], [row("b")])
    code, out, _ = cert("use-global ipc7")
    assert (code, out.splitlines()[-1], server.asked) == (0, "Live.", 2)


def test_without_tls_nothing_is_waited_for(
    place: Path, cert: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(monkeypatch, [])
    text = (place / "camfleet.toml").read_text()
    (place / "camfleet.toml").write_text(text.replace("[server]\n", '[server]\nrtsps = "off"\n'))
    code, out, _ = cert("install a.crt a.key --ca ca.crt")
    assert out.endswith('\nTLS is off (rtsps = "off"); it is served when it is on.\n')
    assert (code, server.asked) == (0, 0)


@pytest.mark.parametrize(
    ("rows", "state", "older"),
    [
        ([row("a", older=3)], "live", 3),
        ([row("a", state="expired")], "expired", 0),
        ([row("b", state="refused: it is cursed", older=1)], "refused: it is cursed", 1),
        ([row("b"), row("a", "ipc7", older=9)], "not served yet", 0),
    ],
)
def test_show_with_a_server(
    cert: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
    rows: list[CertificateStatus],
    state: str,
    older: int,
) -> None:
    cert("install a.crt a.key --ca ca.crt")
    Server(monkeypatch, rows)
    (one,) = json.loads(cert("show --json")[1])
    assert (one["state"], one["sessions_on_older"]) == (state, older)
    assert one["generation"] == (7 if rows[0].fingerprint == prints("a")[0] else 1), "the server knows better"
    out = cert("show")[1]
    words, _, problem = state.partition("refused: ")
    assert out.splitlines()[0] == (
        f"global, generation {one['generation']}, {words or 'still served: the files are refused'}"
    )
    assert (f"  problem      {problem}\n" in out) is bool(problem)
    assert f"  sessions     {older} still use an older certificate\n" in out
    assert "No server" not in out
