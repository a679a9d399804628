from camfleet.workers.sources import FrameClock
from hypothesis import given
from hypothesis import strategies as st

START_NS = 12_345_678_901
NS_PER_S = 1_000_000_000


@given(st.integers(1, 240), st.integers(0, 10**9))
def test_a_frame_is_found_at_its_own_time_and_not_before(fps: int, number: int) -> None:
    clock = FrameClock(START_NS, fps)
    due_ns = clock.time_ns(number)
    assert due_ns == START_NS + number * NS_PER_S // fps
    assert FrameClock(START_NS, fps).tick(due_ns) == number
    assert FrameClock(START_NS, fps).tick(due_ns - 1) == max(0, number - 1)


@given(st.integers(1, 240), st.lists(st.integers(0, 3 * NS_PER_S), max_size=50))
def test_numbers_rise_and_are_never_late_by_a_frame(fps: int, pauses_ns: list[int]) -> None:
    clock, now_ns, last = FrameClock(START_NS, fps), START_NS, -1
    for pause_ns in pauses_ns:
        now_ns = max(now_ns, clock.due_ns) + pause_ns
        number = clock.tick(now_ns)
        assert number > last
        assert clock.time_ns(number) <= now_ns < clock.time_ns(number + 1)
        assert clock.due_ns == clock.time_ns(number + 1)
        last = number


def test_no_drift_in_a_day_of_thirds() -> None:
    clock = FrameClock(0, 30)
    assert clock.time_ns(30 * 86_400) == 86_400 * NS_PER_S
    assert {clock.time_ns(n + 1) - clock.time_ns(n) for n in range(3000)} == {33_333_333, 33_333_334}


def test_late_frames_are_left_out() -> None:
    clock = FrameClock(0, 10)
    assert clock.tick(0) == 0
    assert clock.tick(100_000_000) == 1
    assert clock.tick(549_000_000) == 5
    assert clock.due_ns == 600_000_000
