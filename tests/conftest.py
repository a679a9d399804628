"""Fixtures of several rooms."""

from collections.abc import Iterator

import pytest
from camfleet.core.tls.aead import gcm_library


@pytest.fixture(scope="module", params=["the faster GCM library", "libcrypto"])
def both_gcm_libraries(request: pytest.FixtureRequest) -> Iterator[None]:
    """What does AES-GCM: libIPSec_MB where it is installed and the processor can, and libcrypto."""
    gcm_library(libcrypto=request.param == "libcrypto")
    yield
    gcm_library(libcrypto=False)
