"""One running server for the real clients of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # On all addresses: 127.0.0.2 reaches it too, and stands in no certificate.
    with Server(tmp_path_factory.mktemp("interop"), host="0.0.0.0") as running:
        yield running


@pytest.fixture
def authority(server: Server) -> Path:
    """The server's certificate, as an operator exports it for the clients."""
    return server.state_dir / "certs" / "ssl.ca"
