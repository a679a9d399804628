"""A 1080p screen to YUV 4:2:0, by us and by swscale; decision 25. CPU time: of a machine that does other things, too.

swscale's area averaging is the kind that agrees with ours to one level; what is faster takes chroma from fewer pixels.
"""

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from camfleet.core.video.bgrx import i420_from_bgrx, vectors
from pytest_benchmark.fixture import BenchmarkFixture

WIDTH, HEIGHT = 1920, 1080
SIZES = {"1080p": (WIDTH, HEIGHT), "720p": (1280, 720), "360p": (640, 360)}
# Three, as no grab lies in the processor's cache, and something of a screen: areas, and noise for text.
RANDOM = np.random.default_rng(1)
SCREENS = [np.full((HEIGHT, WIDTH, 4), 230, np.uint8) for _ in range(3)]
for screen in SCREENS:
    screen[200:800, 300:1500] = RANDOM.integers(0, 256, (600, 1200, 4), np.uint8)
RATIO = 1.5  # ours must win by so much to be worth having


def ours(size: str) -> Callable[[], object]:
    width, height = SIZES[size]
    samples = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
    frame, scaler = VideoFrame.from_numpy_buffer(samples, "yuv420p"), VideoReformatter()
    screens = itertools.cycle([screen.reshape(-1) for screen in SCREENS])

    def convert() -> object:
        i420_from_bgrx(next(screens), WIDTH * 4, samples)
        if size == "1080p":
            return frame
        return scaler.reformat(frame, width, height, interpolation=Interpolation.BILINEAR, threads=1)

    return convert


def swscale(size: str, interpolation: Interpolation = Interpolation.AREA) -> Callable[[], object]:
    width, height = SIZES[size]
    frames = itertools.cycle([VideoFrame.from_numpy_buffer(screen, "bgra") for screen in SCREENS])
    scaler = VideoReformatter()
    return lambda: scaler.reformat(
        next(frames),
        width,
        height,
        "yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=interpolation,
        threads=1,
    )


METHODS: dict[str, Callable[[str], Callable[[], object]]] = {
    "ours": ours,
    "swscale area": swscale,
    "swscale bilinear": lambda size: swscale(size, Interpolation.BILINEAR),
    "swscale fast bilinear": lambda size: swscale(size, Interpolation.FAST_BILINEAR),
    "swscale point": lambda size: swscale(size, Interpolation.POINT),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_convert(method: str, size: str, benchmark: BenchmarkFixture) -> None:
    benchmark(METHODS[method](size))


@pytest.mark.parametrize("size", SIZES)
def test_ours_is_worth_having(size: str, benchmark: BenchmarkFixture) -> None:
    """In turns, so that a busy machine is as bad for both."""
    if vectors() == "none":
        pytest.skip("a processor without AVX2")
    taken: dict[str, list[float]] = {"ours": [], "swscale area": []}
    methods = {name: METHODS[name](size) for name in taken}
    benchmark(lambda: run_in_turns(methods, taken))
    median_ms = {name: 1e3 * sorted(seconds)[len(seconds) // 2] for name, seconds in taken.items()}
    benchmark.extra_info |= median_ms
    print(", ".join(f"{name} {ms:.2f} ms" for name, ms in median_ms.items()), f"of CPU for {size}")
    assert median_ms["swscale area"] > RATIO * median_ms["ours"]


def run_in_turns(methods: dict[str, Callable[[], object]], taken: dict[str, list[float]]) -> None:
    for name, method in methods.items():
        start = time.thread_time()
        method()
        taken[name].append(time.thread_time() - start)
