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
        for pid in (server.fork_server_pid(), *server.workers()):
            assert memory_holds(pid, needles) == set()


def test_no_secret_is_in_the_log(server: Server, folder: Path) -> None:
    """Password, HA1, traffic secrets and the private key; also after wrong passwords, deaths and hand-backs."""
    key_log = folder / "keys.txt"
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client_context(minimum=version, maximum=version)
        context.keylog_filename = str(key_log)
        with RTSPClient.connect(server.url(), context=context) as client:
            client.play()
            client.request("TEARDOWN")
            client.session = ""
            client.request("DESCRIBE", server.bare_url("ipc2"))
    with RTSPClient.connect(server.bare_url(), user=USER, password="wrong-secret-1") as client:
        assert client.request("DESCRIBE").status == 401
    server.kill()
    server.start()
    server.stop()

    ha1 = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
    secrets = [PASSWORD, "wrong-secret-1", ha1, *(line.split()[2] for line in key_log.read_text().splitlines())]
    secrets.append((server.state_dir / "certs" / "ssl.key").read_text().splitlines()[1])
    assert len(secrets) >= 4 + 1 + 2  # a master secret of TLS 1.2, traffic secrets of TLS 1.3
    log = server.log_text()
    assert "event=login_failed" in log
    for secret in secrets:
        assert secret.lower() not in log.lower()


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
