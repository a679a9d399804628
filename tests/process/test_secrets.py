"""The private key is in the supervisor and nowhere else; no secret is in a log (design section 3)."""

import base64
import hashlib
import ssl
from pathlib import Path

import pytest
from camfleet.supervisor.credentials import REALM
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.kit.rtsp_client import RTSPClient, client_context
from tests.kit.server import PASSWORD, USER, Server


def memory_holds(pid: int, needles: dict[str, bytes]) -> set[str]:
    """Which of the needles are in the readable memory of a process. Needs root: our processes are not dumpable."""
    found = set()
    overlap = max(len(needle) for needle in needles.values()) - 1
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if not rights.startswith("r") or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            tail = b""
            for position in range(start, end, 1 << 20):
                try:
                    memory.seek(position)
                    chunk = tail + memory.read(min(1 << 20, end - position))
                except OSError:
                    break
                found |= {name for name, needle in needles.items() if needle in chunk}
                tail = chunk[-overlap:]
    return found


def key_needles(path: Path) -> dict[str, bytes]:
    """The private key in every form in which it could be lying about."""
    pem = path.read_bytes()
    body = b"".join(pem.splitlines()[1:-1])
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    scalar = key.private_numbers().private_value
    return {
        "PEM": pem.splitlines()[1],
        "DER": base64.b64decode(body)[:64],
        "scalar, big-endian": scalar.to_bytes(32, "big"),
        "scalar, little-endian": scalar.to_bytes(32, "little"),
    }


def test_the_private_key_is_in_no_worker_and_not_in_the_fork_server(server: Server) -> None:
    with server.watch("ipc1") as reader, server.connect("ipc2") as client:
        reader.wait_for_frames(2)
        assert client.request("DESCRIBE").status == 200
        needles = key_needles(server.state_dir / "certs" / "ssl.key")
        try:
            in_supervisor = memory_holds(server.pid, needles)
        except PermissionError:
            pytest.skip("only root can read the memory of a process that is not dumpable")
        assert in_supervisor, "the search does not find the key even where it must be"
        ha1 = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest().encode()
        for pid in server.workers():
            assert memory_holds(pid, needles | {"HA1": ha1}) == {"HA1"}, "what a worker must have is found there"
        assert memory_holds(server.fork_server_pid(), needles) == set()


# Runs at the start of the supervisor's Python: the nonce key is nowhere but in memory.
SITE = """
import secrets
token_bytes = secrets.token_bytes
def remembered(size=None):
    token = token_bytes(size)
    with open({path!r}, "a") as tokens:
        tokens.write(token.hex() + "\\n")
    return token
secrets.token_bytes = remembered
"""


def forms(secret: bytes) -> list[str]:
    """How bytes come into a log by mistake: as text or repr, in hex, in base64 with whatever stands around them."""
    return [repr(secret)[2:-1], secret.hex(), *(base64.b64encode(bytes(n) + secret).decode()[4:-4] for n in range(3))]


def leaked(log: str, secrets: dict[str, bytes]) -> set[str]:
    log = log.lower()
    return {name for name, secret in secrets.items() if any(form.lower() in log for form in forms(secret))}


def test_no_secret_is_in_the_log(folder: Path) -> None:
    """At the level debug, and also after wrong passwords, deaths, hand-backs and garbage."""
    key_log, tokens = folder / "keys.txt", folder / "tokens.txt"
    (folder / "sitecustomize.py").write_text(SITE.format(path=str(tokens)))
    talkative = Server(folder, ("ipc1", "ipc2"), environment={"PYTHONPATH": str(folder)})
    talkative.command += ["--log-level", "debug"]
    with talkative as server:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = client_context(minimum=version, maximum=version)
            context.keylog_filename = str(key_log)
            with RTSPClient.connect(server.url(), context=context) as client:
                client.play()
                client.request("TEARDOWN")
                client.session = ""
                assert client.request("DESCRIBE", server.bare_url("ipc2")).status == 200
                assert client.request("DESCRIBE", server.url("ipc1"), {"Authorization": basic}).status == 200
                client.sock.sendall(f"DESCRIBE {server.url()} RTSP/9.9\r\nAuthorization: {basic}\r\n\r\n".encode())
                assert client.read_response().status >= 400
        with RTSPClient.connect(server.bare_url(), user=USER, password="wrong-secret-1") as client:
            assert client.request("DESCRIBE").status == 401
        server.kill()
        server.start()
        server.stop()
        log = server.log_text()

    private_key = key_needles(server.state_dir / "certs" / "ssl.key")
    secrets = {"password": PASSWORD.encode(), "wrong password": b"wrong-secret-1", **private_key}
    for digest in ("md5", "sha256"):
        secrets[f"HA1 {digest}"] = hashlib.new(digest, f"{USER}:{REALM}:{PASSWORD}".encode()).digest()
    secrets |= {f"random {n}": bytes.fromhex(line) for n, line in enumerate(tokens.read_text().splitlines())}
    assert sum(len(secret) == 32 for name, secret in secrets.items() if name.startswith("random")) == 2, "nonce keys"
    for line in key_log.read_text().splitlines()[1:]:
        label, client_random, digits = line.split()
        secrets[f"{label} of {client_random}"] = bytes.fromhex(digits)
    assert {"CLIENT_RANDOM", "CLIENT_TRAFFIC_SECRET_0"} <= {name.split(" ")[0] for name in secrets}

    assert "level=debug" in log
    assert "event=login_failed" in log
    assert leaked(log, secrets) == set()
    for name, secret in secrets.items():
        for form in forms(secret):
            assert leaked(f"{log} x={form.upper()}", secrets) == {name}, "the search does not find it"


def test_workers_and_supervisor_leave_no_core_dump_and_have_all_descriptors(server: Server) -> None:
    for pid in (server.pid, *server.workers()):
        limits = {line[:26].strip(): line[26:].split() for line in Path(f"/proc/{pid}/limits").read_text().splitlines()}
        assert limits["Max core file size"][:2] == ["0", "0"]
        assert limits["Max open files"][0] == limits["Max open files"][1]


def test_the_fork_server_and_the_workers_know_nothing_of_the_environment(folder: Path) -> None:
    with Server(folder, ("ipc1",), environment={"SOME_PASSWORD": "environment-secret-9"}) as server:
        for pid in (server.fork_server_pid(), server.worker_pid("ipc1")):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"PATH=" in environment
            assert b"environment-secret-9" not in environment
