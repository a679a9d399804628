"""FFmpeg watches the streams of a camera that show one film: they show the same moment of it, read once."""

import statistics
import time
from pathlib import Path

import pytest
from av.video.frame import VideoFrame

from tests.kit.clips import STEP, flat_picture, write_clip
from tests.kit.descriptors import times_open
from tests.kit.server import Server
from tests.kit.shown import Played
from tests.kit.wait import wait_for

FPS, GROUP_S, STANDS = 25, 10, 10  # a number stands for so many pictures
WIDTH, HEIGHT = 320, 192
STREAMS = """
[[cameras]]
id = "film"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "filelive", path = "{film}" }}
standby = false
[[cameras.streams]]
id = "stream2"
source = {{ kind = "filelive", path = "{film}" }}
standby = false
[[cameras.streams]]
id = "stream3"
source = {{ kind = "filelive", path = "{film}" }}
video = {{ width = {width}, height = {height}, fps = 25, bitrate = "1M", gop = 25, encoder = "x264" }}
standby = false
"""


def stands(number: int, width: int, height: int, pixel_format: str) -> VideoFrame:
    return flat_picture(number // STANDS, width, height, pixel_format)


def number_in(player: Played) -> int | None:
    samples = player.samples()
    return None if samples is None else round((float(samples[: samples.shape[0] * 2 // 3].mean()) - 20) / STEP)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_clip(
        tmp_path / "film.mp4",
        pictures=2 * GROUP_S * FPS,
        gop=GROUP_S * FPS,
        fps=FPS,
        b_frames=2,
        size=(WIDTH, HEIGHT),
        paint=stands,
    )


def test_players_of_all_streams_see_the_same_moment_whenever_they_come(film: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, (), tail=STREAMS.format(film=film, width=WIDTH, height=HEIGHT))
    with server, Played(server.url("film"), WIDTH, HEIGHT, from_first=True) as main:
        wait_for(lambda: main.frames, 10.0, main.why)
        time.sleep(3.3)  # in the middle of a group: who comes at its beginning may be in step by chance
        with (
            Played(server.url("film", stream="stream2"), WIDTH, HEIGHT, from_first=True) as sub,
            Played(server.url("film", stream="stream3"), WIDTH, HEIGHT, from_first=True) as encoded,
        ):
            players = main, sub, encoded
            began = time.monotonic()
            behind: dict[Played, list[int]] = {sub: [], encoded: []}
            while time.monotonic() < began + 8:
                numbers = [number_in(player) for player in players]
                if time.monotonic() > began + 4:
                    for player, number in zip(players[1:], numbers[1:], strict=True):
                        assert number is not None, player.why()
                        assert numbers[0] is not None
                        behind[player].append((numbers[0] - number) % 50)
                time.sleep(0.05)
            assert times_open(film, server.worker_pid("film")) == 1
            for player, differences in behind.items():
                # A player's own delay is part of it: a step of 0.4 s, and not the 3.3 s that it has come later.
                centred = [(difference + 25) % 50 - 25 for difference in differences]
                assert abs(statistics.median(centred)) <= 1, centred
                assert not player.errors()
