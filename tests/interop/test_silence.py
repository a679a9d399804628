"""Sources that are still there and give no picture: a window that is closed, a desktop that hangs, upstreams that stand
still without a word. Readers keep their session, see the slate within two seconds, and the picture when it is back."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.clips import write_clip
from tests.kit.picture_watch import Picture, PictureWatch, now_ns
from tests.kit.players import START_TIMEOUT_S
from tests.kit.publishers import ffmpeg
from tests.kit.rtsp_client import RTSPClient
from tests.kit.server import USER, Server
from tests.kit.x11 import BLUE, GREEN, Program, XServer

FPS, SIZE = 25, (320, 180)
STREAM = """
[[cameras.streams]]
id = "{stream}"
source = {{ {source} }}
linger_s = 1
"""
VIDEO = "video = { width = 320, height = 180, fps = 25, bitrate = '500k', gop = 250, encoder = 'x264' }\n"


def camera(camera_id: str, source: str, video: str = VIDEO) -> str:
    return f'[[cameras]]\nid = "{camera_id}"\n' + STREAM.format(stream="stream1", source=source) + video


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "film.mp4", pictures=200, gop=10, fps=FPS, size=SIZE)


@pytest.fixture(scope="module")
def x11(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XServer]:
    with XServer(tmp_path_factory.mktemp("x11")) as running:
        yield running


@pytest.fixture(scope="module")
def upstream(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tail = camera("film", f'kind = "filelive", path = "{film}"', video="")
    with Server(tmp_path_factory.mktemp("up"), (), tail=tail) as running:
        yield running


@pytest.fixture(scope="module")
def server(x11: XServer, upstream: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    display = f'display = "{x11.display}", xauthority = "{x11.xauthority}", cursor = false'
    pulled = f'kind = "rtsplive", url = "{upstream.url("film", tls=False, source="filelive")}"'
    tail = [
        camera("window", f'kind = "windowlive", {display}, title = "Report"'),
        camera("desk", f'kind = "screenlive", {display}'),
        camera("pulled", pulled, video=""),
        STREAM.format(stream="stream2", source=pulled) + VIDEO,
        camera("pushed", f'kind = "publish", user = "{USER}"'),
    ]
    with Server(tmp_path_factory.mktemp("silence"), (), tail="".join(tail)) as running:
        yield running


@contextlib.contextmanager
def watched(server: Server, name: str, stream: str = "stream1") -> Iterator[PictureWatch]:
    """In one session, without a hole."""
    with PictureWatch(RTSPClient.connect(server.url(name, stream=stream))) as watch:
        watch.wait_for_picture(is_live, 0, START_TIMEOUT_S)
        watch.wait_for_frames(FPS // 2)
        yield watch
        assert watch.error is None
        assert not watch.ended
        assert watch.video.holes == 0
        assert watch.video.largest_gap_ms() < 2000


def is_live(picture: Picture) -> bool:
    return picture.flat  # a slate has letters


def is_slate(picture: Picture) -> bool:
    return not picture.flat


def goes_and_comes_back(watches: list[PictureWatch], go: Callable[[], object], come: Callable[[], object]) -> None:
    since_ns = now_ns()
    go()
    for watch in watches:
        assert watch.wait_for_picture(is_slate, since_ns, 5.0) < 2.0
        watch.wait_for_frames(3)
    since_ns = now_ns()
    come()
    for watch in watches:
        assert watch.wait_for_picture(is_live, since_ns, 5.0) < 3.0


def test_a_window_is_closed_and_another_one_is_opened(server: Server, x11: XServer) -> None:
    with contextlib.ExitStack() as programs:
        first = programs.enter_context(Program(x11, "Report 1", size=SIZE, colours=4 * (GREEN,)))

        def open_another() -> None:
            programs.enter_context(Program(x11, "Report 2", size=SIZE, colours=4 * (BLUE,)))

        with watched(server, "window") as watch:
            goes_and_comes_back([watch], first.destroy, open_another)


def test_a_desktop_hangs(server: Server, x11: XServer) -> None:
    with watched(server, "desk") as watch:
        try:
            goes_and_comes_back([watch], x11.freeze, x11.thaw)
        finally:
            x11.thaw()


def test_an_upstream_server_stands_still(server: Server, upstream: Server) -> None:
    """Passed through and encoded anew."""
    with (
        watched(server, "pulled") as passed,
        watched(server, "pulled", "stream2") as encoded,
        stopping(upstream.worker_pid("film")) as (stop, go_on),
    ):
        goes_and_comes_back([passed, encoded], stop, go_on)


def test_a_publisher_stands_still(server: Server, film: Path) -> None:
    """Encoded anew; then it sends all at once what it has not sent."""
    url = server.url("pushed", tls=False, source="publish")
    with (
        ffmpeg(film, "-f", "rtsp", "-rtsp_transport", "tcp", url) as publisher,
        watched(server, "pushed") as watch,
        stopping(publisher.process.pid) as (stop, go_on),
    ):
        goes_and_comes_back([watch], stop, go_on)


@contextlib.contextmanager
def stopping(pid: int) -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """What stops a process of ours, and what lets it go on."""
    try:
        yield lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)
