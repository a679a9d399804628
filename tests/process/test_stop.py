"""SIGTERM and Ctrl-C: readers get an orderly end, and within two seconds no process is left (issue 2, point 2)."""

import os
import signal
import struct
import time

import pytest

from tests.kit.rtsp_client import InterleavedFrame, RTSPClient
from tests.kit.server import Server

pytestmark = pytest.mark.alone

BYE = 203  # RFC 3550 12.1


def is_bye(frame: InterleavedFrame) -> bool:
    """A compound RTCP packet with a BYE in it."""
    position = 0
    while frame.channel == 1 and position + 4 <= len(frame.payload):
        _, kind, words = struct.unpack_from(">BBH", frame.payload, position)
        if kind == BYE:
            return True
        position += 4 * (words + 1)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_readers_get_an_orderly_end_and_no_process_is_left(server: Server, number: signal.Signals) -> None:
    clients: list[RTSPClient] = [server.connect("ipc1", tls=True), server.connect("ipc2", tls=False)]
    idle = server.connect("ipc1")
    for client in clients:
        client.play()
        next(client.frames())
    server.note_processes()
    assert len(server.living()) == 3  # the fork server and two workers

    assert server.process is not None
    start = time.monotonic()
    server.process.send_signal(number)
    assert server.process.wait(5) == 0
    assert time.monotonic() - start < 2.0
    assert server.living() == []

    for client in clients:
        frames = list(client.frames())
        assert any(is_bye(frame) for frame in frames), "no RTCP BYE"
        assert client.at_end
        assert not client.truncated, "no close_notify"
        client.close()
    assert list(idle.frames(1)) == []
    assert idle.at_end
    assert not idle.truncated
    idle.close()


def test_a_worker_that_does_not_stop_is_killed_in_time(server: Server) -> None:
    server.note_processes()
    os.kill(server.worker_pid("ipc1"), signal.SIGSTOP)
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 2.0
    assert server.process is not None
    assert server.process.returncode == 0
    assert server.living() == []


def test_half_a_handshake_does_not_delay_the_end(server: Server) -> None:
    with server.raw_connection(tls_port=True) as half, server.raw_connection(tls_port=False) as mute:
        half.sendall(b"\x16\x03\x01\x02\x00\x01")
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 2.0
        assert half.recv(1) == b""
        assert mute.recv(1) == b""
