"""`camfleet serve` with nothing but a state folder: what it makes, what it says, and the next start."""

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from camfleet.supervisor.credentials import user_spec
from camfleet.supervisor.state import StateFolder
from camfleet.supervisor.status import parse

from tests.kit.server import free_ports
from tests.kit.wait import wait_for

CAMFLEET = [sys.executable, "-m", "camfleet.supervisor"]
TIMEOUT_S = 20.0


@contextlib.contextmanager
def serve(folder: Path, *arguments: str, **environ: str) -> Iterator[Path]:
    """The file with what a server says on stdout, once it is ready; ended with Ctrl-C."""
    out = folder / "out"
    with out.open("wb") as stdout, (folder / "err").open("ab") as stderr:
        server = subprocess.Popen(
            [*CAMFLEET, "serve", "--host", "127.0.0.1", "--state-dir", str(folder / "state"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=os.environ | environ,
        )
    try:
        wait_for(lambda: "Ctrl-C" in out.read_text(), TIMEOUT_S, lambda: (folder / "err").read_text())
        yield out
    finally:  # never with SIGKILL first: the worker would go on, as it should
        server.send_signal(signal.SIGINT)
        try:
            code = server.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            code = server.wait()
    assert code == 0


def play(url: str) -> bool:
    """Whether ffprobe gets a picture."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-rtsp_transport",
        "tcp",
        "-show_entries",
        "stream=width,height",
        "-of",
        "csv",
        url,
    ]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    return b"stream,1280,720" in done.stdout


def run(*arguments: str) -> str:
    return subprocess.run([*CAMFLEET, *arguments], capture_output=True, timeout=TIMEOUT_S, check=True, text=True).stdout


def test_from_nothing_to_a_picture_and_a_new_password(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    rtsp_port, rtsps_port = map(str, free_ports(2))
    ports = ("--rtsp-port", rtsp_port, "--rtsps-port", rtsps_port)

    with serve(tmp_path, *ports) as out:
        urls = re.findall(r"^  (rtsps?://\S+)$", out.read_text(), re.MULTILINE)
        password = re.findall(r"password (\w{20,})", out.read_text())[0]
        assert urls == [
            f"{scheme}://viewer:{password}@127.0.0.1:{port}/ipc1-{stream}/testlive"
            for stream in ("stream1", "stream2")
            for scheme, port in (("rtsps", rtsps_port), ("rtsp", rtsp_port))
        ]
        assert [play(url) for url in urls[:2]] == [True, True]
        report = parse(run("status", "--json", "--state-dir", str(state_dir)).encode())
        assert [camera.id for camera in report.cameras] == ["ipc1"]
        assert "ipc1-stream2" in run("status", "--state-dir", str(state_dir))

        assert StateFolder(state_dir).user() == user_spec("viewer", password)
        new_password = re.findall(r"password (\w{20,})", run("password", "--state-dir", str(state_dir)))[0]
        log = tmp_path / "err"
        reloads = log.read_text().count("event=reloaded")  # guessing with the new one before would lock it out
        wait_for(lambda: log.read_text().count("event=reloaded") > reloads, TIMEOUT_S, "no reload")
        new_url = urls[0].replace(password, new_password)
        wait_for(lambda: play(new_url), TIMEOUT_S, "the new password is not taken")
        assert not play(urls[0])
    out.unlink()

    with serve(tmp_path, *ports) as out:  # the next start: the same password, not shown again
        assert f"  rtsps://viewer@127.0.0.1:{rtsps_port}/ipc1-stream1/testlive\n" in out.read_text()
        assert play(new_url)

    secrets = (password, new_password)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert not any(secret.encode() in path.read_bytes() for secret in secrets), f"a password in {path}"
    private = [state_dir, *(path for path in state_dir.rglob("*") if path.name != "ssl.ca")]
    assert [path for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_the_password_does_not_go_to_the_journal(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    found = (tmp_path / "out").stat()
    rtsp_port, rtsps_port = map(str, free_ports(2))
    journal = f"{found.st_dev}:{found.st_ino}"
    with serve(tmp_path, "--rtsp-port", rtsp_port, "--rtsps-port", rtsps_port, JOURNAL_STREAM=journal) as out:
        assert "rtsps://viewer@127.0.0.1" in out.read_text()
        assert "camfleet password --state-dir" in out.read_text()
        assert re.search(r"viewer:|password \w{20}", out.read_text()) is None


def test_a_start_that_fails_is_still_a_first_start(tmp_path: Path) -> None:
    (rtsps_port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        where = ["--host", "127.0.0.1", "--state-dir", str(tmp_path / "state")]
        ports = ["--rtsp-port", str(port), "--rtsps-port", str(rtsps_port)]
        done = subprocess.run(
            [*CAMFLEET, "serve", *where, *ports], capture_output=True, timeout=TIMEOUT_S, check=False, text=True
        )
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "state" / "user.json").exists()


@pytest.mark.parametrize("redirection", [">/dev/full", "| true", ">&-", "<&- >&- 2>&-"])
def test_the_cameras_are_served_whoever_hears_the_greeting(tmp_path: Path, redirection: str) -> None:
    where = ["--state-dir", str(tmp_path / "state"), "--host", "127.0.0.1"]
    rtsp_port, rtsps_port = map(str, free_ports(2))
    command = [*CAMFLEET, "serve", *where, "--rtsp-port", rtsp_port, "--rtsps-port", rtsps_port]
    shell = subprocess.Popen(["bash", "-c", f'"$@" {redirection}', "bash", *command], stderr=subprocess.DEVNULL)
    lock, user = tmp_path / "state" / "supervisor.lock", tmp_path / "state" / "user.json"
    wait_for(user.exists, TIMEOUT_S, "it does not come to its greeting")
    pid = int(lock.read_text())
    try:
        with socket.create_connection(("127.0.0.1", int(rtsp_port)), TIMEOUT_S) as client:
            client.sendall(b"OPTIONS rtsp://127.0.0.1/ipc1 RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            assert client.recv(100).startswith(b"RTSP/1.0 200 OK\r\n")
        streams = [Path(f"/proc/{pid}/fd/{number}").readlink() for number in range(3)]
        assert not [stream for stream in streams if str(stream).startswith(("socket:", "anon_inode:"))]
    finally:
        os.kill(pid, signal.SIGINT)
        assert shell.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("command", ["check", "bench"])
def test_output_into_a_closed_pipe_is_no_traceback(tmp_path: Path, command: str) -> None:
    file = tmp_path / "f.toml"
    file.touch()
    arguments = ["check", str(file)] if command == "check" else ["bench", "rtsp://127.0.0.1:1/", "--seconds", "0.1"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as stdout:
        done = subprocess.run(
            [*CAMFLEET, *arguments], stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")
