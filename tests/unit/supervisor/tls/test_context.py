import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from camfleet.supervisor.tls import CertificateError, rehearse
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.kit.certificates import rsa_key
from tests.kit.tls_client import BundledClient, establish, read_context, write_pair

Pair = tuple[Path, Path]


def test_the_fingerprint_is_what_openssl_shows(pair: Pair) -> None:
    command: list[str | Path] = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", pair[0]]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert read_context(*pair).fingerprint == shown.strip().partition("=")[2].replace(":", "").lower()


def test_a_chain_is_sent_whole(pair: Pair, tmp_path: Path) -> None:
    certificate, _ = pair
    (tmp_path / "other").mkdir()
    issuer, _ = write_pair(tmp_path / "other", name="issuer.example.org")
    certificate.write_bytes(certificate.read_bytes() + issuer.read_bytes())
    client = BundledClient()
    establish(read_context(*pair), client)
    chain = client.tls.get_peer_cert_chain(as_cryptography=True)
    assert chain is not None
    assert len(chain) == 2


def encrypt(pair: Pair) -> None:
    key = load_pem_private_key(pair[1].read_bytes(), None)
    pair[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


def other_key(pair: Pair) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pair[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def key_of_another_kind(pair: Pair) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pair[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def short_key(pair: Pair) -> None:
    write_pair(pair[0].parent, rsa.generate_private_key(65537, 1024))


DAMAGE: list[tuple[Callable[[Pair], object], str]] = [
    (other_key, "the private key is not the certificate's"),
    (encrypt, "the private key is encrypted"),
    (key_of_another_kind, "the private key is neither ECDSA nor RSA"),
    (short_key, "ee key too small"),
    (lambda pair: pair[0].write_bytes(b""), "the certificate is not in PEM form"),
    (lambda pair: pair[0].write_bytes(pair[1].read_bytes()), "the certificate is not in PEM form"),
    (lambda pair: pair[1].write_bytes(pair[0].read_bytes()), "the private key is not in PEM form"),
    (lambda pair: pair[1].write_bytes(b"\xff\x00"), "the private key is not in PEM form"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_pair_that_cannot_be_served(pair: Pair, damage: Callable[[Pair], object], message: str) -> None:
    damage(pair)
    with pytest.raises(CertificateError, match=message):
        read_context(*pair)


async def test_a_large_key_does_not_hold_up_the_event_loop(tmp_path: Path) -> None:
    """The library's proof that the factors are prime keeps the GIL: 13 s for 8,192 bits, and all handshakes wait."""
    files = write_pair(tmp_path, rsa_key(8192))
    gaps, busy = [0.0], asyncio.create_task(asyncio.to_thread(lambda: rehearse(read_context(*files))))
    while not busy.done():
        began = time.monotonic()
        await asyncio.sleep(0.001)  # what takes longer was held up
        gaps.append(time.monotonic() - began)
    await busy
    assert max(gaps) < 2.0


def test_sslkeylogfile_is_not_honoured(pair: Pair, tmp_path: Path) -> None:
    """In a process of its own: the library reads its environment when a context is made."""
    script = """
        import sys
        from pathlib import Path
        from tests.kit.tls_client import BundledClient, establish, read_context
        import os
        context = read_context(Path(sys.argv[1]), Path(sys.argv[2]))
        assert "SSLKEYLOGFILE" not in os.environ
        establish(context, BundledClient())
    """
    log = tmp_path / "secrets"
    environment = os.environ | {"SSLKEYLOGFILE": str(log), "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), *pair], env=environment, check=True)
    assert not log.exists()
