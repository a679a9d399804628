"""Desktops, monitors and regions: the colours of a window prove which part of the screen is shown."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from camfleet.core.wire import ScreenLive, VideoSpec
from camfleet.workers.sources import open_pictures
from camfleet.workers.sources.shared import Buffers, Picture
from camfleet.workers.sources.x11 import connection
from camfleet.workers.sources.x11.area import Area
from camfleet.workers.sources.x11.capture import Grabber
from Xlib import X, xauth
from Xlib.ext import randr

from tests.kit.shown import PLACE, Shown
from tests.kit.wait import wait_for
from tests.kit.x11 import BLUE, GREEN, GREY, RED, WHITE, YELLOW, YUV, Program, XServer, delete_monitor, set_monitor

BLACK = 0


def screen(server: XServer, **settings: Any) -> ScreenLive:
    return ScreenLive(display=server.display, xauthority=str(server.xauthority), cursor=False, **settings)


@pytest.fixture(scope="module")
def _window(server: XServer) -> Iterator[None]:
    """Four colours on black, in the middle of the screen."""
    with Program(server, "pattern", at=(160, 90), size=(320, 180)):
        yield


@pytest.mark.usefixtures("_window")
def test_the_whole_desktop(server: XServer) -> None:
    with Shown(screen(server)) as shown:
        shown.wait(
            {
                (162, 92): RED,
                (477, 92): GREEN,
                (162, 267): BLUE,
                (477, 267): YELLOW,
                (158, 88): BLACK,
                (639, 359): BLACK,
            }
        )
    with Shown(screen(server), 320, 180) as half:
        half.wait({(83, 48): RED, (236, 48): GREEN, (83, 131): BLUE, (236, 131): YELLOW, (77, 42): BLACK})


@pytest.mark.usefixtures("_window")
def test_a_region_and_its_shape(server: XServer) -> None:
    """One of 161 x 91 pixels: its last line and column have no chroma of their own, and are left out."""
    with Shown(screen(server, region=(161, 91, 319, 179)), 160, 90) as shown:
        shown.wait({(2, 2): YELLOW, (159, 89): YELLOW})
    with Shown(screen(server, region=(160, 180, 240, 90)), 320, 180) as with_bars:
        with_bars.wait({(70, 90): BLACK, (90, 10): RED, (230, 10): GREEN, (90, 170): BLUE, (250, 90): BLACK})


def test_a_region_that_is_not_on_the_screen(server: XServer) -> None:
    with Shown(screen(server, region=(320, 200, 400, 0))) as shown:
        assert shown.fails() == (
            f"the region 320x200+400+0 is not all on the screen: display {server.display} is 640x360"
        )


@pytest.fixture
def _two_monitors(server: XServer) -> Iterator[None]:
    """Xvfb has one; a cable is not needed to divide it."""
    display = server.connect()
    (whole,) = randr.get_monitors(display.screen().root).monitors
    set_monitor(display, "LEFT-1", (0, 0, 320, 360), whole.crtcs)
    set_monitor(display, "RIGHT-1", (320, 0, 320, 360), [], primary=True)
    yield
    for name in ("LEFT-1", "RIGHT-1"):
        delete_monitor(display, name)
    display.close()


@pytest.mark.usefixtures("_window", "_two_monitors")
def test_monitors_by_number_name_and_rank(server: XServer) -> None:
    left = {(158, 100): BLACK, (162, 92): RED, (318, 92): RED, (162, 267): BLUE}
    right = {(1, 92): GREEN, (157, 267): YELLOW, (162, 100): BLACK}
    for monitor, expected in ((1, left), (2, right), ("LEFT-1", left), ("RIGHT-1", right), ("primary", right)):
        with Shown(screen(server, monitor=monitor), 320, 360) as shown:
            shown.wait(expected)
    with Shown(screen(server, monitor="HDMI-1")) as shown:
        there = "1: LEFT-1 (320x360+0+0), 2: RIGHT-1 (320x360+320+0)"
        assert shown.fails() == f"display {server.display} has no monitor HDMI-1; it has {there}"


def test_the_pointer_is_seen_if_that_is_wanted_and_a_region_follows_it(server: XServer) -> None:
    def pointed(display_x: int, display_y: int) -> None:
        root.warp_pointer(display_x, display_y)
        display.sync()

    display = server.connect()
    root = display.screen().root
    pointed(400, 300)
    with (
        Program(server, "grey", at=(0, 0), size=(640, 360), colours=(GREY, GREY, GREY, WHITE)),
        Shown(screen(server)) as without,
        Shown(ScreenLive(display=server.display, xauthority=str(server.xauthority))) as with_pointer,
        Shown(screen(server, region=(64, 64, 0, 0), follow_mouse=True), 64, 64) as following,
    ):
        # Nobody has given it a shape: it is X11's black cross, whose middle lies where it points.
        with_pointer.wait({(400, 300): BLACK, (380, 300): WHITE, (10, 10): GREY})
        without.wait({(400, 300): WHITE})
        following.wait({(1, 1): WHITE, (62, 62): WHITE})
        pointed(320, 180)
        following.wait({(1, 1): GREY, (62, 1): GREY, (1, 62): GREY, (62, 62): WHITE})
        with_pointer.wait({(400, 300): WHITE})
    display.close()


def test_two_streams_have_one_grab(server: XServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Main and sub, each in a thread as a pipeline has it: as many grabs as the faster one has frames."""
    grabbed: list[Picture] = []
    grab = Grabber.grab

    def counted(self: Grabber, now_ns: int, buffers: Buffers) -> Picture:
        grabbed.append(grab(self, now_ns, buffers))
        return grabbed[-1]

    monkeypatch.setattr(Grabber, "grab", counted)
    ended = threading.Event()
    asked = {30: 0, 15: 0}

    def watch(width: int, height: int, fps: int) -> None:
        pictures = open_pictures(
            screen(server), PLACE, VideoSpec(width=width, height=height, fps=fps), time.monotonic_ns()
        )
        while not ended.wait(1 / fps):
            asked[fps] += pictures.picture(asked[fps], time.monotonic_ns()) is not None
        pictures.close()

    threads = [threading.Thread(target=watch, args=size) for size in ((640, 360, 30), (320, 180, 15))]
    for thread in threads:
        thread.start()
    wait_for(lambda: asked[15] >= 15, 10.0)
    ended.set()
    for thread in threads:
        thread.join()
    assert asked[30] > 20
    assert 0.8 * asked[30] < len(grabbed) < 1.2 * asked[30] + 2


