from itertools import pairwise

import pytest
from camfleet.workers.sources.upstream.clock import MAX_HURRY, WINDOW_NS, MediaClock

NS_PER_S = 1_000_000_000
FPS = 25
FRAME = 90_000 // FPS
FRAME_NS = NS_PER_S // FPS
START_NS = 5 * NS_PER_S


def run(stamps: list[int], arrivals_ns: list[int]) -> list[int]:
    clock = MediaClock()
    return [clock.place(stamp % 2**32, at) for stamp, at in zip(stamps, arrivals_ns, strict=True)]


def test_the_camera_s_rhythm_and_not_the_network_s() -> None:
    jitter = [0, 3, 11, 2, 7, 0, 25, 1] * 25
    count = len(jitter)
    arrivals = [START_NS + n * FRAME_NS + jitter[n] * 1_000_000 for n in range(count)]
    placed = run([2**32 - 5 * FRAME + n * FRAME for n in range(count)], arrivals)
    assert placed == [START_NS + n * FRAME_NS for n in range(count)]


def test_a_burst_at_the_start_leaves_no_delay() -> None:
    """A server that begins with its newest group of pictures: a second of it at once."""
    arrivals = [START_NS + n * 1000 for n in range(FPS)] + [START_NS + n * FRAME_NS for n in range(1, 100)]
    placed = run([n * FRAME for n in range(len(arrivals))], arrivals)
    assert placed == sorted(placed)
    assert min(later - earlier for earlier, later in pairwise(placed)) == FRAME_NS // MAX_HURRY
    assert placed[FPS:] == arrivals[FPS:]


def test_pictures_that_are_sent_before_those_they_show_up_behind() -> None:
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    arrivals = [START_NS + n * FRAME_NS for n in range(10)]
    placed = run([n * FRAME for n in order], arrivals)
    assert placed[4:] == [START_NS + (n - 2) * FRAME_NS for n in order[4:]]


@pytest.mark.parametrize("pace_ns", [0, 1000, FRAME_NS // 3, FRAME_NS])
def test_pictures_are_shown_in_their_own_order_whatever_the_pace(pace_ns: int) -> None:
    order = [0]
    for n in range(0, 400, 4):
        order += [n + 4, n + 2, n + 1, n + 3]
    arrivals = [START_NS + n * pace_ns for n in range(len(order))]
    placed = run([n * FRAME for n in order], arrivals)
    shown = [placed[order.index(n)] for n in range(len(order))]
    assert all(earlier < later for earlier, later in pairwise(shown))
    assert max(placed) <= arrivals[-1] + len(order) * FRAME_NS // MAX_HURRY


@pytest.mark.parametrize("ppm", [-200, -50, 50, 200])
def test_a_clock_that_drifts_is_followed_for_a_day(ppm: int) -> None:
    count = 24 * 3600
    arrivals = [START_NS + n * (NS_PER_S + ppm * 1000) for n in range(count)]
    placed = run([n * 90_000 for n in range(count)], arrivals)
    assert all(0 <= late < 20_000_000 for late in (a - p for a, p in zip(arrivals, placed, strict=True)))
    assert all(later > earlier for earlier, later in pairwise(placed))


@pytest.mark.parametrize("jump", [-(2**31), -100 * 90_000, -2 * 90_000, 11 * 90_000, 3600 * 90_000, 2**31 - 1])
def test_a_jump_of_the_stamps_is_none_of_time(jump: int) -> None:
    stamps = [n * FRAME + (jump if n >= 10 else 0) for n in range(20)]
    arrivals = [START_NS + n * FRAME_NS for n in range(20)]
    placed = run(stamps, arrivals)
    assert placed == arrivals


def test_stamps_that_race_or_stand_still_are_not_followed() -> None:
    count = 1000
    arrivals = [START_NS + n * FRAME_NS for n in range(count)]
    assert run([n * 9 * 90_000 for n in range(count)], arrivals) == arrivals
    placed = run([0] * count, arrivals)
    assert all(0 <= at - capture <= 2 * WINDOW_NS for at, capture in zip(arrivals, placed, strict=True))


def test_after_a_silence_the_picture_is_not_late_for_ever() -> None:
    """The path has become a second longer."""
    arrivals = [START_NS + n * FRAME_NS + (NS_PER_S if n > 100 else 0) for n in range(1000)]
    placed = run([n * FRAME for n in range(1000)], arrivals)
    assert placed[:100] == arrivals[:100]
    assert placed[-100:] == arrivals[-100:]


def test_a_small_step_back_is_made_good_within_two_seconds() -> None:
    count = 100
    arrivals = [START_NS + n * FRAME_NS for n in range(count)]
    placed = run([n * FRAME - (20 * FRAME if n >= 10 else 0) for n in range(count)], arrivals)
    assert placed[10] == placed[0] - 10 * FRAME_NS  # as a picture that was reordered would be
    assert placed[60:] == arrivals[60:]
