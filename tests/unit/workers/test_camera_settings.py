"""Settings of the configuration file that end in the engine."""

import asyncio

import msgspec
import pytest
from camfleet.workers import camera

from tests.kit.worker import CAMERA, configure


class EngineAskedError(Exception):
    """Carries the arguments of a FanOut."""


def engine(**arguments: object) -> None:
    raise EngineAskedError(arguments)


def test_the_stall_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def build() -> None:
        order = configure(msgspec.structs.replace(CAMERA, stall_timeout_s=3.5))
        camera.LiveCamera(order, news=print, hand_back=print, failed=print)

    monkeypatch.setattr(camera, "FanOut", engine)
    with pytest.raises(EngineAskedError) as asked:
        asyncio.run(build())
    assert asked.value.args == ({"stall_timeout_s": 3.5},)
