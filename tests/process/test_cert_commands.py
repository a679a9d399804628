"""`camfleet cert ...` beside a running server: what it says is live is what clients are shown."""

import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.server import Server
from tests.kit.wait import wait_for

TIMEOUT_S = 30.0
SERVER_NAME = "ipc2.example.org"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """Camera ipc2 has a name of its own."""
    server = Server(tmp_path, ("ipc1", "ipc2"))
    text = server.config.read_text()
    server.config.write_text(text.replace('id = "ipc2"\n', f'id = "ipc2"\nserver_name = "{SERVER_NAME}"\n'))
    return server


def cert(server: Server, *arguments: str, code: int = 0) -> str:
    at = 2 if arguments[0] == "create" else 1
    command = [sys.executable, "-m", "camfleet.supervisor", "cert", *arguments[:at], "--config", str(server.config)]
    done = subprocess.run(
        [*command, *arguments[at:]], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=os.environ
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def shown(server: Server, server_name: str = "localhost", root: Path | None = None) -> str:
    """SHA-256 of the certificate that a new client gets; with `root` it verifies name and chain."""
    context = ssl.create_default_context(cafile=root)
    if root is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", server.rtsps_port), TIMEOUT_S) as sock,
        context.wrap_socket(sock, server_hostname=server_name) as tls,
    ):
        return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()


def live(server: Server, identity: str = "global") -> str:
    """What `show` says."""
    rows = json.loads(cert(server, "show", "--json"))
    (row,) = (each for each in rows if each["identity"] == identity)
    assert row["state"] == "live"
    return str(row["description"]["fingerprint"])


def test_what_is_live_is_what_clients_get(server: Server, tmp_path: Path) -> None:
    root = tmp_path / "root.crt"
    with server, server.watch("ipc1") as reader:
        first = shown(server)
        assert live(server) == first
        cert(server, "create", "authority")
        cert(server, "root", "--out", str(root))

        assert cert(server, "create", "issued").endswith("\nLive.\n")
        second = shown(server, root=root)
        assert second == live(server) != first
        assert shown(server, SERVER_NAME) == second
        assert "  sessions     1 still use an older certificate\n" in cert(server, "show")

        assert cert(server, "create", "issued", "--for", "ipc2").endswith("\nLive.\n")
        camera = shown(server, SERVER_NAME, root)
        assert camera == live(server, "ipc2") != second
        assert shown(server, root=root) == second

        assert cert(server, "rollback").endswith("\nLive.\n")
        assert shown(server) == first
        assert "  sessions     0 still use an older certificate\n" in cert(server, "show")
        assert cert(server, "use-global", "ipc2").endswith("\nLive.\n")
        assert shown(server, SERVER_NAME) == first
        assert cert(server, "rollback", "--for", "ipc2").endswith("\nLive.\n")
        assert shown(server, SERVER_NAME, root) == camera

        own = server.state_dir / "certs" / "cameras" / "ipc2" / "ssl.key"
        good = own.read_bytes()
        own.write_bytes((server.state_dir / "certs" / "ssl.key").read_bytes())
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: ", still served: the files are refused\n" in cert(server, "show"))
        out = cert(server, "show")
        assert f"  SHA-256      {camera}\n" in out
        assert "  problem      the private key belongs to none of the certificates" in out
        own.write_bytes(good)

        (tmp_path / "bad.crt").write_bytes(root.read_bytes())
        assert "Nothing was changed." in cert(server, "install", str(tmp_path / "bad.crt"), code=1)
        assert shown(server) == first
        reader.wait_for_frames(5)  # it has noticed nothing

    assert "No server is running here" in cert(server, "create", "self-signed")
    with server:
        assert shown(server) == live(server) != first
