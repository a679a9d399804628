"""testlive's burnt-in clock, decoded by a client of its own, against the clock on the wall (issue: p50 under 60 ms)."""

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from camfleet.bench.macro.glass_to_glass import CAMERA, ages_ms

from tests.kit.server import Server

pytestmark = pytest.mark.alone

P50_MS = 60
FRAMES = 90
TRIES = 3  # other work on the machine makes pictures older; it never makes them younger


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("s")
    with Server(folder, (), tail=CAMERA) as running:
        yield running


@pytest.mark.parametrize("tls", [False, True])
def test_a_picture_is_on_the_clients_glass_within_two_frames(server: Server, tls: bool) -> None:
    p50 = []
    for _ in range(TRIES):
        ages = ages_ms(server.url(tls=tls), FRAMES)
        assert len(ages) == FRAMES
        assert min(ages) > 0, "before it was captured"
        p50.append(statistics.median(ages))
        if p50[-1] < P50_MS:
            return
    pytest.fail(f"p50 of {p50} ms")