def test_a_grab_is_of_now(server: XServer) -> None:
    """FFmpeg must not have taken some in advance."""
    source, area, buffers = screen(server, region=(64, 36, 0, 0)), Area(64, 36), Buffers()
    with Program(server, "", size=(64, 36)) as program:
        grabber = Grabber(source, area)
        for _ in range(3):
            program.colours = (*program.colours[1:], program.colours[0])
            program.paint()
            luma = grabber.grab(0, buffers).samples[[2, 2, 34, 34], [2, 60, 2, 60]]
            assert luma.tolist() == [YUV[colour][0] for colour in program.colours]
        grabber.close()


def test_at_most_so_many_pictures_are_taken(server: XServer) -> None:
    with Shown(screen(server, max_fps=5)) as shown:
        shown.wait({(1, 1): BLACK})
        frames = [shown.pictures.picture(0, time.monotonic_ns())]
        start = time.monotonic()
        while len(frames) < 5:
            frame = shown.pictures.picture(0, time.monotonic_ns())
            if frame is not frames[-1]:
                frames.append(frame)
        assert time.monotonic() - start > 3 / 5


@pytest.mark.filterwarnings("ignore:unclosed <socket")  # python-xlib, where it is refused
def test_why_there_is_no_display(server: XServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
    with Shown(ScreenLive(display=":6300")) as nobody:
        assert "no X server at display :6300" in nobody.fails()
    (tmp_path / "empty").touch()
    with Shown(ScreenLive(display=server.display, xauthority=str(tmp_path / "empty"))) as locked_out:
        assert "xhost +si:localuser:" in locked_out.fails()
    monkeypatch.setenv("XDG_SESSION_TYPE", "wayland")
    with Shown(ScreenLive(display=":6300")) as wayland:
        assert 'What works: a session of the kind "Xorg"' in wayland.fails()


def test_a_thread_that_was_told_of_no_keys_has_the_usual(server: XServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other code of the process may use python-xlib too, as the benchmark's painter does."""
    monkeypatch.setattr(connection, "_as_started", str(server.xauthority))
    with ThreadPoolExecutor(1) as another:
        assert another.submit(xauth.Xauthority).result().entries


def test_the_desktop_of_a_wayland_session_is_not_waited_for(server: XServer) -> None:
    """What tells Xwayland from an X server: the names of its monitors, and that somebody else puts windows together."""
    with Program(server, "compositor") as compositor:
        display = compositor.display
        set_monitor(display, "XWAYLAND0", (0, 0, 640, 360), [])
        compositor.window.set_selection_owner(display.intern_atom("_NET_WM_CM_S0"), X.CurrentTime)
        display.sync()
        with Shown(screen(server)) as shown:
            assert "is the Xwayland of a Wayland session" in shown.fails()
        delete_monitor(display, "XWAYLAND0")


def test_a_server_that_freezes_dies_and_is_started_again(tmp_path: Path) -> None:
    """Of 16 bits, which takes the other way through the converter."""
    with XServer(tmp_path, depth=16) as server:
        white_and_red = (WHITE, WHITE, RED, RED)
        with Program(server, "", size=(640, 360), colours=white_and_red), Shown(screen(server)) as shown:
            shown.wait({(10, 10): WHITE, (10, 300): RED}, by=8)
            server.freeze()
            shown.wait_for_absence("no picture for 1.5 seconds")
            server.thaw()
            shown.wait({(10, 10): WHITE}, by=8)
            server.kill()
            assert f"the X server at display {server.display} has gone" in shown.fails()
        server.start()
        with Shown(screen(server)) as again:
            again.wait({(10, 10): BLACK})


def test_a_server_that_hangs_keeps_nobody_from_another(server: XServer, tmp_path: Path) -> None:
    with XServer(tmp_path) as hung:
        hung.freeze()
        with Shown(screen(hung)) as nothing:
            with Shown(screen(server)) as shown:
                shown.wait({(1, 1): BLACK})
            assert nothing.samples() is None
            hung.thaw()
            nothing.wait({(1, 1): BLACK})


def test_one_that_hangs_while_ffmpeg_connects_is_named(server: XServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TURN_S", 0.01)
    with connection.authority(":63", ""), Shown(screen(server)) as shown:
        assert "while the X server at display :63 does not answer" in shown.fails()
    with Shown(screen(server)) as again:
        again.wait({(1, 1): BLACK})
