"""Certificates change while 8 clients do handshakes as fast as they can and 20 readers play (issue 4, point 7).

CAMFLEET_CERTIFICATES_S=60 is the promised length, with 30 changes (`make soak-certificates`).
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.kit.authority import Authority
from tests.kit.handshaker import Handshake
from tests.kit.server import Server
from tests.kit.wait import wait_for

SECONDS = float(os.environ.get("CAMFLEET_CERTIFICATES_S", "12"))
CHANGES = round(SECONDS / 2)
HANDSHAKES_MIN = round(SECONDS * (10_000 / 60 if SECONDS >= 60 else 40))
KINDS = ("1.3", "1.3+resume", "1.2", "1.2+resume") * 2
READERS = 20
LIMITS = "\n[limits]\npending_per_address = 5000\n"

AUTHORITY = Authority()
KEYS = (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048))


class Change(NamedTuple):
    """`live_s` 0: it was refused."""

    put_s: float
    live_s: float
    fingerprint: str


def fingerprint(certificate: bytes) -> str:
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()


def put(server: Server, certificate: bytes, private_key: bytes, *, certificate_first: bool) -> None:
    """As an administrator does it by hand: two renames, in either order."""
    files = [("ssl.key", private_key), ("ssl.ca", certificate)]
    for name, data in reversed(files) if certificate_first else files:
        path = server.state_dir / "certs" / name
        fresh = path.with_name(f"{name}.copy")
        fresh.write_bytes(data)
        fresh.replace(path)


def install(server: Server, folder: Path, certificate: bytes, private_key: bytes) -> None:
    (folder / "new.pem").write_bytes(certificate)
    (folder / "new.key").write_bytes(private_key)
    command = [sys.executable, "-m", "camfleet.supervisor", "cert", "install", "--config", str(server.config)]
    pair = [str(folder / "new.pem"), str(folder / "new.key")]
    subprocess.run([*command, *pair], check=True, capture_output=True, timeout=30)


def change(server: Server, folder: Path, number: int) -> Change:
    """The next one, until the server says what came of it. Every fifth is no good: another key, or one byte."""
    certificate, private_key = AUTHORITY.issue("localhost", [x509.DNSName("localhost")], key=KEYS[number % 2])
    good = number % 5 != 4
    if not good:
        _, private_key = AUTHORITY.issue("other")
        if number % 2:
            certificate = certificate[:300] + b"?" + certificate[301:]
    seen = len(server.log_text())
    put_s = time.monotonic()
    if good and number % 3 == 0:
        install(server, folder, certificate, private_key)
    else:
        put(server, certificate, private_key, certificate_first=number % 2 == 0)
        if number % 3 == 1 or number % 10 == 4:  # the others are seen without being told of
            os.kill(server.pid, signal.SIGHUP)
    words = f"fingerprints={fingerprint(certificate)}" if good else "event=certificate_refused"
    wait_for(lambda: words in server.log_text()[seen:], 10, f"change {number}: {words} is not in the log")
    return Change(put_s, time.monotonic() if good else 0.0, fingerprint(certificate) if good else "")


def wait_until(moment_s: float) -> None:
    wait_for(lambda: time.monotonic() >= moment_s, 10.0)


def may_show(handshake: Handshake, changes: list[Change]) -> set[str]:
    """The newest that was live when it began, and what was put there before it ended."""
    good = [each for each in changes if each.live_s]
    newest = max((each for each in good if each.live_s <= handshake.began_s), key=lambda each: each.live_s)
    return {each.fingerprint for each in good if each.put_s >= newest.put_s and each.put_s <= handshake.ended_s}


def test_nobody_notices_a_change_but_by_its_certificate(folder: Path) -> None:
    stop = folder / "stop"
    with Server(folder, tail=LIMITS) as server, ExitStack() as stack:
        stack.callback(stop.touch)
        first = (server.state_dir / "certs" / "ssl.ca").read_bytes()
        changes = [Change(0.0, time.monotonic(), fingerprint(first))]
        readers = [stack.enter_context(server.watch()) for _ in range(READERS)]
        for reader in readers:
            reader.wait_for_frames(1)
        clients = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.kit.handshaker", str(server.rtsps_port), str(stop), kind],
                stdout=subprocess.PIPE,
            )
            for kind in KINDS
        ]
        outputs: list[bytes] = [b""] * len(clients)

        def collect(number: int) -> None:
            outputs[number], _ = clients[number].communicate()

        threads = [threading.Thread(target=collect, args=(number,)) for number in range(len(clients))]
        for thread in threads:
            thread.start()
        began_s = time.monotonic()
        for number in range(CHANGES):
            wait_until(began_s + 2 * number)
            changes.append(change(server, folder, number))
        wait_until(max(began_s + SECONDS, time.monotonic() + 1))  # on a busy machine the last change has come late
        took_s = time.monotonic() - began_s
        stop.touch()
        for thread in threads:
            thread.join()
        for reader in readers:
            reader.wait_for_frames(5)
        (row,) = server.status()["certificates"]

    handshakes = [Handshake(*json.loads(line)) for line in itertools.chain(*(text.splitlines() for text in outputs))]
    assert [each.error for each in handshakes if each.error] == []
    wrong = [each for each in handshakes if each.shown not in may_show(each, changes)]
    assert wrong == []
    refused = sum(not each.live_s for each in changes)
    assert (len(changes), refused) == (CHANGES + 1, CHANGES // 5)
    newest = [each.fingerprint for each in changes if each.live_s][-1]
    assert (row["fingerprint"], row["sessions_on_older"]) == (newest, READERS)
    assert len({each.shown for each in handshakes}) >= len(changes) - refused - 1
    assert [reader.video.holes for reader in readers] == [0] * READERS
    assert [reader.error for reader in readers] == [None] * READERS
    resumed = sum(each.resumed for each in handshakes)
    longest_s = max(each.ended_s - each.began_s for each in handshakes)
    print(
        f"{len(handshakes)} handshakes in {took_s:.0f} s, {resumed} of them by ticket, "
        f"the longest {longest_s * 1000:.0f} ms; "
        f"{len(changes) - 1} changes, {refused} of them refused"
    )
    assert len(handshakes) - resumed >= HANDSHAKES_MIN
    assert resumed > len(handshakes) / 10, "tickets are not taken, so that nothing is said of resumption"
