"""The servers that are measured, each with all its processes on one core: how they start, where they listen."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camfleet.supervisor.certs import ensure_pair

from .clip import repeat

SYSTEM_PYTHON = "/usr/bin/python3"
GST_PASSES = 6  # of the film, one after the other: longer than any run
USER, PASSWORD = "viewer", "bench-only"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
LOG = "log"


class NotReadyError(Exception):
    """A server that does not come up."""


@dataclass(frozen=True)
class Server:
    """A running one: `pid` with its descendants is what it costs."""

    pid: int
    urls: list[str]  # one for each camera


def pinned(core: int, *command: str) -> list[str]:
    """The command, and all that it starts, on one core."""
    return ["taskset", "--cpu-list", str(core), *command]


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Until the end of the context; what it complains of is in `folder`/log."""
    with (folder / LOG).open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield process
    except NotReadyError as error:
        raise RuntimeError(f"{command}: {error}\n{(folder / LOG).read_text()[-2000:]}") from None
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def printed_port(process: subprocess.Popen[str]) -> int:
    """The one line that a server of ours prints when it is ready."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise NotReadyError("it has ended")
    return int(line)


@contextmanager
def floor(clip: Path, folder: Path, core: int, tls: bool, cameras: int) -> Iterator[Server]:
    """One film for any number of cameras: it knows no more than one."""
    if cameras != 1:
        raise ValueError("the floor is one camera")
    command = [sys.executable, "-m", "camfleet.bench.macro.floor_server", str(clip)]
    with running(pinned(core, *command, *(["--tls", str(folder)] if tls else [])), folder) as process:
        yield Server(process.pid, [f"{'rtsps' if tls else 'rtsp'}://127.0.0.1:{printed_port(process)}/floor"])


@contextmanager
def camfleet(clip: Path, folder: Path, core: int, tls: bool, cameras: int) -> Iterator[Server]:
    """Each camera plays the film."""
    port = free_port()
    numbers = range(1, cameras + 1)
    every = "".join(film_camera(number, clip) for number in numbers)
    with serving(folder, every, (0, port) if tls else (port, 0), core) as pid:
        base = f"{'rtsps' if tls else 'rtsp'}://{USER}:{PASSWORD}@127.0.0.1:{port}"
        yield Server(pid, [f"{base}/ipc{number}-stream1/filelive" for number in numbers])


def film_camera(number: int, clip: Path) -> str:
    source = f'{{ kind = "filelive", path = "{clip}" }}'
    return f'[[cameras]]\nid = "ipc{number}"\n[[cameras.streams]]\nid = "stream1"\nsource = {source}\n'


@contextmanager
def serving(folder: Path, cameras: str, ports: tuple[int, int], core: int | None = None) -> Iterator[int]:
    """`camfleet serve` as an operator runs it, passwords included, only the limits for one address are wider. `cameras`
    as in its configuration; ports of RTSP and RTSPS, 0: closed. Gives its pid when all cameras run; its state is in
    `folder`/state."""
    config, state = folder / "camfleet.toml", folder / "state"
    config.write_text(
        f'[server]\nhost = "127.0.0.1"\nrtsp_port = {ports[0]}\nrtsps_port = {ports[1]}\nstate_dir = "{state}"\n'
        f'[[users]]\nname = "{USER}"\npassword = "{PASSWORD}"\n'
        f"[limits]\nconnections_per_address = 20000\nsessions_per_camera = 20000\n{cameras}"
    )
    command = [sys.executable, "-m", "camfleet.supervisor", "serve", "--config", str(config)]
    with running(command if core is None else pinned(core, *command), folder) as process:
        wait_until(lambda: all_run(status(state)), process)
        yield process.pid


def status(state: Path) -> dict[str, Any]:
    """Empty when nobody serves from this state folder."""
    command = [sys.executable, "-m", "camfleet.supervisor", "status", "--json", "--state-dir", str(state)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return dict(json.loads(answer.stdout)) if answer.returncode == 0 else {}


def all_run(found: dict[str, Any]) -> bool:
    return bool(found) and all(camera["state"] == "running" for camera in found["cameras"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if process.poll() is not None:
            raise NotReadyError("it has ended")
        if time.monotonic() > deadline:
            raise NotReadyError(f"it is not ready after {START_TIMEOUT_S} s")
        time.sleep(0.2)


@contextmanager
def gst(clip: Path, folder: Path, core: int, tls: bool, cameras: int) -> Iterator[Server]:
    """gst-rtsp-server, with the Python that the distribution built its bindings for."""
    film = folder / "film.mp4"
    repeat(clip, film, GST_PASSES)
    pair = [str(path) for path in ensure_pair(folder)] if tls else []
    command = [SYSTEM_PYTHON, str(Path(__file__).with_name("gst_server.py")), str(film), str(cameras), *pair]
    with running(pinned(core, *command), folder) as process:
        base = f"{'rtsps' if tls else 'rtsp'}://127.0.0.1:{printed_port(process)}"
        yield Server(process.pid, [f"{base}/{number}" for number in range(cameras)])


SERVERS = {"floor": floor, "camfleet": camfleet, "gst": gst}
MOST_CAMERAS = {"floor": 1, "gst": 10}  # a gst camera reads its whole film into memory
