from fractions import Fraction

import numpy as np
import pytest
from camfleet.workers.sources.letterbox import BLACK, NEUTRAL, Letterbox
from camfleet.workers.sources.planes import frame_over, new_picture, planes


@pytest.mark.parametrize("size", [(160, 90), (162, 94), (64, 64), (1366, 770)])
def test_a_picture_of_any_even_size_is_written_by_its_planes(size: tuple[int, int]) -> None:
    width, height = size
    frame, samples = new_picture(width, height)
    assert (frame.width, frame.height) == size
    for plane, value in zip(samples, (100, 110, 120), strict=True):
        plane[:] = value
    pixels = np.asarray(frame.to_ndarray())
    assert (pixels[:height] == 100).all()
    assert (pixels[height:].ravel()[: width * height // 4] == 110).all()
    assert (pixels[height:].ravel()[width * height // 4 :] == 120).all()


@pytest.mark.parametrize("size", [(160, 90), (162, 92), (2, 2), (1366, 768)])
def test_samples_of_any_even_size_become_a_frame(size: tuple[int, int]) -> None:
    width, height = size
    samples = np.random.default_rng(1).integers(0, 256, (height * 3 // 2, width), np.uint8)
    frame = frame_over(samples)
    assert (frame.width, frame.height) == size
    assert np.array_equal(frame.to_ndarray(), samples)


@pytest.mark.parametrize(
    ("size", "fitted"), [((160, 90), (160, 90)), ((176, 90), (160, 90)), ((90, 160), (90, 52)), ((160, 98), (160, 90))]
)
def test_black_bars_are_beside_a_fitted_picture_and_nowhere_else(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    frame, samples = new_picture(640, 360)
    for plane, value in zip(samples, (200, 90, 170), strict=True):
        plane[:] = value
    luma, cb, cr = planes(Letterbox(*size).fit(frame, Fraction(1)))
    assert luma.shape == size[::-1]
    picture = luma == 200
    assert (picture.any(axis=0).sum(), picture.any(axis=1).sum()) == fitted
    assert ((luma == BLACK) == ~picture).all()
    for plane, value in ((cb, 90), (cr, 170)):
        assert ((plane == value) == picture[::2, ::2]).all()
        assert ((plane == NEUTRAL) == ~picture[::2, ::2]).all()
