"""Starts a real `camfleet serve` in a state folder of its own and ends it, and all it started, by pid."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import psutil
from camfleet.supervisor.arbiter import ServerNotRunningError, query_status

from tests.kit.rtsp_client import RTSPClient, Watch
from tests.kit.wait import wait_for

USER, PASSWORD = "viewer", "not-a-secret-5f3a"

CAMERA = """
[[cameras]]
id = "{id}"
name = "Test {id}"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "testlive" }}
video = {{ codec = "h264", width = 320, height = 180, fps = 25, bitrate = "300k", gop = 50, encoder = "auto" }}
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now; all are held while being chosen, so they differ. None of those that the kernel gives
    away, from 32768 on: somebody else would get it before the server listens."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            sock, port = stack.enter_context(socket.socket()), secrets.choice(range(10_000, 32_768))
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                found.append(port)
        return found


class Server:
    """`with Server(tmp_path, cameras=["ipc1", "ipc2"]) as server: ...`

    `server_lines` and `tail` are TOML put into [server] and after all the rest.
    """

    def __init__(
        self,
        folder: Path,
        cameras: tuple[str, ...] = ("ipc1",),
        *,
        host: str | Sequence[str] = "127.0.0.1",
        server_lines: str = "",
        tail: str = "",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.host: str | Sequence[str] = host
        self.state_dir = folder / "state"
        self.config = folder / "camfleet.toml"
        self.log = folder / "serve.log"
        self.rtsp_port, self.rtsps_port = free_ports(2)
        self.server_lines, self.tail = server_lines, tail
        self.environment = {**os.environ, **environment}
        self.command = [sys.executable, "-m", "camfleet.supervisor", "serve", "--config", str(self.config)]
        self.process: subprocess.Popen[bytes] | None = None
        self._seen: set[psutil.Process] = set()  # every process that was ever ours; psutil knows reused pids
        self._workers: set[psutil.Process] = set()
        self.write_config(cameras)

    def write_config(self, cameras: tuple[str, ...], *, password: str = PASSWORD) -> None:
        self.config.write_text(
            f"[server]\nhost = {json.dumps(self.host)}\nrtsp_port = {self.rtsp_port}\nrtsps_port = {self.rtsps_port}\n"
            f'state_dir = "{self.state_dir}"\n{self.server_lines}\n'
            f'[[users]]\nname = "{USER}"\npassword = "{password}"\n'
            + "".join(CAMERA.format(id=camera) for camera in cameras)
            + self.tail
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill_everything()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.kill_everything()
            print(self.log_text())  # pytest shows it when the test has failed

    # ------------------------------------------------------------ life

    def start(self, timeout_s: float = 20.0) -> None:
        """Returns when both ports accept and every camera has a worker that answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._is_ready, timeout_s, lambda: f"server not ready:\n{self.log_text()[-4000:]}")
        self.note_processes()

    def run_to_its_end(self) -> subprocess.CompletedProcess[str]:
        """For a server that cannot start, or a second one."""
        return subprocess.run(
            self.command, env=self.environment, capture_output=True, text=True, timeout=30, check=False
        )

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"server ended with {self.process.returncode}:\n{self.log_text()[-4000:]}"
        cameras = self.status().get("cameras", [])
        return bool(cameras) and all(camera["state"] == "running" for camera in cameras)

    def stop(self, timeout_s: float = 5.0) -> None:
        """SIGTERM and wait; a server that is already gone is left alone."""
        if self.process is not None and self.process.poll() is None:
            self.note_processes()
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout_s)

    def kill(self) -> None:
        """kill -9 of the supervisor alone."""
        assert self.process is not None
        self.note_processes()
        self.process.kill()
        self.process.wait()

    def kill_everything(self) -> None:
        """Whatever a failed test has left behind."""
        self.note_processes()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for process in self.living():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    # ------------------------------------------------------------ questions

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def run_dir(self) -> Path:
        return self.state_dir / "run"

    def bare_url(self, camera: str = "ipc1", *, tls: bool = True) -> str:
        """Without credentials."""
        return self.url(camera, tls=tls).replace(f"{USER}:{PASSWORD}@", "")

    def url(self, camera: str = "ipc1", *, tls: bool = True, stream: str = "stream1", source: str = "testlive") -> str:
        scheme, port = ("rtsps", self.rtsps_port) if tls else ("rtsp", self.rtsp_port)
        return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}/{camera}-{stream}/{source}"

    def connect(self, camera: str = "ipc1", *, tls: bool = True) -> RTSPClient:
        return RTSPClient.connect(self.url(camera, tls=tls))

    def shown(self) -> bytes:
        """The certificate that a new client gets, DER."""
        with self.connect() as client:
            return client.peer_certificate()

    def raw_connection(self, *, tls_port: bool) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.rtsps_port if tls_port else self.rtsp_port), timeout=5.0)

    def watch(self, camera: str = "ipc1", *, tls: bool = True) -> Watch:
        """A reader that plays in a thread of its own."""
        return Watch(self.connect(camera, tls=tls))

    def status(self) -> dict[str, Any]:
        """What `camfleet status --json` says; empty while no server answers."""
        try:
            return dict(json.loads(query_status(self.run_dir, timeout_s=2.0)))
        except ServerNotRunningError:
            return {}

    def camera(self, camera: str = "ipc1") -> dict[str, Any]:
        """One camera's part of the status; empty while there is none."""
        return next((each for each in self.status().get("cameras", []) if each["id"] == camera), {})

    def worker_pid(self, camera: str = "ipc1") -> int:
        """The pid in the camera's lock file; 0 while there is none."""
        text = (self.run_dir / f"{camera}.lock").read_text()
        return int(text) if text else 0

    def fork_server_pid(self) -> int:
        (child,) = (each for each in psutil.Process(self.pid).children() if "forkserver" in " ".join(each.cmdline()))
        return int(child.pid)

    def workers(self) -> set[int]:
        """All worker processes that run now, of whichever supervisor."""
        self.note_processes()
        return {worker.pid for worker in self._workers if _is_running(worker)}

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def note_processes(self) -> None:
        """Remember all present descendants and workers: after the supervisor's death they have another parent."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self.process is not None and self.process.poll() is None:
                for child in psutil.Process(self.process.pid).children():
                    self._seen.add(child)
                    self._workers |= set(child.children())
        for lock in self.run_dir.glob("*.lock"):
            with contextlib.suppress(ValueError, psutil.NoSuchProcess):
                self._workers.add(psutil.Process(int(lock.read_text())))
        self._seen |= self._workers

    def living(self) -> list[psutil.Process]:
        """Processes of this server, other than the supervisor now running, that still run."""
        own = self.process.pid if self.process is not None else None
        return [process for process in self._seen if process.pid != own and _is_running(process)]


def _is_running(process: psutil.Process) -> bool:
    """False for a reused pid and for a zombie, which only waits for a parent that is not ours."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
