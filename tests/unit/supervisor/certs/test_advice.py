"""What `camfleet check` says of certificates."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from camfleet.supervisor import certs as certs_room
from camfleet.supervisor.certs.issue import parse_subject
from camfleet.supervisor.cli import main
from cryptography import x509

from tests.kit.authority import Authority

CA = Authority()
STREAM = '[[cameras.streams]]\nid = "stream1"\nsource = { kind = "testlive" }\n'
LOCAL = [x509.DNSName("localhost")]


def put(folder: Path, pair: tuple[bytes, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ssl.ca").write_bytes(pair[0])
    (folder / "ssl.key").write_bytes(pair[1])


def good(certs: Path) -> None:
    put(certs / "cameras" / "ipc1", CA.issue("localhost", LOCAL))


def ours(certs: Path) -> None:
    certs.mkdir(parents=True)
    authority = certs_room.Authority(certs)
    authority.create("cams", [], datetime.now(UTC))
    made = authority.issue(parse_subject(["localhost"]), datetime.now(UTC))
    put(certs, (made.certificate, made.private_key))


def mismatched(certs: Path) -> None:
    put(certs / "cameras" / "ipc1", (CA.issue("localhost", LOCAL)[0], CA.issue("other")[1]))


def expired(certs: Path) -> None:
    put(certs, CA.issue("localhost", LOCAL, days=(-9, -1)))


def a_client_ca(certs: Path) -> None:
    certs.mkdir(parents=True)
    (certs / "clients.pem").write_bytes(CA.root)


def nothing(_: Path) -> None:
    pass


MUTUAL = '[cameras.tls]\nclient_certificates = "required"\nclient_ca = "clients.pem"\n'
FILES = '[cameras.tls]\ncertificate = "a.pem"\nprivate_key = "a.key"\n'

# What is there, before the cameras, in the camera, its [cameras.tls]; what is said, and whether a server would start.
CASES: list[tuple[Callable[[Path], None], str, str, str, list[str], bool]] = [
    (nothing, "", "", "", [], True),
    (good, "", "rtsps_port = 8401", "", ["ipc1: ", "trust: "], True),
    (good, "", "", "", ["ipc1 has a certificate, but no rtsps_port, server_name or address of its own"], True),
    (good, '[server]\nrtsps = "off"', "", "", [], True),
    (ours, "", "", "", [], True),
    (
        mismatched,
        "",
        "rtsps_port = 8401",
        "",
        ["ssl.ca: key belongs to certificate: the private key belongs to"],
        False,
    ),
    (expired, "", "", "", ["warning: global: ", "ssl.ca: dates: it has expired on"], True),
    (expired, '[tls]\nexpired = "refuse"', "", "", ["camfleet: global: ", "ssl.ca: dates: it has expired on"], False),
    (nothing, "", 'address = "192.0.2.7"', "", ["ipc1: this host does not have the address 192.0.2.7"], True),
    (nothing, '[server]\nhost = "127.0.0.2"', 'address = "127.0.0.1"', "", ["ipc1: nobody listens on 127.0.0.1"], True),
    (nothing, '[server]\nhost = "0.0.0.0"', 'address = "::1"', "", ["ipc1: nobody listens on ::1"], True),
    (nothing, '[server]\nhost = "0.0.0.0"', 'address = "127.0.0.1"', "", [], True),
    (nothing, "", "rtsps_port = 8401", FILES, ["ipc1: ", "a.pem: No such file or directory"], False),
    (nothing, "", "rtsps_port = 8401", MUTUAL, ["ipc1: client_ca: ", "clients.pem: No such file or directory"], False),
    (a_client_ca, "", "rtsps_port = 8401", MUTUAL, [], True),
    (a_client_ca, "", "", MUTUAL, ["ipc1 requires client certificates, but has no rtsps_port"], True),
]


@pytest.mark.parametrize(("there", "head", "camera", "tls", "said", "starts"), CASES)
def test_check(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    there: Callable[[Path], None],
    head: str,
    camera: str,
    tls: str,
    said: list[str],
    starts: bool,
) -> None:
    there(tmp_path / "state" / "certs")
    server = head if "[server]" in head else f"[server]\n\n{head}"
    server = server.replace("[server]", '[server]\nstate_dir = "state"')
    file = tmp_path / "f.toml"
    file.write_text(f'{server}\n[[cameras]]\nid = "ipc1"\n{camera}\n{STREAM}{tls}')
    assert main(["check", str(file)]) == (0 if starts else 1)
    out, err = capsys.readouterr()
    for words in said:
        assert words in (out if starts else err)
    if starts:
        assert out.startswith(f"{file}: good; ")
        assert bool(said) is ("warning: " in out)
