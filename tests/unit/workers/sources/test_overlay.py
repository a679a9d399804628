import time
from itertools import pairwise

import numpy as np
import pytest
from av.video.frame import VideoFrame
from camfleet.core.wire import OverlaySpec
from camfleet.workers.sources import Overlay, SourceError
from camfleet.workers.sources import overlay as module
from camfleet.workers.sources.planes import new_picture, planes
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 360
NS_PER_S = 1_000_000_000
NOON_NS = 1_780_056_000 * NS_PER_S  # 12:00:00 UTC
POSITIONS = ("top-left", "top", "top-right", "bottom-left", "bottom", "bottom-right")


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def ground(value: int = 100) -> VideoFrame:
    frame, samples = new_picture(WIDTH, HEIGHT)
    for plane in samples:
        plane[:] = value
    return frame


def overlay(*specs: OverlaySpec, name: str = "Lobby") -> Overlay:
    return Overlay(specs, WIDTH, HEIGHT, name, NOON_NS)


def painted(over: Overlay, at_ns: int = 0, frame: VideoFrame | None = None) -> NDArray[np.uint8]:
    """The samples, after which the picture is as it was."""
    frame = frame or ground()
    before = frame.to_ndarray().copy()
    result = np.array(over.paint(frame, at_ns, None).to_ndarray(), np.uint8)
    over.restore()
    assert (frame.to_ndarray() == before).all()
    return result


def extent(samples: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what is not ground, in luma."""
    rows, columns = np.nonzero(samples[:HEIGHT] != 100)
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


@pytest.mark.parametrize("position", POSITIONS)
def test_it_stands_where_it_is_to_stand(position: str) -> None:
    top, bottom, left, right = extent(painted(overlay(OverlaySpec(text="{camera}", position=position, size=0.1))))
    assert bottom - top == 36
    assert (top < HEIGHT / 4) == position.startswith("top")
    assert (HEIGHT - bottom < HEIGHT / 4) == position.startswith("bottom")
    middle = (left + right) / 2
    if position.endswith("left"):
        assert left == 10
    elif position.endswith("right"):
        assert WIDTH - right == 10
    else:
        assert abs(middle - WIDTH / 2) <= 2


def test_colours_and_opacities() -> None:
    """White on an opaque red box, in all three planes; BT.709 in limited range."""
    samples = painted(overlay(OverlaySpec(text="I", size=0.5, colour=0xFFFFFFFF, box=0xFF0000FF)))
    luma, chroma = samples[:HEIGHT], samples[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    assert (luma[12, 12], chroma[0, 6, 6], chroma[1, 6, 6]) == (63, 102, 240)
    assert luma.max() == 235
    half = painted(overlay(OverlaySpec(text=" ", size=0.5, box=0x00000080)))
    assert abs(int(half[12, 12]) - (100 + 16) / 2) <= 1
    assert (painted(overlay(OverlaySpec(text=" ", box=0))) == 100).all()


def test_full_white_over_full_white_does_not_wrap_around() -> None:
    for box in (0, 0xFFFFFF80, 0xFFFFFFFF):
        samples = painted(overlay(OverlaySpec(text="mmm", size=0.3, box=box)), frame=ground(255))
        assert samples[:HEIGHT].min() >= 230


def test_a_clock_that_ticks_is_what_a_new_one_shows() -> None:
    spec = OverlaySpec(text="{camera} %Y-%m-%d %H:%M:%S.{ms}", size=0.08)
    over = overlay(spec)
    seen = []
    for at_ns in (0, 40_000_000, NS_PER_S, 59 * NS_PER_S, 3600 * NS_PER_S, 86_400 * NS_PER_S):
        seen.append(painted(over, at_ns))
        assert (seen[-1] == painted(overlay(spec), at_ns)).all()
    assert all((earlier != later).any() for earlier, later in pairwise(seen))


def test_the_name_is_no_format_and_percent_signs_can_be_written() -> None:
    same = painted(overlay(OverlaySpec(text="100% 50%"), name=""))
    assert (painted(overlay(OverlaySpec(text="{camera}"), name="100% 50%")) == same).all()
    assert (painted(overlay(OverlaySpec(text="100%% 50%%"))) == same).all()


def test_lines_at_one_place_stand_below_each_other_and_those_without_room_are_left_out() -> None:
    one = extent(painted(overlay(OverlaySpec(text="one", size=0.1))))
    two = extent(painted(overlay(OverlaySpec(text="one", size=0.1), OverlaySpec(text="two", size=0.1))))
    assert two[1] - one[1] == 36
    many = extent(painted(overlay(*[OverlaySpec(text="one", size=0.3)] * 8)))
    assert many[1] <= HEIGHT


def test_text_wider_than_the_picture_is_cut_off() -> None:
    _, _, left, right = extent(painted(overlay(OverlaySpec(text="1234567890" * 12, size=0.2))))
    assert 0 < left < right < WIDTH


def test_a_picture_that_others_see_is_never_touched() -> None:
    frame = ground()
    samples = np.array(frame.to_ndarray(), np.uint8)
    shown = overlay(OverlaySpec(text="x", size=0.3)).paint(frame, 0, samples)
    assert (frame.to_ndarray() == 100).all()
    assert (samples == 100).all()
    assert (planes(shown).luma != 100).any()


def test_each_picture_that_others_see_is_shown_under_the_text() -> None:
    over = overlay(OverlaySpec(text="x", size=0.3))
    for value in (100, 50):
        frame = ground(value)
        shown = over.paint(frame, 0, np.array(frame.to_ndarray(), np.uint8))
        assert (planes(shown).luma[-1] == value).all()


def test_lines_over_one_another_leave_the_picture_as_it_was() -> None:
    specs = (OverlaySpec(text="mm", size=0.5, position=position, box=0xFF0000FF) for position in ("top", "bottom"))
    painted(overlay(*specs))


def test_letters_are_kept_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 4)
    over, spec = overlay(OverlaySpec(text="%S.{ms}")), OverlaySpec(text="%S.{ms}")
    for number in range(30):
        at_ns = number * 1_023_000_000
        assert (painted(over, at_ns) == painted(overlay(spec), at_ns)).all()
        assert len(over._lines[0]._set) <= 4


def test_a_file_that_is_no_font_is_named() -> None:
    with pytest.raises(SourceError, match=r"/proc/self/status cannot be used as a font"):
        overlay(OverlaySpec(text="x", font="/proc/self/status"))


def test_without_dejavu_accents_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camfleet.workers.sources.lettering.FACES", ())
    bare = painted(overlay(OverlaySpec(text="Sud ?")))
    assert (painted(overlay(OverlaySpec(text="Süd 你"))) == bare).all()
