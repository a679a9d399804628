"""FFmpeg watches a stream of each kind of source by RTSPS: the colours of what it decodes say that it is that one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from tests.kit.clips import write_clip
from tests.kit.publishers import ffmpeg
from tests.kit.server import PASSWORD, USER, Server, free_ports
from tests.kit.shown import Played
from tests.kit.wait import wait_for
from tests.kit.x11 import BLUE, GREEN, RED, WHITE, YELLOW, YUV, Program, XServer

CODED = 8  # levels that an encoder may be off
RED_BAR, YELLOW_BAR = 0xBF0000, 0xBFBF00  # of the test pattern
WIDTH, HEIGHT = 160, 96
VIDEO = "video = { width = 160, height = 96, fps = 25, bitrate = '500k', gop = 25, encoder = 'x264' }"
QUARTERS = {(40, 24): RED, (120, 24): GREEN, (40, 72): BLUE, (120, 72): YELLOW}
# `standby = false`: no slate, which has another size, is in the place of a source that takes its time.
CAMERA = """
[[cameras]]
id = "{id}"
[[cameras.streams]]
id = "stream1"
source = {{ {source} }}
standby = false
{video}
"""


def middle(colour: int) -> dict[tuple[int, int], int]:
    return {(WIDTH // 2, HEIGHT // 2): colour}


# What has to be seen of each camera, one after the other.
SHOWN = {
    "testlive": [{(110, 52): RED_BAR, (30, 52): YELLOW_BAR}],
    "film": [middle(RED)],
    "folder": [middle(BLUE), middle(YELLOW), middle(BLUE)],
    "list": [middle(YELLOW), middle(BLUE)],
    "image": [middle(GREEN)],
    "screenlive": [QUARTERS],
    "windowlive": [QUARTERS],
    "rtsp": [middle(RED)],
    "rtsps": [middle(RED)],
    "udp": [middle(WHITE)],
}


def write_film(path: Path, colour: int, seconds: int = 1) -> Path:
    luma, cb, cr = YUV[colour]

    def paint(_number: int, width: int, height: int, pixel_format: str) -> VideoFrame:
        samples = np.full((height * 3 // 2, width), luma, np.uint8)
        samples[height : height * 5 // 4], samples[height * 5 // 4 :] = cb, cr
        return VideoFrame.from_ndarray(samples, pixel_format)

    return write_clip(path, pictures=25 * seconds, gop=5, fps=25, size=(WIDTH, HEIGHT), paint=paint)


@pytest.fixture(scope="module")
def x11(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XServer]:
    with XServer(tmp_path_factory.mktemp("x11")) as running, ExitStack() as stack:
        for title, at in (("Desk", (0, 0)), ("Report", (300, 200))):
            stack.enter_context(Program(running, title, at=at, size=(WIDTH, HEIGHT)))
        yield running


@pytest.fixture(scope="module")
def server(x11: XServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sources")
    films = folder / "films"
    films.mkdir()
    blue, yellow = write_film(films / "1.mp4", BLUE), write_film(films / "2.mp4", YELLOW)
    Image.new("RGB", (WIDTH, HEIGHT), (0, 255, 0)).save(folder / "green.png")
    (port,) = free_ports(1)
    display = f'display = "{x11.display}", xauthority = "{x11.xauthority}", cursor = false'
    running = Server(folder, ())
    upstream = f"{USER}:{PASSWORD}@127.0.0.1:{{}}/film"
    sources = {
        "testlive": 'kind = "testlive"',
        "film": f'kind = "filelive", path = "{write_film(folder / "red.mp4", RED)}"',
        "folder": f'kind = "filelive", paths = ["{films}"]',
        "list": f'kind = "filelive", paths = ["{yellow}", "{blue}"]',
        "image": f'kind = "image", path = "{folder / "green.png"}"',
        "screenlive": f'kind = "screenlive", {display}, region = "{WIDTH}x{HEIGHT}+0+0"',
        "windowlive": f'kind = "windowlive", {display}, title = "Report"',
        "rtsp": f'kind = "rtsplive", url = "rtsp://{upstream.format(running.rtsp_port)}"',
        # Whom it believes is test_pull.py's.
        "rtsps": f'kind = "rtsplive", url = "rtsps://{upstream.format(running.rtsps_port)}", tls = "off"',
        "udp": f'kind = "netlive", url = "udp://127.0.0.1:{port}"',
    }
    encoded = ("testlive", "image", "screenlive", "windowlive")
    running.tail = "".join(
        CAMERA.format(id=camera, source=source, video=VIDEO if camera in encoded else "")
        for camera, source in sources.items()
    )
    running.write_config(())
    white = write_film(folder / "white.ts", WHITE, seconds=2)
    with ffmpeg(white, "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316"), running:
        yield running


@pytest.fixture(scope="module")
def players(server: Server) -> Iterator[dict[str, Played]]:
    """All at once: FFmpeg looks at a stream for a second before it shows anything of it."""
    with ExitStack() as stack:
        yield {camera: stack.enter_context(Played(server.url(camera), WIDTH, HEIGHT)) for camera in SHOWN}


@pytest.mark.parametrize("camera", SHOWN)
def test_ffmpeg_sees_the_source_without_one_error(camera: str, players: dict[str, Played], server: Server) -> None:
    player = players[camera]
    for colours in SHOWN[camera]:
        player.wait(colours, by=CODED)
    seen = player.frames
    wait_for(lambda: player.frames >= seen + 25, 10.0, player.why)
    assert player.errors() == ""
    (stream,) = server.camera(camera)["streams"]
    assert (stream["state"], stream["width"], stream["height"]) == ("running", WIDTH, HEIGHT)
