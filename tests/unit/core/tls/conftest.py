import pytest

from tests.reference.tls_record import SUITES, Suite


@pytest.fixture(params=SUITES, ids=lambda suite: f"{suite.number:04X}")
def suite(request: pytest.FixtureRequest) -> Suite:
    """Each suite in turn."""
    chosen: Suite = request.param
    return chosen


@pytest.fixture(autouse=True, scope="module")
def each_library(both_gcm_libraries: None) -> None:
    """All tests of this room, twice."""
