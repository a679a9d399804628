"""A source that comes late, dies and comes back, for FFmpeg, GStreamer and a reader that looks at every packet."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tests.kit.clips import decode, noise_picture, write_clip
from tests.kit.players import START_TIMEOUT_S, FFmpeg, GStreamer, Player
from tests.kit.recorder import Recorder
from tests.kit.rtsp_client import Watch
from tests.kit.server import Server
from tests.kit.wait import wait_for
from tests.reference.rtp import annex_b

FPS = 25
FILM, UNKNOWN = (320, 180), (1280, 720)
CAMERA = """
[[cameras]]
id = "film"
name = "Lobby"
streams = [{{ id = "stream1", source = {{ kind = "filelive", path = {path} }} }}]
"""


def write_film(folder: Path, **more: Any) -> Path:
    """Too large for FFmpeg to have all of it in its buffer."""
    path = folder / "film.mp4"
    return write_clip(path, fps=FPS, gop=FPS, size=FILM, pictures=3 * FPS, paint=noise_picture, **more)


@contextmanager
def played(server: Server, recorder: Recorder, frames: int, codec: str = "h264") -> Iterator[Watch]:
    """By the recorder and two players, in one session each, without a hole or an error; they have so many frames."""
    url = server.url("film", source="filelive")
    with Watch(recorder) as reader:
        players: list[Player] = [FFmpeg(url, frames), GStreamer(url, frames, codec)]
        wait_for(lambda: len(peers_of(server)) == 3, START_TIMEOUT_S)
        peers = peers_of(server)
        yield reader
        assert peers_of(server) <= peers
        for player in players:
            ended = player.wait(START_TIMEOUT_S)
            assert (ended.errors, ended.frames >= frames, ended.ended_well) == ("", True, True)
        assert reader.video.holes == 0
        assert reader.video.largest_gap_ms() < 2000


def peers_of(server: Server) -> set[str]:
    """Who plays the film."""
    return {reader["peer"] for reader in server.camera("film")["readers"] if reader["state"] == "playing"}


def state_of(server: Server) -> str:
    return str(server.camera("film")["streams"][0]["state"])


def test_readers_see_slate_source_slate_source_in_one_session(tmp_path: Path) -> None:
    film = write_film(tmp_path, options={"crf": "35"})
    whole = film.read_bytes()
    with Server(tmp_path, (), tail=CAMERA.format(path=json.dumps(str(film)))) as server:
        film.unlink()  # not earlier: a configuration that names no file is refused
        recorder = Recorder.connect(server.url("film", source="filelive"))
        with played(server, recorder, 4 * FPS) as reader:
            assert state_of(server).startswith(f"standby: {film} cannot be opened")
            for damaged in (b"", None):
                film.write_bytes(whole)
                wait_for(lambda: state_of(server) == "running", 3.0)
                reader.wait_for_frames(FPS)
                if damaged is not None:
                    film.write_bytes(damaged)
                    wait_for(lambda: state_of(server).startswith("standby: "), 2.0)
                    reader.wait_for_frames(6)
    units = recorder.units()
    steps = [(later.timestamp - earlier.timestamp) % 2**32 for earlier, later in pairwise(units)]
    assert all(0 < step < 2 * 90_000 for step in steps)
    pictures = decode([annex_b(unit.units) for unit in units])
    assert len(pictures) == len(units)
    sizes = [(picture.width, picture.height) for picture in pictures]
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) == {UNKNOWN, FILM}


def test_an_h265_source_dies_and_comes_back_in_one_session(tmp_path: Path) -> None:
    """Its slate is H.265 too, in the film's size: decoders go on."""
    film = write_film(tmp_path, codec="libx265")
    whole = film.read_bytes()
    with Server(tmp_path, (), tail=CAMERA.format(path=json.dumps(str(film)))) as server:
        recorder = Recorder.connect(server.url("film", source="filelive"))
        with played(server, recorder, 6 * FPS, "h265") as reader:
            film.write_bytes(b"")
            wait_for(lambda: state_of(server).startswith("standby: "), START_TIMEOUT_S)
            reader.wait_for_frames(6)
            film.write_bytes(whole)
            wait_for(lambda: state_of(server) == "running", 3.0)
            reader.wait_for_frames(FPS)
    pictures = decode([annex_b(unit.units) for unit in recorder.units("h265")], codec="h265")
    assert {(picture.width, picture.height) for picture in pictures} == {FILM}
    dark = [float(np.asarray(picture.to_ndarray())[: FILM[1]].mean()) < 80 for picture in pictures]
    assert [shown for shown, _ in groupby(dark)] == [False, True, False]
