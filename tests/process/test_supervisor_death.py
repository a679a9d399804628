"""kill -9 of the supervisor: the workers go on, and the next supervisor takes them over (design section 2)."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.kit.server import Server
from tests.kit.wait import wait_for

pytestmark = pytest.mark.alone

CAMERAS = ("ipc1", "ipc2")


def worker_pids(server: Server) -> dict[str, int]:
    return {camera: server.worker_pid(camera) for camera in CAMERAS}


def test_streams_go_on_and_a_new_supervisor_adopts_the_workers(server: Server) -> None:
    with server.watch("ipc1", tls=True) as secure, server.watch("ipc2", tls=False) as plain:
        secure.wait_for_frames(10)
        plain.wait_for_frames(10)
        workers = worker_pids(server)
        killed_ns = time.monotonic_ns()
        server.kill()
        secure.wait_for_frames(25)
        plain.wait_for_frames(25)

        server.start()
        started_s = server.status()["supervisor"]["uptime_s"]
        assert started_s < 2.0, "adoption took too long"
        assert worker_pids(server) == workers
        assert {camera["id"]: camera["worker_pid"] for camera in server.status()["cameras"]} == workers
        assert server.workers() == set(workers.values())

        # The adopted workers take new clients, and the old ones are still known.
        with server.connect("ipc1") as client:
            client.play()
            wait_for(lambda: len(server.camera("ipc1")["readers"]) == 2)
        for reader in (secure, plain):
            reader.wait_for_frames(25)
            assert reader.video.holes == 0
            assert reader.video.largest_gap_ms(since_ns=killed_ns) < 200


def test_a_connection_moves_to_another_camera_after_the_change_of_supervisors(server: Server) -> None:
    """What this supervisor gets back it has never handed over."""
    with server.connect("ipc1") as client:
        assert client.request("DESCRIBE").status == 200
        server.kill()
        server.start()
        assert client.request("DESCRIBE", server.url("ipc2")).status == 200
        wait_for(lambda: server.camera("ipc2")["connections"] == 1 and server.camera("ipc1")["connections"] == 0)


def test_a_second_supervisor_is_refused(server: Server) -> None:
    second = server.run_to_its_end()
    assert second.returncode == 1
    assert f"pid {server.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert server.camera("ipc1")["state"] == "running"


def test_cameras_that_changed_meanwhile_are_as_configured_now_and_removed_ones_end(server: Server) -> None:
    with server.watch("ipc1") as reader:
        reader.wait_for_frames(5)
        before = worker_pids(server)
        server.kill()
        server.write_config(("ipc1", "ipc3"))
        server.start()
        wait_for(lambda: before["ipc2"] not in server.workers())
        assert server.worker_pid("ipc1") == before["ipc1"]
        assert [camera["id"] for camera in server.status()["cameras"]] == ["ipc1", "ipc3"]
        reader.wait_for_frames(5)

        server.kill()
        server.config.write_text(server.config.read_text().replace("fps = 25", "fps = 20"))
        server.start()
        wait_for(lambda: server.camera()["settings"] == "in force")
        assert server.camera()["streams"][0]["video"]["fps"] == 20
        assert server.worker_pid("ipc1") == before["ipc1"]
        reader.wait_for_frames(5)
        assert reader.video.holes == 0


def test_workers_without_a_supervisor_end_by_themselves(folder: Path) -> None:
    with Server(folder, ("ipc1",), tail="[workers]\norphan_timeout_s = 1\n") as server:
        with server.watch("ipc1") as reader:
            reader.wait_for_frames(2)
            server.kill()
            assert server.living()
            reader.wait_for_end(6.0)
            assert not reader.client.truncated  # close_notify: an orderly end
        wait_for(lambda: not server.living(), 3.0)


def test_a_worker_that_does_not_report_is_killed_and_replaced(server: Server) -> None:
    old = server.worker_pid("ipc1")
    server.kill()
    os.kill(old, signal.SIGSTOP)
    server.start()
    assert server.worker_pid("ipc1") != old
    assert server.camera("ipc1")["state"] == "running"
