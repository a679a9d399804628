"""The histogram of latencies: its figures against the sorted list, and what it forgets."""

import ctypes
import random

import pytest

from tests.kit.capi import c_function

BUCKETS = 336
S = 1_000_000_000


class Histogram(ctypes.Structure):
    _fields_ = [
        ("counts", ctypes.c_uint32 * BUCKETS * 2),
        ("began_ns", ctypes.c_int64 * 2),
        ("newer", ctypes.c_int),
    ]


Counts = ctypes.c_uint64 * BUCKETS
MODULE = "camfleet.core.ring.latency"
count = c_function(MODULE, "latency_count", None, ctypes.POINTER(Histogram), ctypes.c_int64, ctypes.c_int64)
collect = c_function(
    MODULE, "latency_collect", None, ctypes.POINTER(Histogram), ctypes.c_int64, ctypes.POINTER(ctypes.c_uint64)
)
percentile = c_function(MODULE, "latency_percentile", ctypes.c_int64, ctypes.POINTER(ctypes.c_uint64), ctypes.c_int)


def figures(histogram: Histogram, now_ns: int) -> tuple[int, int]:
    counts = Counts()
    collect(histogram, now_ns, counts)
    return percentile(counts, 50), percentile(counts, 99)


def test_nothing_counted() -> None:
    assert figures(Histogram(), 100 * S) == (0, 0)


@pytest.mark.parametrize("latency_ns", [70_000, 131_071, 131_073, 1_000_000, 33_333_333, 2 * S, 59 * S])
def test_one_latency_is_told_within_three_percent(latency_ns: int) -> None:
    histogram = Histogram()
    count(histogram, latency_ns, 100 * S)
    for figure in figures(histogram, 100 * S):
        assert figure == pytest.approx(latency_ns, rel=0.0313)


@pytest.mark.parametrize(("latency_ns", "figure"), [(-S, 2048), (0, 2048), (4096, 6144), (3600 * S, 67_645_734_912)])
def test_the_ends_of_the_scale(latency_ns: int, figure: int) -> None:
    histogram = Histogram()
    count(histogram, latency_ns, 100 * S)
    assert figures(histogram, 100 * S) == (figure, figure)


@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 10_000])
def test_the_figures_are_those_of_the_sorted_list(size: int) -> None:
    draw = random.Random(size)
    latencies = sorted(int(10 ** draw.uniform(5, 10)) for _ in range(size))
    histogram = Histogram()
    for latency_ns in latencies:
        count(histogram, latency_ns, 100 * S)
    p50, p99 = figures(histogram, 100 * S)
    assert p50 == pytest.approx(latencies[-(-size * 50 // 100) - 1], rel=0.0313)
    assert p99 == pytest.approx(latencies[-(-size * 99 // 100) - 1], rel=0.0313)


def test_what_was_counted_within_five_seconds_stays_and_after_ten_it_is_forgotten() -> None:
    histogram = Histogram()
    began_ns = 1000 * S
    for second in range(40):
        count(histogram, (second + 1) * 10_000_000, began_ns + second * S)
        counts = Counts()
        collect(histogram, began_ns + second * S, counts)
        assert min(second + 1, 5) <= sum(counts) <= 10
    newest = 40 * 10_000_000
    assert newest * 0.7 < figures(histogram, began_ns + 39 * S)[0] < newest
    assert figures(histogram, began_ns + 60 * S) == (0, 0), "nobody reads any more"
