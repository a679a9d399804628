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


def test_settings_reach_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"stall_timeout_s": 3.5, "key_update_records": 1000, "key_update_spacing_s": 0.5}

    async def build() -> None:
        order = configure(msgspec.structs.replace(CAMERA, **settings))
        camera.LiveCamera(order, news=print, hand_back=print, failed=print)

    monkeypatch.setattr(camera, "FanOut", engine)
    with pytest.raises(EngineAskedError) as asked:
        asyncio.run(build())
    assert asked.value.args == (settings,)
