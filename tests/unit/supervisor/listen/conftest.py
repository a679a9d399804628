import pytest
from camfleet.supervisor.tls import ServerContext

from tests.kit.tls_client import read_context, write_pair


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> ServerContext:
    return read_context(*write_pair(tmp_path_factory.mktemp("pair")))
