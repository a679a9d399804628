"""SIGHUP and changed files: all of a good configuration, nothing of a bad one; who is not concerned notices nothing."""

import os
import signal
import socket
from pathlib import Path

import pytest
from camfleet.supervisor.app import FILE_CHECK_INTERVAL_S

from tests.kit.rtsp_client import RTSPClient
from tests.kit.server import PASSWORD, Server, free_ports
from tests.kit.tls_client import write_pair
from tests.kit.wait import wait_for

pytestmark = pytest.mark.alone


def reload(server: Server) -> None:
    """SIGHUP, and until the server has answered to it in its log."""
    before = answers(server)
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: answers(server) > before, 30.0, "no word about the reload")


def answers(server: Server) -> int:
    log = server.log_text()
    return log.count("event=reloaded") + log.count("event=reload_refused")


def test_cameras_come_and_go_and_the_others_play_on(folder: Path) -> None:
    with (
        Server(folder, ("ipc1", "ipc2")) as server,
        server.watch("ipc1") as reader,
        server.watch("ipc2") as gone,
    ):
        reader.wait_for_frames(5)
        before = {camera: server.worker_pid(camera) for camera in ("ipc1", "ipc2")}
        server.write_config(("ipc1", "ipc3"))
        reload(server)

        gone.wait_for_end(3.0)
        assert not gone.client.truncated
        wait_for(lambda: server.camera("ipc3").get("state") == "running")
        assert [camera["id"] for camera in server.status()["cameras"]] == ["ipc1", "ipc3"]
        assert server.worker_pid("ipc1") == before["ipc1"]
        wait_for(lambda: before["ipc2"] not in server.workers())
        with server.connect("ipc3") as client:
            client.play()
        with server.connect("ipc2") as client:
            assert client.request("DESCRIBE").status == 404
        reader.wait_for_frames(25)
        assert reader.video.holes == 0
        assert reader.video.largest_gap_ms() < 200


def test_a_bad_file_changes_nothing_and_is_named_in_the_log(server: Server) -> None:
    good = server.config.read_text()
    before = server.worker_pid("ipc1")
    for text, reason in (
        (good.replace("fps = 25", "fps = -1"), "fps"),
        (good.replace("[server]", "[server"), "camfleet.toml"),
        (good + '[tls]\ncertificate = "/nowhere.pem"\nprivate_key = "/nowhere.key"\n', "nowhere"),
        (good.replace('{ kind = "testlive" }', '{ kind = "netlive", url = "srt://192.0.2.30:9000" }'), "has no SRT"),
    ):
        server.config.write_text(text)
        reload(server)
        line = next(line for line in reversed(server.log_text().splitlines()) if "event=reload" in line)
        assert "level=error" in line
        assert "event=reload_refused" in line
        assert reason in line
        assert reason in server.status()["supervisor"]["refused"][-1]
        assert server.worker_pid("ipc1") == before
        with server.connect("ipc1") as client:
            assert client.request("DESCRIBE").status == 200
    server.config.write_text(good)
    reload(server)
    assert server.status()["supervisor"]["refused"] == []


def test_a_changed_file_needs_no_signal(server: Server) -> None:
    server.write_config(("ipc1", "ipc2", "ipc3"))
    wait_for(lambda: server.camera("ipc3").get("state") == "running", 6.0)
    assert "event=reloaded" in server.log_text()


def test_a_new_password_counts_at_once_and_ends_the_old_ones_readers(server: Server) -> None:
    with server.watch("ipc1") as reader:
        reader.wait_for_frames(2)
        before = server.worker_pid("ipc1")
        server.write_config(("ipc1", "ipc2"), password="another-secret-77")
        reload(server)
        with RTSPClient.connect(server.url().replace(PASSWORD, "another-secret-77")) as client:
            assert client.request("DESCRIBE").status == 200
        with server.connect("ipc1") as client:
            assert client.request("DESCRIBE").status == 401
        reader.wait_for_end()
        assert not reader.client.truncated
        assert server.worker_pid("ipc1") == before


def test_ports_move_and_the_old_ones_are_closed(server: Server) -> None:
    with server.watch("ipc1") as reader:
        reader.wait_for_frames(2)
        old = server.rtsps_port
        (server.rtsps_port,) = free_ports(1)
        server.write_config(("ipc1", "ipc2"))
        reload(server)
        with server.connect("ipc2") as client:
            client.play()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", old)) != 0
        reader.wait_for_frames(5)
        assert reader.video.holes == 0


def test_the_same_port_on_other_addresses(server: Server) -> None:
    """The old listeners stand in the way of the new ones, and are only closed when those are there."""
    for host in ("0.0.0.0", "127.0.0.1", ("127.0.0.1", "127.0.0.2")):
        server.host = host
        server.write_config(("ipc1", "ipc2"))
        reload(server)
        with server.connect("ipc1") as client:
            assert client.request("DESCRIBE").status == 200
    server.rtsp_port, server.rtsps_port = server.rtsps_port, server.rtsp_port
    server.write_config(("ipc1", "ipc2"))
    reload(server)
    for tls in (True, False):
        with server.connect("ipc1", tls=tls) as client:
            assert client.request("DESCRIBE").status == 200
    assert "event=reload_refused" not in server.log_text()


def test_other_files_are_read_once(server: Server) -> None:
    """That the files of another certificate are new to us does not make them changed."""
    certs = server.state_dir / "certs"
    for old, new in (("ssl.ca", "new.pem"), ("ssl.key", "new.key")):
        (certs / new).write_bytes((certs / old).read_bytes())
    server.tail = '[tls]\ncertificate = "new.pem"\nprivate_key = "new.key"\n'
    server.write_config(("ipc1", "ipc2"))
    wait_for(lambda: answers(server), 6.0, "no word about the reload")
    looks = server.status()["supervisor"]["uptime_s"] + 3 * FILE_CHECK_INTERVAL_S
    wait_for(lambda: server.status()["supervisor"]["uptime_s"] > looks, 10.0)
    assert answers(server) == 1
    for name in ("new.pem", "new.key"):  # touched, and not changed
        os.utime(certs / name)
    with server.connect("ipc1") as client:
        before = client.peer_certificate()
    certificate, private_key = write_pair(certs, name="other.example.org")
    certificate.replace(certs / "new.pem")
    private_key.replace(certs / "new.key")
    wait_for(lambda: server.shown() != before, 6.0, "the new certificate is not watched")
    assert answers(server) == 1


def test_a_port_that_is_taken_leaves_the_old_ones_open(server: Server) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        old, server.rtsps_port = server.rtsps_port, other.getsockname()[1]
        server.write_config(("ipc1", "ipc2"))
        reload(server)
        assert "event=reload_refused" in server.log_text()
        assert "in use" in server.log_text()
        server.rtsps_port = old
        with server.connect("ipc1") as client:
            assert client.request("DESCRIBE").status == 200


def test_a_new_certificate_is_served_to_new_connections_only(server: Server) -> None:
    """The sessions of before go on (interop 78)."""
    with server.watch("ipc1") as reader, server.connect("ipc1") as old:
        reader.wait_for_frames(2)
        before = old.peer_certificate()
        for name in ("ssl.ca", "ssl.key"):
            (server.state_dir / "certs" / name).unlink()
        reload(server)
        with server.connect("ipc1") as client:
            assert client.peer_certificate() != before
            assert client.request("DESCRIBE").status == 200
        assert old.request("DESCRIBE").status == 200
        reader.wait_for_frames(5)
