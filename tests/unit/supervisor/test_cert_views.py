"""`camfleet cert show` and `history`."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from camfleet.supervisor.status import CertificateStatus

from tests.kit.cert_place import KEYS, NAMES, NOW, Cert, Server, prints, row, store_of
from tests.kit.certificates import pem


def test_show_without_anything(place: Path, cert: Cert) -> None:
    code, out, _ = cert("show")
    assert code == 0
    assert out.splitlines()[::2] == [
        "There is no global certificate yet; the first start makes one.",
        "The global certificate is used by ipc7, ipc8.",
        "No server is running here: which of these it shows, and to how many, is not known.",
    ]
    assert cert("history") == (0, "There is no history.\n", "")
    assert not (place / "state").exists()


def test_show(place: Path, cert: Cert) -> None:
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


def test_show_says_what_is_wrong_with_the_files(place: Path, cert: Cert) -> None:
    cert("install a.crt a.key --ca ca.crt")
    (place / "state/certs/ssl.key").write_bytes(pem(KEYS["b"]))
    code, out, _ = cert("show")
    assert code == 0
    assert "global, files of no generation\n" in out
    assert "  problem      the private key belongs to none of the certificates" in out
    (place / "state/certs/ssl.key").unlink()
    assert "ssl.key: No such file or directory" in cert("show")[1]


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
    cert: Cert,
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
