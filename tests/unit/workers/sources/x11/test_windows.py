"""Windows that are moved, resized, covered, hidden, renamed and destroyed: their colours prove what is shown."""

import random
from typing import Any
from unittest.mock import Mock

import pytest
from camfleet.core.wire import WindowLive
from camfleet.workers.sources.x11.capture import Grabber
from Xlib import X, Xatom

from tests.kit.shown import Shown
from tests.kit.x11 import BLUE, GREEN, GREY, RED, WHITE, YELLOW, Program, XServer

ALL = {(2, 2): RED, (197, 2): GREEN, (2, 117): BLUE, (197, 117): YELLOW}


def shown(server: XServer, width: int = 200, height: int = 120, **wanted: Any) -> Shown:
    return Shown(
        WindowLive(display=server.display, xauthority=str(server.xauthority), cursor=False, **wanted),
        width,
        height,
    )


def test_a_window_is_found_by_title_program_and_number(server: XServer) -> None:
    with Program(server, "Report \N{EN DASH} Editor", at=(50, 50), name="Xeditor") as program:
        for wanted in (
            {"title": "Report"},
            {"title": "\N{EN DASH} Ed"},
            {"title": "Report \N{EN DASH} Editor", "exact": True},
            {"program": "xEDITOR"},
            {"id": program.id},
            {"id": program.id, "title": "Report", "program": "xeditor"},
        ):
            with shown(server, **wanted) as found:
                found.wait(ALL)
        for wanted, text in (
            ({"title": "report"}, 'no window with "report" in its title'),
            ({"title": "Report", "exact": True}, 'no window titled "Report"'),
            ({"program": "edit"}, "no window of the program edit"),
            ({"id": 0x123456}, "no window 0x123456"),
            ({"id": program.id, "title": "Letter"}, 'with "Letter" in its title'),
        ):
            with shown(server, **wanted) as missing:
                missing.wait_for_absence(text)


def test_a_title_that_xdotool_has_set(server: XServer) -> None:
    """_NET_WM_NAME and WM_NAME, both of the type STRING."""
    with Program(server, "before") as program:
        program.window.delete_property(program.display.intern_atom("_NET_WM_NAME"))
        for name in (program.display.intern_atom("_NET_WM_NAME"), Xatom.WM_NAME):
            program.window.change_property(name, Xatom.STRING, 8, b"Report 2")
        program.display.sync()
        with shown(server, title="Report") as found:
            found.wait(ALL)


def test_an_old_program_has_a_title_in_latin_1(server: XServer) -> None:
    with Program(server, "") as program:
        program.window.delete_property(program.display.intern_atom("_NET_WM_NAME"))
        program.window.change_property(Xatom.WM_NAME, Xatom.STRING, 8, "Übersicht".encode("latin-1"))
        program.display.sync()
        with shown(server, title="Übersicht") as found:
            found.wait(ALL)


def test_it_is_followed_wherever_it_goes(server: XServer) -> None:
    with Program(server, "moved") as program, shown(server, title="moved") as window:
        for at in ((0, 0), (400, 200), (-100, -60), (600, 340), (20, 10)):
            program.move(*at)
            program.colours = (*program.colours[1:], program.colours[0])
            program.paint()
            window.wait(dict(zip(ALL, program.colours, strict=True)), meanwhile=program.answer)


def test_it_is_seen_behind_other_windows(server: XServer) -> None:
    with Program(server, "below", at=(100, 100)) as below, shown(server, title="below") as window:
        window.wait(ALL)
        with Program(server, "above", at=(90, 90), size=(300, 200), colours=(WHITE,) * 4):
            below.colours = (GREY, RED, GREEN, BLUE)
            below.paint()
            window.wait({(2, 2): GREY, (197, 2): RED, (2, 117): GREEN, (197, 117): BLUE}, meanwhile=below.answer)


def test_one_that_was_behind_another_at_the_start_too(server: XServer) -> None:
    with (
        Program(server, "below", at=(100, 100)) as below,
        Program(server, "above", at=(90, 90), size=(300, 200), colours=(WHITE,) * 4),
        shown(server, title="below") as window,
    ):
        window.wait(ALL, meanwhile=below.answer)


def test_it_may_have_any_size_while_the_stream_keeps_its_own(server: XServer) -> None:
    with Program(server, "resized", at=(10, 10)) as program, shown(server, title="resized") as window:
        window.wait(ALL)
        program.resize(100, 60)  # the same shape, scaled
        window.wait({(5, 5): RED, (194, 5): GREEN, (5, 114): BLUE, (194, 114): YELLOW}, program.answer)
        program.resize(301, 60)  # odd, and wider: bars above and below
        window.wait({(2, 30): 0, (2, 42): RED, (197, 78): YELLOW, (197, 90): 0}, program.answer)
        program.resize(1, 1)
        window.wait_for_absence("is only 1x1")
        program.resize(200, 120)
        window.wait(ALL, program.answer)


