from pathlib import Path

import pytest
from camfleet.supervisor.tls import ServerContext
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.kit.tls_client import read_context, write_pair


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> ServerContext:
    return read_context(*write_pair(tmp_path_factory.mktemp("ecdsa")))


@pytest.fixture(scope="session")
def rsa_context(tmp_path_factory: pytest.TempPathFactory) -> ServerContext:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return read_context(*write_pair(tmp_path_factory.mktemp("rsa"), key))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)
