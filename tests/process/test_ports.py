"""Which ports are open, to whom, and what they say (issue 2, point 4)."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.kit.rtsp_client import RTSPClient
from tests.kit.server import PASSWORD, USER, Server, free_ports
from tests.kit.wait import wait_for


def test_required_opens_no_plain_port(folder: Path) -> None:
    with Server(folder, server_lines='rtsps = "required"') as server:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", server.rtsp_port)) != 0
        with server.connect(tls=True) as client:
            client.play()
        (url,) = [stream["url"] for stream in server.camera()["streams"]]
        assert url.startswith(f"rtsps://127.0.0.1:{server.rtsps_port}/")


def test_off_opens_no_tls_port_and_the_plain_one_knows_no_tls(folder: Path) -> None:
    with Server(folder, server_lines='rtsps = "off"') as server:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", server.rtsps_port)) != 0
        with server.raw_connection(tls_port=False) as hello:
            hello.sendall(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
            assert hello.recv(100) == b""
        with server.connect(tls=False) as client:
            client.play()


def test_tls_on_the_plain_port_and_both_families(folder: Path) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with Server(folder, host=("127.0.0.1", "::1")) as server:
        for host in ("127.0.0.1", "::1"):
            at = f"[{host}]" if ":" in host else host
            for scheme, port in (("rtsp", server.rtsp_port), ("rtsps", server.rtsps_port), ("rtsps", server.rtsp_port)):
                url = f"{scheme}://{at}:{port}/ipc1-stream1/testlive"
                with RTSPClient.connect(url, user=USER, password=PASSWORD) as client:
                    client.play()
                    assert next(client.frames())
                    (reader,) = server.camera()["readers"]
                    assert reader["peer"].startswith(at + ":")
                    assert reader["tls_version"] == ("TLSv1.3" if scheme == "rtsps" else "")
                    assert bool(reader["certificate_fingerprint"]) == (scheme == "rtsps")
                    assert reader["user"] == USER
                    assert reader["bytes_sent"] > 0


def test_a_port_that_is_taken_is_named_at_the_start(folder: Path) -> None:
    server = Server(folder)
    with socket.create_server(("127.0.0.1", server.rtsps_port)):
        result = server.run_to_its_end()
    assert result.returncode == 1
    assert f"port {server.rtsps_port}" in result.stderr
    assert "in use" in result.stderr
    assert "Traceback" not in result.stderr
    assert server.workers() == set()


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_a_port_of_a_cameras_own_comes_and_goes_with_the_configuration(folder: Path) -> None:
    (own,) = free_ports(1)
    with Server(folder) as server:
        config = server.config.read_text()
        server.config.write_text(config.replace('name = "Test', f'rtsps_port = {own}\nname = "Test'))
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: is_open(own))
        wait_for(lambda: f":{own}/" in server.camera()["streams"][0]["url"])
        server.config.write_text(config)
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: not is_open(own))
        wait_for(lambda: f":{server.rtsps_port}/" in server.camera()["streams"][0]["url"])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
