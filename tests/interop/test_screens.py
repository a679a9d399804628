"""FFmpeg watches an X11 desktop and a window by RTSPS: the colours of what it decodes say what it sees."""

from collections.abc import Iterator

import pytest

from tests.kit.server import Server
from tests.kit.shown import Played
from tests.kit.x11 import BLUE, GREEN, RED, WHITE, YELLOW, Program, XServer

CODED = 8  # levels that an encoder for a few hundred kb/s may be off
BLACK = 0

CAMERAS = """
[[cameras]]
id = "desk"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "screenlive", {display}, cursor = false }}
video = {{ width = 640, height = 360, fps = 25, bitrate = "1M" }}
[[cameras.streams]]
id = "stream2"
source = {{ kind = "screenlive", {display}, cursor = false }}
video = {{ width = 320, height = 180, fps = 10, bitrate = "300k" }}
[[cameras]]
id = "window"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "windowlive", {display}, cursor = false, title = "Report" }}
video = {{ width = 200, height = 120, fps = 25, bitrate = "500k" }}
"""


@pytest.fixture(scope="module")
def x11(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XServer]:
    with XServer(tmp_path_factory.mktemp("x11")) as running:
        yield running


@pytest.fixture(scope="module")
def server(x11: XServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    display = f'display = "{x11.display}", xauthority = "{x11.xauthority}"'
    with Server(tmp_path_factory.mktemp("screens"), (), tail=CAMERAS.format(display=display)) as running:
        yield running


def url(server: Server, camera: str, stream: str, kind: str) -> str:
    return server.url(camera, stream=stream).replace("testlive", kind)


def test_a_desktop_is_seen_in_both_streams(server: Server, x11: XServer) -> None:
    with (
        Program(x11, "on the desk", at=(160, 90), size=(320, 180)) as program,
        Played(url(server, "desk", "stream1", "screenlive"), 640, 360) as main,
        Played(url(server, "desk", "stream2", "screenlive"), 320, 180) as sub,
    ):
        main.wait({(170, 100): RED, (470, 100): GREEN, (170, 260): BLUE, (470, 260): YELLOW, (80, 45): BLACK}, by=CODED)
        sub.wait({(90, 55): RED, (230, 55): GREEN, (90, 125): BLUE, (230, 125): YELLOW, (40, 20): BLACK}, by=CODED)
        program.move(0, 0)
        program.paint()
        main.wait({(10, 10): RED, (310, 170): YELLOW, (470, 260): BLACK}, by=CODED)
        sub.wait({(10, 10): RED, (150, 80): YELLOW, (230, 125): BLACK}, by=CODED)


def test_a_window_moves_changes_its_size_goes_and_comes_back(server: Server, x11: XServer) -> None:
    def quarters(*colours: int) -> dict[tuple[int, int], int]:
        return dict(zip(((20, 20), (180, 20), (20, 100), (180, 100)), colours, strict=True))

    with Played(url(server, "window", "stream1", "windowlive"), 200, 120) as played:
        with Program(x11, "Report 1", at=(300, 200)) as program:
            played.wait(quarters(RED, GREEN, BLUE, YELLOW), by=CODED)
            program.colours = (WHITE, GREEN, BLUE, RED)
            program.move(-100, 300)
            played.wait(quarters(WHITE, GREEN, BLUE, RED), program.answer, by=CODED)
            program.colours = (GREEN, BLUE, RED, WHITE)
            program.resize(400, 240)
            played.wait(quarters(GREEN, BLUE, RED, WHITE), program.answer, by=CODED)
        with Program(x11, "Report 2", colours=(BLUE, RED, WHITE, GREEN)) as program:
            played.wait(quarters(BLUE, RED, WHITE, GREEN), program.answer, by=CODED)
