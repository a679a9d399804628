"""One running server for the real clients of a module."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.kit.journey import TWO_CAMERAS
from tests.kit.server import Server
from tests.kit.wait import wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # On all addresses: 127.0.0.2 reaches it too, and stands in no certificate.
    with Server(tmp_path_factory.mktemp("interop"), host="0.0.0.0") as running:
        yield running


@pytest.fixture
def authority(server: Server) -> Path:
    """The server's certificate, as an operator exports it for the clients."""
    return server.state_dir / "certs" / "ssl.ca"


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of all connections nothing may be left at the end."""
    with Server(tmp_path_factory.mktemp("two-cameras"), (), tail=TWO_CAMERAS) as running:
        for camera in ("ipc1", "ipc2"):  # what is opened once and kept
            with running.connect(camera) as client:
                client.play()
        wait_for(lambda: running.status()["supervisor"]["connections"] == 0)
        pids = (running.pid, running.worker_pid("ipc1"), running.worker_pid("ipc2"))
        before = [descriptors(pid) for pid in pids]
        yield running
        wait_for(lambda: running.status()["supervisor"]["connections"] == 0)
        wait_for(lambda: [descriptors(pid) for pid in pids] <= before, why=f"more descriptors than {before}")
        assert [camera["connections"] for camera in running.status()["cameras"]] == [0, 0]
        assert [running.worker_pid("ipc1"), running.worker_pid("ipc2")] == list(pids[1:])
        assert "Traceback" not in running.log_text()


def descriptors(pid: int) -> int:
    return int(psutil.Process(pid).num_fds())
