"""A source that comes late, dies and comes back, for FFmpeg, GStreamer and a reader that looks at every packet."""

import json
import struct
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kit.clips import decode, noise_picture, write_clip
from tests.kit.players import START_TIMEOUT_S, FFmpeg, GStreamer, Player
from tests.kit.rtsp_client import InterleavedFrame, RTSPClient, Watch
from tests.kit.server import Server
from tests.kit.wait import wait_for
from tests.reference import h265
from tests.reference.rtp import annex_b, depacketize, packets

FPS = 25
FRAMES = 4 * FPS
FILM, UNKNOWN = (320, 180), (1280, 720)
CAMERA = """
[[cameras]]
id = "film"
name = "Lobby"
streams = [{{ id = "stream1", source = {{ kind = "filelive", path = {path} }} }}]
"""


class Recorder(RTSPClient):
    """Keeps the interleaved packets of the media."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.packets: list[bytes] = []

    def frames(self, seconds: float = 0.0) -> Iterator[InterleavedFrame]:
        for frame in super().frames(seconds):
            if frame.channel == 0:
                self.packets.append(struct.pack("!BBH", 0x24, 0, len(frame.payload)) + frame.payload)
            yield frame


@pytest.fixture
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Too large for FFmpeg to have all of it in its buffer."""
    path = tmp_path_factory.mktemp("s") / "film.mp4"
    return write_clip(path, fps=FPS, gop=FPS, size=FILM, pictures=3 * FPS, paint=noise_picture, options={"crf": "35"})


@pytest.fixture
def film_h265(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("h") / "film.mp4"
    return write_clip(path, codec="libx265", fps=FPS, gop=FPS, size=FILM, pictures=3 * FPS, paint=noise_picture)


def camera_state(server: Server) -> tuple[str, int]:
    """Of the stream, and how many play it."""
    camera: dict[str, Any] = server.camera("film")
    return camera["streams"][0]["state"], sum(reader["state"] == "playing" for reader in camera["readers"])


def test_readers_see_slate_source_slate_source_in_one_session(film: Path) -> None:
    whole = film.read_bytes()
    with Server(film.parent, (), tail=CAMERA.format(path=json.dumps(str(film)))) as server:
        film.unlink()  # not earlier: a configuration that names no file is refused
        url = server.url("film").replace("testlive", "filelive")
        with Watch(Recorder.connect(url)) as reader:
            players = [player(url, FRAMES) for player in (FFmpeg, GStreamer)]
            wait_for(lambda: camera_state(server)[1] == 3, START_TIMEOUT_S)
            assert camera_state(server)[0].startswith(f"standby: {film} cannot be opened")
            for damaged in (b"", None):
                film.write_bytes(whole)
                wait_for(lambda: camera_state(server)[0] == "running", 3.0)
                reader.wait_for_frames(FPS)
                if damaged is not None:
                    film.write_bytes(damaged)
                    wait_for(lambda: camera_state(server)[0].startswith("standby: "), 2.0)
                    reader.wait_for_frames(6)
            for player in players:
                played = player.wait(START_TIMEOUT_S)
                assert (played.errors, played.frames >= FRAMES, played.ended_well) == ("", True, True)
            assert reader.video.holes == 0
            assert reader.video.largest_gap_ms() < 2000
            recorder = reader.client
        assert isinstance(recorder, Recorder)
    units = depacketize([packet for each in recorder.packets for packet in packets(each)])
    steps = [(later.timestamp - earlier.timestamp) % 2**32 for earlier, later in pairwise(units)]
    assert all(0 < step < 2 * 90_000 for step in steps)
    pictures = decode([annex_b(unit.units) for unit in units])
    assert len(pictures) == len(units)
    sizes = [(picture.width, picture.height) for picture in pictures]
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) == {UNKNOWN, FILM}


def test_an_h265_source_dies_and_comes_back_in_one_session(film_h265: Path) -> None:
    """Its slate is H.265 too, in the film's size: decoders go on."""
    whole, frames = film_h265.read_bytes(), 6 * FPS
    with Server(film_h265.parent, (), tail=CAMERA.format(path=json.dumps(str(film_h265)))) as server:
        url = server.url("film")
        with Watch(Recorder.connect(url)) as reader:
            players: list[Player] = [FFmpeg(url, frames), GStreamer(url, frames, codec="h265")]
            wait_for(lambda: camera_state(server)[1] == 3, START_TIMEOUT_S)
            peers = peers_of(server)
            film_h265.write_bytes(b"")
            wait_for(lambda: camera_state(server)[0].startswith("standby: "), START_TIMEOUT_S)
            reader.wait_for_frames(6)
            film_h265.write_bytes(whole)
            wait_for(lambda: camera_state(server)[0] == "running", 3.0)
            reader.wait_for_frames(FPS)
            assert peers_of(server) == peers
            for player in players:
                played = player.wait(START_TIMEOUT_S)
                assert (played.errors, played.frames >= frames, played.ended_well) == ("", True, True)
            assert reader.video.holes == 0
            assert reader.video.largest_gap_ms() < 2000
            recorder = reader.client
        assert isinstance(recorder, Recorder)
    units = h265.depacketize([packet for each in recorder.packets for packet in packets(each)])
    pictures = decode([annex_b(unit.units) for unit in units], codec="h265")
    assert {(picture.width, picture.height) for picture in pictures} == {FILM}
    dark = [float(np.asarray(picture.to_ndarray())[: FILM[1]].mean()) < 80 for picture in pictures]
    assert [shown for shown, _ in groupby(dark)] == [False, True, False]


def peers_of(server: Server) -> set[str]:
    """Who plays the film."""
    return {reader["peer"] for reader in server.camera("film")["readers"] if reader["state"] == "playing"}
