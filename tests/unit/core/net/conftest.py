"""Engines that end with their test, and leave nothing behind."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from camfleet.core.net.fanout import live_objects

from tests.kit.descriptors import descriptors
from tests.kit.engine import Rig


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Frame blocks, clients, commands, events and descriptors: as many after the test as before it."""
    gc.collect()
    objects, opened = live_objects(), descriptors()
    yield
    gc.collect()
    assert live_objects() == objects
    assert descriptors() == opened


@pytest.fixture(params=[1, 1000], ids=["sendfile", "send"])
def pages_from(request: pytest.FixtureRequest) -> int:
    """Frames leave by sendfile from the first plain reader on, or never."""
    return int(request.param)


@pytest.fixture
def make_rig(pages_from: int) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**options: Any) -> Rig:
        rigs.append(Rig(**{"pages_from": pages_from} | options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()