def test_what_ffmpeg_cannot_grab_is_told(server: XServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window without pixels, by its number; and one that is whole, but grabbed no more."""
    display = server.connect()
    window = display.screen().root.create_window(0, 0, 200, 120, 0, 0, X.InputOnly, X.CopyFromParent)
    window.map()
    display.sync()
    with shown(server, id=window.id) as found:
        found.wait_for_absence("it cannot be captured: ")
    display.close()
    with Program(server, "grabbed") as program, shown(server, title="grabbed") as seen:
        seen.wait(ALL, program.answer)
        monkeypatch.setattr(Grabber, "grab", Mock(side_effect=ValueError("x11grab has ended")))
        seen.wait_for_absence("it cannot be captured: x11grab has ended")
        monkeypatch.undo()
        seen.wait(ALL, program.answer)


def test_a_window_that_is_dragged_larger_and_smaller_all_the_time(server: XServer) -> None:
    sizes = random.Random(1)
    with Program(server, "dragged", at=(10, 10)) as program, shown(server, title="dragged") as window:
        window.wait(ALL)

        def drag() -> None:
            program.resize(sizes.randrange(150, 250), sizes.randrange(90, 150))

        seen = 0
        for _ in range(60):
            drag()
            seen += window.colour(100, 60) is not None
        program.resize(200, 120)
        window.wait(ALL, program.answer)
        assert seen == 60  # never a picture of nothing


def test_destroyed_it_is_gone_and_the_next_of_its_name_takes_its_place(server: XServer) -> None:
    with shown(server, title="phoenix") as window:
        window.wait_for_absence('no window with "phoenix" in its title')
        for colours in ((RED, GREEN, BLUE, YELLOW), (YELLOW, BLUE, GREEN, RED)):
            with Program(server, "phoenix", size=(200, 120), colours=colours) as program:
                window.wait(dict(zip(ALL, colours, strict=True)), program.answer)
                program.destroy()
                window.wait_for_absence("no window")


def test_hidden_it_is_not_shown(server: XServer) -> None:
    with Program(server, "hidden", shown=False) as program, shown(server, title="hidden") as window:
        window.wait_for_absence('"hidden" in its title is minimised, or on another workspace')
        program.show()
        window.wait(ALL, program.answer)
        program.hide()
        window.wait_for_absence("minimised")
        program.show()
        window.wait(ALL, program.answer)


def test_a_frame_that_is_hidden_hides_what_is_in_it(server: XServer) -> None:
    """As some window managers minimise."""
    with (
        Program(server, "", size=(220, 140)) as frame,
        Program(server, "framed", parent=frame.id) as program,
        shown(server, title="framed") as window,
    ):
        window.wait(ALL, program.answer)
        frame.hide()
        window.wait_for_absence("minimised")
        frame.show()
        program.paint()
        window.wait(ALL, program.answer)


def test_renamed_it_is_another_window(server: XServer) -> None:
    with Program(server, "public") as program, shown(server, title="public") as window:
        window.wait(ALL)
        program.rename("private")
        window.wait_for_absence("no window")
        program.rename("public again")
        window.wait(ALL, program.answer)


def test_of_several_the_topmost_is_taken_and_kept(server: XServer) -> None:
    with (
        Program(server, "twin 1") as first,
        Program(server, "twin 2", colours=(WHITE,) * 4) as second,
        shown(server, title="twin") as window,
    ):
        window.wait({(2, 2): WHITE})
        first.to_the_top()
        window.wait({(2, 2): WHITE}, second.answer)
        second.hide()
        window.wait({(2, 2): RED}, first.answer)


def test_what_the_window_manager_lists_is_what_counts(server: XServer) -> None:
    with (
        Program(server, "panel of a window manager") as panel,
        Program(server, "a real window", colours=(WHITE,) * 4) as real,
        shown(server, title="window") as window,
    ):
        panel.to_the_top()
        root = panel.display.screen().root
        listed = panel.display.intern_atom("_NET_CLIENT_LIST")
        root.change_property(listed, Xatom.WINDOW, 32, [real.id])
        panel.display.sync()
        try:
            window.wait({(2, 2): WHITE}, real.answer)
        finally:
            root.delete_property(listed)
            panel.display.sync()


@pytest.mark.parametrize("depth", [32])
def test_a_window_with_an_alpha_channel(server: XServer, depth: int) -> None:
    display = server.connect()
    screen = display.screen()
    visual = next(visual.visual_id for each in screen.allowed_depths if each.depth == depth for visual in each.visuals)
    window = screen.root.create_window(
        0, 0, 200, 120, 0, depth, X.InputOutput, visual, background_pixel=0x8000FF00, border_pixel=0,
        colormap=screen.root.create_colormap(visual, X.AllocNone),
    )  # fmt: skip
    window.set_wm_name("translucent")
    window.map()
    display.sync()
    with shown(server, title="translucent") as found:
        found.wait({(100, 60): GREEN})
    display.close()
