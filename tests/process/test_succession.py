"""`camfleet replace`: a camera's worker is replaced by a fresh one, and its readers notice nothing."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from camfleet.core import build
from camfleet.core.wire.control import Replaced
from camfleet.supervisor.arbiter import ServerNotRunningError
from camfleet.supervisor.arbiter.bus import ask_to_replace

from tests.kit.clips import write_clip
from tests.kit.rtsp_client import RTSPClient, Watch
from tests.kit.server import Server
from tests.kit.wait import wait_for

pytestmark = pytest.mark.alone

READERS, REPLACEMENTS = 20, 10


def replace(server: Server, camera: str = "ipc1") -> Replaced:
    return ask_to_replace(server.run_dir, camera)


def set_up(client: RTSPClient) -> None:
    """Everything up to PLAY."""
    described = client.request("DESCRIBE")
    transport = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
    assert client.request("SETUP", client.track_url(described), transport).status == 200


def session_at(server: Server, reader: Watch) -> dict[str, Any]:
    """What status says of a reader."""
    host, port = reader.client.sock.getsockname()
    (found,) = (each for each in server.camera()["readers"] if each["peer"] == f"{host}:{port}")
    return dict(found)


class Callers:
    """One new client after the other, in a thread of its own; nobody is to be turned away."""

    def __init__(self, server: Server) -> None:
        self.served = 0
        self.longest_s = 0.0
        self.error: Exception | None = None
        self._server = server
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callers", daemon=True)

    def __enter__(self) -> "Callers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                with self._server.connect("ipc1", tls=self.served % 2 == 0) as client:
                    assert client.request("DESCRIBE").status == 200
                self.served += 1
                self.longest_s = max(self.longest_s, time.monotonic() - began)
        except Exception as error:
            self.error = error


def test_twenty_tls_readers_see_nothing_of_ten_replacements(server: Server) -> None:
    secure = [server.watch() for _ in range(READERS)]
    readers = [*secure, server.watch(tls=False), server.watch("ipc2")]
    paused, ready, connected = (server.connect(tls=tls) for tls in (True, False, True))
    paused.play()
    assert paused.request("PAUSE").status == 200
    set_up(ready)
    assert connected.request("DESCRIBE").status == 200
    before, pids, pauses_ms = session_at(server, secure[0]), [server.worker_pid()], list[float]()
    with Callers(server) as callers:
        for _ in range(REPLACEMENTS):
            began_ns = time.monotonic_ns()
            replaced = replace(server)
            assert replaced.problem == ""
            assert replaced.sessions >= READERS + 4
            pids.append(server.worker_pid())
            assert replaced.pid == pids[-1]
            readers[0].wait_for_frames(5)
            pauses_ms += [reader.video.largest_gap_ms(began_ns) for reader in secure]
    print(f"picture stands still: median {statistics.median(pauses_ms):.0f} ms, longest {max(pauses_ms):.0f} ms")
    assert len(set(pids)) == REPLACEMENTS + 1
    assert callers.error is None
    assert callers.served > REPLACEMENTS

    for reader in readers:
        reader.wait_for_frames(2)
        assert not reader.ended
        assert reader.video.holes == 0
    assert max(pauses_ms) < 1000  # 100 ms where nothing else runs

    after = session_at(server, secure[0])
    moving = ("bytes_sent", "age_s")
    assert {**after, **{name: before[name] for name in moving}} == before
    assert all(after[name] > before[name] for name in moving)
    camera = server.camera()
    assert (camera["restarts"], camera["replacements"], camera["worker_pid"]) == (0, REPLACEMENTS, pids[-1])
    assert camera["streams"][0]["frames"] > 5 * REPLACEMENTS
    wait_for(lambda: server.workers() == {server.worker_pid("ipc1"), server.worker_pid("ipc2")})
    assert not list(server.run_dir.glob("*.heir"))

    session = ready.session
    for client in (paused, ready):
        assert client.request("PLAY").status == 200
        assert sum(1 for _ in zip(client.frames(), range(5), strict=False)) == 5
        assert client.video.holes == 0
    assert ready.session == session
    connected.play()
    for client in (paused, ready, connected):
        assert client.request("GET_PARAMETER").status == 200
        client.close()
    for reader in readers:
        reader.stop()
    wait_for(lambda: server.status()["supervisor"]["connections"] == 0)
    assert "level=error" not in server.log_text()


def test_the_command_names_the_worker_and_what_failed(folder: Path) -> None:
    film = write_clip(folder / "film.mp4", pictures=300, gop=300)
    with Server(folder, ("ipc1", "ipc2")) as server:
        server.config.write_text(
            server.config.read_text().replace(
                'source = { kind = "testlive" }', f'source = {{ kind = "filelive", path = "{film}" }}', 1
            )
        )
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: "event=reloaded" in server.log_text())
        url = server.url().replace("testlive", "filelive")
        with Watch(RTSPClient.connect(url)) as reader:
            reader.wait_for_frames(5)
            done = command(server, "--all")
            assert (done.returncode, done.stderr) == (0, "")
            lines = [f"{camera}: worker {server.worker_pid(camera)} serves now" for camera in ("ipc1", "ipc2")]
            assert [line.partition(";")[0] for line in done.stdout.splitlines()] == lines
            reader.wait_for_frames(5)

            film.rename(folder / "gone.mp4")
            film.write_bytes(b"no film")
            before = server.worker_pid()
            failed = command(server, "ipc1", "ipc9")
            assert failed.returncode == 1, failed
            first, second = failed.stderr.splitlines()
            assert first.startswith("camfleet: ipc1: not replaced: stream1: ")
            assert str(film) in first
            assert second == "camfleet: ipc9: not replaced: there is no such camera"
            assert server.worker_pid() == before
            reader.wait_for_frames(5)
            assert reader.video.holes == 0
            assert server.camera()["replacements"] == 1


def command(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "camfleet.supervisor", "replace", "--config", str(server.config), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_for_successor(server: Server, old: int) -> int:
    """Until a second worker of ipc1 gets ready; returns its pid."""
    others = {old, server.worker_pid("ipc2")}
    wait_for(lambda: server.workers() - others)
    (successor,) = server.workers() - others
    return successor


def in_background(server: Server) -> threading.Thread:
    def run() -> None:
        with contextlib.suppress(ServerNotRunningError):  # it dies
            replace(server)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_worker_that_dies_while_its_successor_gets_ready(server: Server) -> None:
    """Like any other death: its readers are cut, and the camera answers again."""
    with server.watch() as victim, server.watch("ipc2") as bystander:
        old = server.worker_pid()
        thread = in_background(server)
        successor = wait_for_successor(server, old)
        os.kill(old, signal.SIGKILL)
        thread.join(10)
        wait_for(lambda: server.camera().get("state") == "running")
        with server.connect() as client:
            client.play()
        assert (server.worker_pid(), server.camera()["restarts"]) in ((successor, 1), (successor, 0))
        if server.camera()["restarts"]:
            victim.wait_for_end(2.0)
        wait_for(lambda: server.workers() == {successor, server.worker_pid("ipc2")})
        bystander.wait_for_frames(5)
        assert bystander.video.holes == 0


def test_a_supervisor_that_dies_meanwhile_leaves_one_worker_and_every_reader(server: Server) -> None:
    with server.watch() as reader, server.watch("ipc2") as bystander:
        in_background(server)
        wait_for_successor(server, server.worker_pid())
        server.kill()
        server.start()
        reader.wait_for_frames(5)
        wait_for(lambda: server.workers() == {server.worker_pid("ipc1"), server.worker_pid("ipc2")}, 20.0)
        assert replace(server).problem == ""
        for each in (reader, bystander):
            each.wait_for_frames(5)
            assert each.video.holes == 0


def test_other_code_is_taken_by_the_next_supervisor_and_by_the_command(server: Server) -> None:
    """And no reader is cut. A file with another time is other code."""
    with server.watch() as reader:
        before = server.worker_pid()
        server.kill()
        os.utime(build.__file__)
        server.start()
        wait_for(lambda: server.camera().get("replacements") == 1, 10.0)
        assert server.worker_pid() != before
        reader.wait_for_frames(5)

        forked_by = server.fork_server_pid()
        os.utime(build.__file__)
        assert replace(server).problem == ""
        assert server.fork_server_pid() != forked_by
        assert replace(server, "ipc2").problem == ""
        reader.wait_for_frames(5)
        assert reader.video.holes == 0
        kill_and_wait(server)


def kill_and_wait(server: Server) -> None:
    """The new fork server's children are watched like those of the old one."""
    os.kill(server.worker_pid(), signal.SIGKILL)
    wait_for(lambda: server.camera().get("restarts") == 1)
    wait_for(lambda: server.camera().get("state") == "running")
