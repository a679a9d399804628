"""Against a plain version in floating point, and against FFmpeg's scaler, which everybody else uses."""

from collections.abc import Iterator

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from camfleet.core.video.bgrx import i420_from_bgrx, vectors
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@pytest.fixture(params=["the processor's best", "plain"])
def both_versions(request: pytest.FixtureRequest) -> Iterator[None]:
    vectors(plain=request.param == "plain")
    yield
    vectors(plain=False)


def converted(pixels: Bytes, width: int = 0, height: int = 0) -> Bytes:
    """`pixels`: height x width x 4; for a smaller picture a corner of them."""
    height, width = height or pixels.shape[0], width or pixels.shape[1]
    guarded = np.full(height * 3 // 2 * width + 64, 7, np.uint8)
    samples = guarded[32:-32].reshape(height * 3 // 2, width)
    i420_from_bgrx(pixels.reshape(-1), pixels.shape[1] * 4, samples)
    assert set(guarded[:32]) == set(guarded[-32:]) == {7}
    return samples


def reference(pixels: Bytes) -> NDArray[np.float64]:
    """ITU-T H.273 for BT.709, limited range; the mean of four pixels for chroma."""
    height, width = pixels.shape[:2]

    def yuv(bgr: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        b, g, r = (bgr[..., plane] / 255 for plane in range(3))
        y = 0.2126 * r + 0.7152 * g + 0.0722 * b
        return [16 + 219 * y, 128 + 224 * (b - y) / 1.8556, 128 + 224 * (r - y) / 1.5748]

    luma, _, _ = yuv(pixels.astype(np.float64))
    means = pixels.reshape(height // 2, 2, width // 2, 2, 4).astype(np.float64).mean((1, 3))
    _, cb, cr = yuv(means)
    return np.concatenate([luma.ravel(), cb.ravel(), cr.ravel()]).reshape(height * 3 // 2, width)


def noise(height: int, width: int) -> Bytes:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 4), np.uint8)


@pytest.mark.usefixtures("both_versions")
@pytest.mark.parametrize(
    ("height", "width"), [(2, 2), (2, 30), (4, 32), (6, 34), (2, 62), (2, 64), (36, 1366), (10, 98), (64, 4)]
)
def test_every_width_is_right_to_half_a_level(height: int, width: int) -> None:
    pixels = noise(height, width)
    assert np.abs(converted(pixels) - reference(pixels)).max() < 0.52


@pytest.mark.usefixtures("both_versions")
def test_pure_colours_reach_the_ends_of_their_ranges_and_none_beyond() -> None:
    """The eight corners of the cube, for each the samples that H.273 gives."""
    expected = {
        (0, 0, 0): (16, 128, 128), (255, 255, 255): (235, 128, 128), (255, 0, 0): (32, 240, 118),
        (0, 255, 0): (173, 42, 26), (0, 0, 255): (63, 102, 240), (255, 255, 0): (188, 154, 16),
        (0, 255, 255): (219, 16, 138), (255, 0, 255): (78, 214, 230),
    }  # fmt: skip
    for bgr, yuv in expected.items():
        for ignored in (0, 255):
            pixels = np.empty((2, 64, 4), np.uint8)
            pixels[:] = (*bgr, ignored)
            samples = converted(pixels)
            assert {*samples[:2].ravel()} == {yuv[0]}
            assert {*samples[2, :32]} == {yuv[1]}
            assert {*samples[2, 32:]} == {yuv[2]}


@pytest.mark.usefixtures("both_versions")
def test_grey_has_no_colour() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(1, 256, 4).repeat(2, 0)
    assert set(converted(grey)[2:].ravel()) == {128}


@pytest.mark.usefixtures("both_versions")
def test_a_corner_of_a_larger_screen() -> None:
    pixels = noise(40, 101)
    samples = converted(pixels, width=66, height=20)
    assert np.array_equal(samples, converted(np.ascontiguousarray(pixels[:20, :66])))


def test_vectors_and_plain_code_agree_on_every_sample() -> None:
    pixels = noise(128, 256)
    vectors(plain=True)
    plain = converted(pixels)
    vectors(plain=False)
    assert np.array_equal(plain, converted(pixels))


def test_it_is_as_near_to_the_standard_as_swscale() -> None:
    pixels = noise(180, 320)
    frame = VideoReformatter().reformat(
        VideoFrame.from_ndarray(pixels, "bgra"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.AREA,
        threads=1,
    )
    theirs, ours, exact = np.asarray(frame.to_ndarray(), np.uint8), converted(pixels), reference(pixels)
    assert psnr(ours, exact) >= psnr(theirs, exact)
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def psnr(samples: Bytes, exact: NDArray[np.float64]) -> float:
    return float(10 * np.log10(255**2 / np.mean((samples - exact) ** 2)))


@pytest.mark.parametrize(
    ("size", "stride", "shape"),
    [
        (63, 16, (6, 4)),  # a byte too few
        (64, 15, (6, 4)),
        (64, 16, (6, 3)),
        (64, 16, (5, 4)),
        (64, 16, (3, 8)),
        (64, 16, (0, 4)),
        (64, 16, (6, 0)),
        (64, 2**40, (6, 4)),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(size: int, stride: int, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"samples|fewer"):
        i420_from_bgrx(bytes(size), stride, np.empty(shape, np.uint8))


def test_the_last_line_needs_no_more_than_its_pixels() -> None:
    i420_from_bgrx(bytes(3 * 20 + 16), 20, np.empty((6, 4), np.uint8))
