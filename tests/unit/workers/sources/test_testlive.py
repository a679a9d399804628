import time
from itertools import pairwise

import numpy as np
import pytest
from camfleet.bench.macro.ocr import read_lines, text_box
from camfleet.core.wire import VideoSpec
from camfleet.workers.encoders import open_encoder
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.font import glyph
from camfleet.workers.sources.testlive import BARS, GREY, WHITE, TestPattern
from numpy.typing import NDArray

from tests.kit.clips import decode

NS_PER_S = 1_000_000_000
UNIX_S = 1_780_000_000
SIZES = [(1280, 720), (1920, 1080), (640, 360), (320, 180), (160, 90), (720, 1280), (1366, 768)]
TITLE = "ipc1-stream1"


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()


def lines(luma: NDArray[np.uint8]) -> list[str]:
    """Title, wall clock, frame number."""
    height, width = luma.shape
    rows, columns, scale = text_box(width, height)
    return read_lines(luma[rows, columns], scale)


def luma_of(pattern: TestPattern, number: int, capture_ns: int) -> NDArray[np.uint8]:
    picture = pattern.picture(number, capture_ns)
    return np.asarray(picture.to_ndarray()[: picture.height], np.uint8).copy()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_title_wall_clock_and_number_can_be_read(width: int, height: int) -> None:
    pattern = TestPattern(TITLE, width, height, unix_offset_ns=UNIX_S * NS_PER_S)
    assert lines(luma_of(pattern, 41, 0)) == [TITLE, "2026-05-28 22:26:40.000", "frame 41"]
    picture = pattern.picture(41, 0)
    assert (picture.width, picture.height) == (width, height)
    # What changes replaces what stood there, digit by digit.
    assert lines(luma_of(pattern, 9, 7_089_999_999)) == [TITLE, "2026-05-28 22:26:47.089", "frame 9"]


def test_the_text_survives_the_encoder() -> None:
    pattern = TestPattern(TITLE, 640, 360, UNIX_S * NS_PER_S)
    encoder = open_encoder(VideoSpec(width=640, height=360, bitrate_bps=500_000, encoder="x264"), pattern.colours)
    units = []
    for number in range(30):
        capture_ns = number * NS_PER_S // 30
        units += encoder.encode(pattern.picture(number, capture_ns), number, capture_ns, False)
    pictures = decode([bytes(unit.data) for unit in units])
    assert len(pictures) == 30
    for number, picture in enumerate(pictures):
        read = lines(np.asarray(picture.to_ndarray()[:360], np.uint8))
        assert read == [TITLE, f"2026-05-28 22:26:40.{number * 1000 // 30:03d}", f"frame {number}"]


def test_bars_in_their_colours() -> None:
    pixels = TestPattern(TITLE, 640, 360, 0).picture(0, 0).to_ndarray()
    chroma = pixels[360:].reshape(2, 180, 320)
    for index, (y, cb, cr) in enumerate(BARS):
        x = 640 * index // 8 + 40
        assert (pixels[10, x], chroma[0, 5, x // 2], chroma[1, 5, x // 2]) == (y, cb, cr)


def test_the_block_moves_by_time_and_leaves_no_trace() -> None:
    pattern = TestPattern(TITLE, 640, 360, 0)
    lefts = []
    for tenth in range(40):
        strip = luma_of(pattern, tenth, tenth * NS_PER_S // 10)[-1]
        white = np.flatnonzero(strip == WHITE)
        assert len(white) == 46  # a square: an eighth of the height
        assert white[-1] - white[0] == 45
        assert (np.delete(strip, white) == GREY).all()
        lefts.append(int(white[0]))
    assert lefts[0] == 0
    assert all(13 <= after - before <= 16 for before, after in pairwise(lefts))
    assert np.array_equal(luma_of(pattern, 0, 4 * NS_PER_S)[-1], luma_of(pattern, 0, 8 * NS_PER_S)[-1])


def test_small_and_odd_sizes() -> None:
    assert TestPattern("a title that is longer than the picture", 64, 64, 0).picture(0, 0).width == 64
    for width, height in [(62, 64), (64, 62), (641, 360), (640, 361)]:
        with pytest.raises(SourceError, match=f"{width}x{height}"):
            TestPattern(TITLE, width, height, 0)


def test_every_character_differs_and_strangers_become_a_question_mark() -> None:
    glyphs = {glyph(chr(code), 1, 1, 0).tobytes() for code in range(ord(" "), ord("~") + 1)}
    assert len(glyphs) == 95
    assert glyph("é", 2, 9, 4).tobytes() == glyph("?", 2, 9, 4).tobytes()
