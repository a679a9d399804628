"""Decoded pictures for streams to share: their colours, their sides, and what damage costs."""

from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame
from camfleet.workers.codecs import AccessUnit
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.decoded import MAX_DAMAGED, PictureCopier, UnitDecoder

BT709, UNSPECIFIED, SMPTE170M = 1, 2, 6
LIMITED, FULL = 1, 2
RED_601, RED_709 = (81, 90, 240), (62, 102, 239)


def plain(colour: tuple[int, int, int], width: int, height: int, matrix: int, range_: int = LIMITED) -> VideoFrame:
    frame = VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, colour, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range = matrix, range_
    return frame


@pytest.mark.parametrize(
    ("matrix", "height", "colour"),
    [
        (SMPTE170M, 360, RED_709),
        (SMPTE170M, 1080, RED_709),
        (BT709, 360, RED_601),  # as it is
        (UNSPECIFIED, 360, RED_709),  # players assume BT.601 below 720 lines
        (UNSPECIFIED, 720, RED_601),
    ],
)
def test_the_matrix_becomes_that_of_bt_709(matrix: int, height: int, colour: tuple[int, int, int]) -> None:
    picture = PictureCopier().copy(plain(RED_601, 320, height, matrix), 7)
    assert picture.capture_ns == 7
    assert picture.samples.shape == (height * 3 // 2, 320)
    chroma = picture.samples[height:].reshape(2, -1)
    assert (picture.samples[0, 0], chroma[0, 0], chroma[1, 0]) == colour
    assert np.ptp(picture.samples[:height]) == np.ptp(chroma[0]) == np.ptp(chroma[1]) == 0


def test_full_range_becomes_limited() -> None:
    """Webcams and MJPEG cameras send it."""
    picture = PictureCopier().copy(plain((255, 128, 128), 64, 64, BT709, FULL), 0)
    assert picture.samples[0, 0] == 235


@pytest.mark.parametrize(("width", "height", "shape"), [(161, 91, (135, 160)), (3, 3, (3, 2)), (160, 90, (135, 160))])
def test_sides_become_even(width: int, height: int, shape: tuple[int, int]) -> None:
    picture = PictureCopier().copy(plain(RED_709, width, height, BT709), 0, Fraction(4, 3))
    assert picture.samples.shape == shape
    assert picture.pixel_aspect == Fraction(4, 3)
    assert (picture.samples[: shape[0] * 2 // 3] == RED_709[0]).all()


def test_damage_is_counted_and_does_not_go_on_for_ever() -> None:
    decoder = UnitDecoder("h264")
    damaged = AccessUnit(b"\0\0\0\1\x65\x80" + b"\xff" * 50, 0, True)
    assert not any(decoder.decode(damaged) for _ in range(MAX_DAMAGED))
    assert decoder.skipped > 0
    with pytest.raises(SourceError, match="the stream is damaged"):
        decoder.decode(damaged)
