"""Connections on their way to a worker and from one worker to another, with workers that misbehave meanwhile."""

import fcntl
import os
import signal
import time
from functools import partial
from typing import TextIO

import psutil
import pytest

from tests.kit.server import Server
from tests.kit.wait import wait_for

pytestmark = pytest.mark.alone

both = pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])


def descriptors(server: Server) -> int:
    return int(psutil.Process(server.pid).num_fds())


def has_a_connection(server: Server, camera: str) -> bool:
    return bool(server.camera(camera)["connections"] == 1)


@both
def test_one_connection_goes_round_all_cameras(server: Server, tls: bool) -> None:
    """Hand-over, hand-back, hand-over ...; the TLS session is the same all the time."""
    with server.connect("ipc1", tls=tls) as client:
        start = descriptors(server)
        for camera in ("ipc1", "ipc2", "ipc1", "ipc2", "ipc1"):
            assert client.request("DESCRIBE", server.bare_url(camera, tls=tls)).status == 200
            wait_for(partial(has_a_connection, server, camera))
        client.play()
        for _ in range(3):
            assert next(client.frames()) is not None
    wait_for(lambda: server.status()["supervisor"]["connections"] == 0)
    assert descriptors(server) <= start


@both
def test_a_request_for_another_camera_takes_the_requests_behind_it_along(server: Server, tls: bool) -> None:
    """Pipelined in one segment: the first answers are ipc1's, the last ones ipc2's."""
    with server.connect("ipc1", tls=tls) as client:
        assert client.request("DESCRIBE").status == 200
        urls = [server.bare_url(camera, tls=tls) for camera in ("ipc1", "ipc2", "ipc2", "ipc1")]
        client.sock.sendall(b"".join(client.encode_request("DESCRIBE", url) for url in urls))
        answers = [client.read_response() for _ in urls]
        assert [int(answer.header("cseq")) for answer in answers] == [client.cseq - 3 + index for index in range(4)]
        assert {answer.status for answer in answers} == {200}


@both
def test_an_unknown_camera_is_404_only_with_the_right_password_and_the_connection_goes_on(
    server: Server, tls: bool
) -> None:
    with server.connect("ipc1", tls=tls) as client:
        client.send_request("DESCRIBE", server.bare_url("nowhere", tls=tls))
        assert client.read_response().status == 401
        assert client.request("DESCRIBE", server.bare_url("nowhere", tls=tls)).status == 404
        assert client.request("DESCRIBE", server.bare_url("ipc1", tls=tls)).status == 200
        assert client.request("DESCRIBE", server.bare_url("nowhere", tls=tls)).status == 404
        assert client.request("DESCRIBE", server.bare_url("ipc2", tls=tls)).status == 200


def test_a_client_that_names_no_camera_is_not_listened_to_for_ever(server: Server) -> None:
    with server.connect("ipc1") as client:
        answered = 0
        while not client.at_end:
            client.send_request("OPTIONS", "*")
            try:
                assert client.read_response().status == 200
            except EOFError:
                break
            answered += 1
        assert 1 <= answered <= 8
        assert not client.truncated


def test_a_stopped_worker_delays_nobody_else(server: Server) -> None:
    """Bad input 78: a worker that does not read. Its clients wait, the others and the status do not."""
    stopped = server.worker_pid("ipc1")
    with server.watch("ipc2") as bystander:
        os.kill(stopped, signal.SIGSTOP)
        try:
            waiting = [server.connect("ipc1") for _ in range(20)]
            for client in waiting:
                client.send_request("DESCRIBE")
            start = time.monotonic()
            for _ in range(5):
                with server.connect("ipc2") as client:
                    assert client.request("DESCRIBE").status == 200
            assert time.monotonic() - start < 1.0
            start = time.monotonic()
            status = server.status()
            assert time.monotonic() - start < 2.0
            assert [camera["answered"] for camera in status["cameras"]] == [False, True]
        finally:
            os.kill(stopped, signal.SIGCONT)
        for client in waiting:  # it reads again, and nobody is lost
            assert client.read_response().status == 401
            client.close()
        bystander.wait_for_frames(5)
        assert bystander.video.holes == 0
        assert bystander.video.largest_gap_ms() < 200


def test_clients_that_come_and_go_while_the_worker_is_starting_leave_nothing(server: Server) -> None:
    """Bad input 43."""
    with server.connect("ipc1") as client:
        assert client.request("DESCRIBE").status == 200
    start = descriptors(server)
    for _ in range(3):  # the third pause is half a second
        os.kill(server.worker_pid("ipc1"), signal.SIGKILL)
        clients = [server.connect("ipc1", tls=tls) for tls in (True, False) * 5]
        for client in clients:
            client.send_request("DESCRIBE")
        for client in clients[::2]:
            client.close()
        for client in clients[1::2]:
            assert client.read_response().status == 401
            client.close()
    wait_for(lambda: server.status()["supervisor"]["connections"] == 0)
    assert server.camera("ipc1")["connections"] == 0
    wait_for(lambda: descriptors(server) <= start)


def test_a_camera_that_does_not_come_back_is_answered_with_503(server: Server) -> None:
    """Its worker dies, and each successor finds the lock taken."""
    with (server.run_dir / "ipc1.lock").open("r+") as lock:
        os.kill(server.worker_pid("ipc1"), signal.SIGKILL)
        wait_for(lambda: take(lock), 2.0)
        lock.truncate(0)
        start = time.monotonic()
        with server.connect("ipc1") as client:
            answer = client.request("DESCRIBE")
            assert answer.status == 503
            assert int(answer.header("retry-after")) > 0
            assert time.monotonic() - start < 4.0
            assert list(client.frames(2.0)) == []
            assert client.at_end
            assert not client.truncated
        assert server.camera("ipc1")["restarts"] > 2
    with server.connect("ipc2") as client:
        assert client.request("DESCRIBE").status == 200
    wait_for(lambda: server.camera("ipc1").get("state") == "running", 10.0)


def take(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_too_many_sessions_in_all(server: Server) -> None:
    server.config.write_text(server.config.read_text() + "[limits]\nsessions = 2\n")
    wait_for(lambda: "event=reloaded" in server.log_text())
    with server.connect("ipc1") as first, server.connect("ipc2") as second:
        assert first.request("DESCRIBE").status == second.request("DESCRIBE").status == 200
        with server.connect("ipc1") as third:
            assert third.request("DESCRIBE").status == 453
        second.close()
        wait_for(lambda: server.status()["supervisor"]["connections"] == 1)
        with server.connect("ipc1") as third:
            assert third.request("DESCRIBE").status == 200
