"""Pictures as URLs ask for them, with real clients: shared, limited, and gone when nobody watches."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.clips import write_clip
from tests.kit.picture_watch import PictureWatch, now_ns
from tests.kit.players import START_TIMEOUT_S, FFmpeg, GStreamer
from tests.kit.rtsp_client import RTSPClient
from tests.kit.server import Server
from tests.kit.wait import wait_for

SMALL = "?ve=h264&w=160&h=96&fps=10&vb=100k"
LIMITS = "[limits]\nvariants_per_camera = 2\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """ipc1 passes a film of 96x64 through, ipc2 has a test pattern of 320x180."""
    folder = tmp_path_factory.mktemp("s")
    film = write_clip(folder / "film.mp4", size=(96, 64))
    server = Server(folder, ("ipc1", "ipc2"), tail=f"linger_s = 1\n{LIMITS}")
    first, second = server.config.read_text().split('id = "ipc2"')
    first = re.sub(r"source = .*\nvideo = .*\n", f'source = {{ kind = "filelive", path = "{film}" }}\n', first)
    server.config.write_text(f'{first}id = "ipc2"{second}')
    with server:
        yield server


def variants(server: Server, camera: str = "ipc2") -> dict[str, dict[str, Any]]:
    return {each["variant"]: each for each in server.camera(camera)["streams"] if each["variant"]}


def watched(server: Server) -> list[str]:
    """By ipc2's readers."""
    return sorted(each["variant"] for each in server.camera("ipc2")["readers"])


def test_who_asks_for_the_same_shares_an_encoder(server: Server) -> None:
    small, url = SMALL.removeprefix("?"), server.url("ipc2")
    with PictureWatch(RTSPClient.connect(url + SMALL)) as reader, server.watch("ipc2") as whole:
        began_ns = now_ns()
        players = [FFmpeg(url + SMALL, 30), GStreamer(server.url("ipc2", tls=False) + SMALL, 30)]
        reader.wait_for_picture(lambda picture: (picture.width, picture.step) == (160, 9000), began_ns, 5.0)
        wait_for(lambda: watched(server) == ["", small, small, small], START_TIMEOUT_S, lambda: f"{watched(server)}")
        assert list(variants(server)) == [small]
        stream = variants(server)[small]
        assert (stream["url"], stream["state"], stream["video"]["fps"]) == (
            server.bare_url("ipc2") + SMALL,
            "running",
            10,
        )
        with PictureWatch(RTSPClient.connect(f"{url}?w=240&fps=12")) as second:
            second.wait_for_picture(lambda picture: (picture.width, picture.height) == (240, 136), 0, 5.0)
            assert len(variants(server)) == 2
            with RTSPClient.connect(f"{url}?w=80") as third:
                refused = third.request("DESCRIBE")
                assert refused.status == 453
                assert "limits.variants_per_camera" in refused.reason
            third_player = FFmpeg(f"{url}?w=80", 1).wait(START_TIMEOUT_S)
            assert not third_player.ended_well
            assert "453 Not Enough Bandwidth: the camera makes 2 variants at most" in third_player.errors
            with RTSPClient.connect(f"{server.url('ipc1')}?w=80") as elsewhere:  # the limit is each camera's own
                assert elsewhere.request("DESCRIBE").status == 200
        for player in players:
            played = player.wait(START_TIMEOUT_S)
            assert (played.errors, played.ended_well) == ("", True)
        for watch in (reader, whole):
            watch.wait_for_frames(3)
            assert watch.video.holes == 0
    wait_for(lambda: not variants(server), 6.0, lambda: f"they have not ended: {variants(server)}")


def test_another_codec_is_encoded_for_who_asks_for_it(server: Server) -> None:
    query = "?ve=h265&w=160&h=96&fps=10&vb=100k"
    players = [FFmpeg(server.url("ipc2") + query, 30), GStreamer(server.url("ipc2") + query, 30, codec="h265")]
    wait_for(lambda: query[1:] in variants(server), START_TIMEOUT_S, lambda: f"{variants(server)}")
    wait_for(lambda: variants(server)[query[1:]]["encoder"], START_TIMEOUT_S)
    stream = variants(server)[query[1:]]
    assert (stream["codec"], stream["encoder"]) == ("h265", "libx265")
    for player in players:
        played = player.wait(START_TIMEOUT_S)
        assert (played.errors, played.frames >= 30, played.ended_well) == ("", True, True)


def test_a_film_that_passes_through_is_encoded_for_who_asks_for_another_size(server: Server) -> None:
    url = server.url().replace("testlive", "filelive")
    with PictureWatch(RTSPClient.connect(url)) as film, PictureWatch(RTSPClient.connect(f"{url}?w=160")) as other:
        film.wait_for_picture(lambda picture: picture.width == 96, 0, 5.0)
        other.wait_for_picture(lambda picture: (picture.width, picture.height) == (160, 90), 0, 5.0)


def test_a_value_that_cannot_be_is_refused_with_the_reason(server: Server) -> None:
    played = FFmpeg(f"{server.url()}?w=641", 1).wait(START_TIMEOUT_S)
    assert not played.ended_well
    assert "451 Parameter Not Understood: w: an even number from 64 to 4096" in played.errors
