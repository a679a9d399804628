"""kill -9 of a worker: only its own camera notices, and not for long (design section 2)."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.kit.server import Server
from tests.kit.wait import wait_for

pytestmark = pytest.mark.alone


def kill_worker(server: Server, camera: str) -> int:
    pid = server.worker_pid(camera)
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_for_another(server: Server, camera: str, old: int) -> float:
    """Until another worker serves the camera; returns the seconds."""
    return wait_for(
        lambda: server.worker_pid(camera) != old and server.camera(camera).get("state") == "running", timeout_s=10.0
    )


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_the_camera_answers_again_within_a_second_and_bystanders_notice_nothing(server: Server, tls: bool) -> None:
    with server.watch("ipc1", tls=tls) as victim, server.watch("ipc2", tls=tls) as bystander:
        victim.wait_for_frames(5)
        bystander.wait_for_frames(25)
        killed_ns = time.monotonic_ns()
        old = kill_worker(server, "ipc1")

        with server.connect("ipc1", tls=tls) as client:
            assert client.request("DESCRIBE").status == 200
            assert time.monotonic_ns() - killed_ns < 1e9
            client.play()
            first = next(frame for frame in client.frames() if frame.channel == 0)
            assert first.arrived_ns - killed_ns < 2e9  # it is of a key frame: joining starts with one

        victim.wait_for_end(1.0)
        assert server.worker_pid("ipc1") != old
        bystander.wait_for_frames(25)
        assert bystander.video.holes == 0
        assert bystander.video.largest_gap_ms(since_ns=killed_ns) < 200
    assert server.camera("ipc1")["restarts"] == 1
    assert server.camera("ipc2")["restarts"] == 0


def test_a_worker_that_keeps_dying_is_not_started_again_at_once(server: Server) -> None:
    """The pauses of Backoff: 0, 0.25, 0.5, 1 s; the bystander lives."""
    bystander = server.worker_pid("ipc2")
    gone_s = [wait_for_another(server, "ipc1", kill_worker(server, "ipc1")) for _ in range(4)]
    assert gone_s[0] < 1.0
    assert gone_s[2] > 0.5
    assert gone_s[3] > 1.0
    assert gone_s[3] > gone_s[0]
    assert server.worker_pid("ipc2") == bystander


def test_a_client_that_comes_while_the_camera_pauses_waits_for_the_worker(server: Server) -> None:
    for _ in range(2):  # the second pause is 0.25 s
        old = kill_worker(server, "ipc1")
        with server.connect("ipc1") as client:
            assert client.request("DESCRIBE").status == 200
        assert server.worker_pid("ipc1") != old


def test_a_silent_worker_is_replaced(folder: Path) -> None:
    with Server(folder, ("ipc1",), tail="[workers]\nsilence_timeout_s = 1\n") as server:
        old = server.worker_pid("ipc1")
        os.kill(old, signal.SIGSTOP)
        wait_for_another(server, "ipc1", old)
        assert old not in [process.pid for process in server.living()]


def test_the_death_of_the_fork_server_is_survived(server: Server) -> None:
    with server.watch("ipc1") as reader:
        reader.wait_for_frames(2)
        os.kill(server.fork_server_pid(), signal.SIGKILL)
        wait_for_another(server, "ipc2", kill_worker(server, "ipc2"))
        reader.wait_for_frames(5)
        assert reader.video.holes == 0
