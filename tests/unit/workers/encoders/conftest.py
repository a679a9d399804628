"""A machine with a graphics card whose driver is not waited for as long as a real one."""

from collections.abc import Iterator

import pytest
from camfleet.workers.encoders import drivers, fallback, opening

from tests.kit.faulty_encoder import driver_threads
from tests.kit.wait import wait_for


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """That passed its probe. What has called it must have come back in the end."""
    monkeypatch.setattr(opening, "known", dict)
    monkeypatch.setattr(opening, "unusable", dict)
    monkeypatch.setattr(fallback, "HANG_TIMEOUT_S", 0.1)
    monkeypatch.setattr(fallback, "OPEN_TIMEOUT_S", 0.1)
    yield
    wait_for(lambda: not drivers._hanging, why="a hanging call has not come back")
    wait_for(lambda: not driver_threads(), why="a thread is left")
