"""A camera of this machine, from FFmpeg's own Video4Linux input to players: only the device is ours (v4l2_camera.c)."""

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from camfleet.supervisor.arbiter.bus import ask_to_replace

from tests.kit.paper_camera import PaperCamera, compile_driver, jpeg
from tests.kit.picture_watch import Picture, PictureWatch, now_ns
from tests.kit.players import START_TIMEOUT_S, FFmpeg, GStreamer
from tests.kit.rtsp_client import RTSPClient
from tests.kit.server import Server
from tests.kit.wait import wait_for

FPS = 25
CAMERA = """
[[cameras]]
id = "desk"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "webcam", device = "{device}", size = "320x240", format = "mjpeg" }}
video = {{ width = 320, height = 240, fps = 25, bitrate = "1M", gop = 250, encoder = "x264" }}
linger_s = 1
"""


@contextmanager
def filming(camera: PaperCamera) -> Iterator[None]:
    """Grey pictures for whoever reads; what nobody takes is dropped, as by a camera."""
    picture, ended = jpeg(100), threading.Event()
    assert len(picture) < select.PIPE_BUF
    writable = select.poll()
    writable.register(camera.fd, select.POLLOUT)

    def film() -> None:
        while not ended.wait(1 / FPS):
            if writable.poll(0):
                camera.show(picture)

    thread = threading.Thread(target=film)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[PaperCamera]:
    camera = PaperCamera(tmp_path)
    yield camera
    camera.close()


@pytest.fixture
def server(camera: PaperCamera, tmp_path: Path) -> Iterator[Server]:
    preloaded = {"LD_PRELOAD": str(compile_driver(tmp_path))}
    with Server(tmp_path, (), tail=CAMERA.format(device=camera.path), environment=preloaded) as running:
        yield running


def state_of(server: Server) -> str:
    return str(server.camera("desk")["streams"][0]["state"])


def is_live(picture: Picture) -> bool:
    return picture.flat  # a slate has letters


def test_players_see_it_through_a_change_of_workers_and_of_the_camera(camera: PaperCamera, server: Server) -> None:
    url = server.url("desk", source="webcam")
    with PictureWatch(RTSPClient.connect(url)) as watch:
        with filming(camera):
            players = [FFmpeg(url, 4 * FPS), GStreamer(url, 4 * FPS)]
            watch.wait_for_picture(is_live, 0, START_TIMEOUT_S)
            wait_for(lambda: len(server.camera("desk")["readers"]) == 3, START_TIMEOUT_S)

            before = server.worker_pid("desk")
            replaced, replaced_ns = ask_to_replace(server.run_dir, "desk"), now_ns()
            assert (replaced.problem, replaced.sessions) == ("", 3)
            assert server.worker_pid("desk") != before
            watch.wait_for_picture(is_live, replaced_ns, 3.0)
            for player in players:
                ended = player.wait(START_TIMEOUT_S)
                assert (ended.errors, ended.ended_well) == ("", True)

        unplugged_ns = now_ns()
        camera.unplug()
        watch.wait_for_picture(lambda picture: not is_live(picture), unplugged_ns, 2.0)
        wait_for(lambda: state_of(server).startswith(f"standby: there is no {camera.path}"), 3.0)
        camera.plug_in()
        plugged_ns = now_ns()
        with filming(camera):
            watch.wait_for_picture(is_live, plugged_ns, 3.0)
        assert watch.video.holes == 0
