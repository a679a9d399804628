"""H.265 by FFmpeg's and GStreamer's own depayloaders and decoders; a stream whose codec or encoder is not to be had."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from camfleet.workers.encoders import probing

from tests.kit.clips import noise_picture, write_clip
from tests.kit.players import START_TIMEOUT_S, FFmpeg, GStreamer
from tests.kit.server import Server
from tests.kit.wait import wait_for

FPS, SECONDS = 25, 2
FILM = """
[[cameras]]
id = "film"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "filelive", path = "{path}" }}
linger_s = 0
[[cameras]]
id = "live"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "testlive" }}
video = {{ codec = "h265", width = 128, height = 96, fps = 25, bitrate = "200k", gop = 25, encoder = "x265" }}
[[cameras.streams]]
id = "stream2"
source = {{ kind = "testlive" }}
video = {{ codec = "h265", encoder = "amf" }}
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key frames of many packets, B pictures and open GOPs: all that x265 does by itself."""
    path = tmp_path_factory.mktemp("clip") / "film.mp4"
    return write_clip(
        path, codec="libx265", pictures=FPS * SECONDS, gop=20, b_frames=3, fps=FPS, size=(320, 180), paint=noise_picture
    )


@pytest.fixture(scope="module")
def film(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("h265"), (), tail=FILM.format(path=clip)) as running:
        yield running


def test_players_decode_two_turns_of_the_loop_without_one_error(film: Server) -> None:
    frames = 2 * FPS * SECONDS
    ffmpeg = FFmpeg(film.url("film", source="filelive"), frames)
    gstreamer = GStreamer(film.url("film", source="filelive"), frames, codec="h265")
    plain = GStreamer(film.url("film", source="filelive", tls=False), frames, codec="h265")
    wait_for(lambda: film.camera("film")["streams"][0]["codec"] == "h265")
    for player in (ffmpeg, gstreamer, plain):
        played = player.wait(2 * SECONDS + START_TIMEOUT_S)
        assert played.errors == ""
        assert played.ended_well
        assert played.frames >= frames


def test_players_decode_what_x265_encodes(film: Server) -> None:
    frames = 2 * FPS
    players = FFmpeg(film.url("live"), frames), GStreamer(film.url("live"), frames, codec="h265")
    for player in players:
        played = player.wait(2 + START_TIMEOUT_S)
        assert played.errors == ""
        assert played.ended_well
        assert played.frames >= frames


@pytest.mark.skipif("h265/amf" not in probing.unusable(), reason="this machine has the encoder that is to be missing")
def test_an_encoder_that_is_not_to_be_had_is_told_before_anybody_asks(film: Server) -> None:
    """And its camera's other stream is none the worse."""
    wait_for(lambda: ": hevc_amf: " in film.camera("live")["streams"][1]["state"])  # failed, or with a slate until then
    with film.connect("live") as client:
        client.play()


def test_a_file_of_another_codec_in_its_place_is_what_the_next_reader_gets(film: Server, clip: Path) -> None:
    assert described(film.url("film", source="filelive")) == "codec_name=hevc profile=Main"
    replacement = write_clip(clip.with_name("new.mp4"), fps=FPS, size=(320, 180), options={"profile": "main"})
    replacement.rename(clip)
    assert described(film.url("film", source="filelive")) == "codec_name=h264 profile=Main"


def described(url: str) -> str:
    """What ffprobe has found when it has played for a moment."""
    fields = "stream=codec_name,profile"
    command = ["ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-show_entries", fields, "-of", "default=nw=1", url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=True)
    assert ended.stderr == ""
    return " ".join(ended.stdout.split())
