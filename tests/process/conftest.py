"""Real servers for the tests of whole processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.server import Server


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short: the names of Unix sockets are limited to 107 bytes."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """A running server with two cameras, ipc1 and ipc2, over TLS and plain."""
    with Server(folder, ("ipc1", "ipc2")) as running:
        yield running
