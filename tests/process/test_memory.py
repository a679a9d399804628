"""What a playing reader costs of the memory of worker and supervisor together."""

from pathlib import Path

import pytest
from camfleet.bench.macro import memory

from tests.kit.clips import write_clip

pytestmark = pytest.mark.alone

READERS_PER_S = 150


# What a process takes once, whenever that is, counts for little among 800.
@pytest.mark.parametrize(
    ("tls", "readers", "most"), [(False, (100, 900), 4096), (True, (100, 400), 40_960)], ids=["rtsp", "rtsps"]
)
def test_a_reader_costs_little_memory(folder: Path, tls: bool, readers: tuple[int, int], most: int) -> None:
    film = write_clip(folder / "film.mp4", pictures=60)
    worker, supervisor = memory.of_a_reader(film, folder, tls, readers, READERS_PER_S)
    assert worker > 0, "no reader costs nothing"
    assert worker + supervisor < most, f"{worker:.0f} bytes in the worker, {supervisor:.0f} in the supervisor"
