"""One X server for all tests of a run."""

from collections.abc import Iterator

import pytest

from tests.kit.x11 import XServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XServer]:
    with XServer(tmp_path_factory.mktemp("x11")) as running:
        yield running
