from fractions import Fraction

import pytest
from camfleet.workers.sources.timeline import MAX_STEP_NS, MIN_STEP_NS, Timeline
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000
START_NS = 5_000_000_000


def timeline(ticks_per_s: int = 1000, frame: float = 40) -> Timeline:
    return Timeline(START_NS, Fraction(1, ticks_per_s), Fraction(frame))


def placed(line: Timeline, *stamps: tuple[int | None, int | None]) -> list[int]:
    return [(line.place(stamp, duration) - START_NS) // MS for stamp, duration in stamps]


def test_the_first_stamp_is_the_start_and_the_rhythm_is_kept() -> None:
    assert placed(timeline(), (700, 40), (740, 40), (790, 40), (800, 40)) == [0, 40, 90, 100]


@pytest.mark.parametrize(
    ("after", "why"),
    [(86_400_000, "a jump by a day"), (0, "back to the start"), (640, "backwards"), (740, "time stands still")],
)
def test_a_jump_continues_after_the_last_duration(after: int, why: str) -> None:
    assert placed(timeline(), (700, 40), (740, 50), (after, 40), (after + 40, 40)) == [0, 40, 90, 130], why


def test_a_new_pass_continues_after_the_last_duration() -> None:
    line = timeline()
    first = placed(line, (700, 40), (740, 45))
    line.new_pass()
    assert first + placed(line, (700, 40), (740, 45)) == [0, 40, 85, 125]


def test_a_new_pass_that_would_fit_in_by_chance_is_still_a_new_pass() -> None:
    line = timeline()
    placed(line, (0, 40))
    line.new_pass()
    assert placed(line, (100, 40)) == [40]


@pytest.mark.parametrize("duration", [None, 0, 10**12])
def test_a_missing_duration_is_that_of_a_frame(duration: int | None) -> None:
    line = timeline()
    placed(line, (0, duration))
    line.new_pass()
    assert placed(line, (0, None)) == [40]


def test_what_has_no_stamp_comes_next() -> None:
    assert placed(timeline(), (100, 40), (None, 40), (None, 40), (220, 40)) == [0, 40, 80, 120]
    assert placed(timeline(), (None, 40), (None, 40)) == [0, 40]


def test_an_unevenly_divided_second_does_not_drift() -> None:
    """A clip of 100 frames of 1001/30000 s, ten thousand times over: exactly 1,001,000 s / 30."""
    line = Timeline(0, Fraction(1, 30_000), Fraction(1001))
    for _ in range(10_000):
        line.new_pass()
        last_ns = [line.place(1001 * number, 1001) for number in range(100)][-1]
    assert last_ns == (10_000 * 100 - 1) * 1001 * 1_000_000_000 // 30_000


def test_a_delay_moves_what_follows() -> None:
    line = timeline()
    placed(line, (0, 40))
    line.delay(7 * MS)
    assert placed(line, (40, 40)) == [47]


ticks = st.integers(-(2**62), 2**62)


@given(st.lists(st.tuples(st.none() | ticks, st.none() | ticks, st.booleans())), st.sampled_from([90_000, 1000, 25, 1]))
def test_whatever_the_file_says_time_goes_on_at_a_credible_pace(
    stamps: list[tuple[int | None, int | None, bool]], ticks_per_s: int
) -> None:
    line = timeline(ticks_per_s, ticks_per_s / 25)
    last_ns: int | None = None
    for stamp, duration, is_new_pass in stamps:
        if is_new_pass:
            line.new_pass()
        now_ns = line.place(stamp, duration)
        if last_ns is not None:
            assert MIN_STEP_NS <= now_ns - last_ns <= MAX_STEP_NS + 1
        last_ns = now_ns
