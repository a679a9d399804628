"""Which core a worker gets: pure functions of what all of them use."""

from collections import Counter

import pytest
from camfleet.supervisor.arbiter.placement import LEAST_LOAD, MUCH, Move, Placed, least_used, next_move, used
from hypothesis import given
from hypothesis import strategies as st


def on(core: int, load: float | None, *, bound: bool = False) -> Placed:
    return Placed({core}, load, bound)


def test_a_worker_on_several_cores_uses_them_evenly() -> None:
    found = used({0, 1, 2}, [on(0, 0.5), Placed({0, 1}, 0.4, bound=True), Placed({2, 9}, 0.2)])
    assert found == pytest.approx({0: 0.7, 1: 0.2, 2: 0.1})


def test_one_that_was_not_measured_counts_as_the_others_do_on_average() -> None:
    assert used({0, 1}, [on(0, 0.1), on(0, 0.3), on(1, None)]) == pytest.approx({0: 0.4, 1: 0.2})


@pytest.mark.parametrize("load", [None, 0.0])
def test_at_the_start_all_cores_get_as_many(load: float | None) -> None:
    placed: list[Placed] = []
    for _ in range(9):
        placed.append(on(least_used({2, 3, 5}, placed), load))
    assert Counter(core for worker in placed for core in worker.cores) == {2: 3, 3: 3, 5: 3}


def test_a_new_worker_goes_where_least_is_used_not_where_fewest_are() -> None:
    assert least_used({0, 1}, [on(0, 0.6), *[on(1, 0.1)] * 3]) == 1
    assert least_used({0, 1}, [Placed({1}, 0.6, bound=True), *[on(0, 0.1)] * 3]) == 0


def test_new_ones_do_not_all_go_to_the_same_core_before_they_are_measured() -> None:
    placed = [on(0, 0.5), on(1, 0.45)]
    for _ in range(10):
        placed.append(on(least_used({0, 1}, placed), None))
    assert Counter(core for worker in placed for core in worker.cores) == {0: 6, 1: 6}


def test_small_differences_are_left_alone() -> None:
    assert next_move({0, 1}, {"ipc1": on(0, 0.1), "ipc2": on(0, MUCH - 0.11)}) is None
    assert next_move({0, 1}, {"ipc1": on(0, 0.1), "ipc2": on(0, MUCH - 0.09)}) is not None


def test_the_move_is_the_one_that_brings_both_closest() -> None:
    workers = {"ipc1": on(0, 0.6), "ipc2": on(0, 0.3), "ipc3": on(0, 0.05), "ipc4": on(1, 0.25)}
    assert next_move({0, 1}, workers) == Move("ipc2", 1)  # 0.95 and 0.25; then 0.65 and 0.55


def test_a_worker_that_is_all_the_load_of_its_core_stays() -> None:
    assert next_move({0, 1}, {"ipc1": on(0, 0.9)}) is None
    assert next_move({0, 1}, {"ipc1": on(0, 0.9), "ipc2": on(1, 0.1)}) is None


def test_one_that_would_soon_go_back_stays() -> None:
    workers = {"ipc1": on(0, 0.3), "ipc2": on(0, 0.08, bound=True)}
    assert next_move({0, 1}, workers) is None
    assert next_move({0, 1}, workers | {"ipc3": on(0, 0.03, bound=True)}) == Move("ipc1", 1)


def test_one_that_is_bound_stays_and_the_others_make_room() -> None:
    workers = {"ipc1": on(0, 0.4, bound=True), "ipc2": on(0, 0.3), "ipc3": on(1, 0.1)}
    assert next_move({0, 1}, workers) == Move("ipc2", 1)
    assert next_move({0, 1}, {"ipc1": on(0, 0.4, bound=True), "ipc2": on(0, 0.4, bound=True)}) is None


def test_the_fullest_core_is_not_the_only_one_that_gives_away() -> None:
    workers = {"ipc1": on(0, 0.9, bound=True), "ipc2": on(1, 0.4), "ipc3": on(1, 0.3), "ipc4": on(1, 0.2)}
    assert next_move({0, 1, 2}, workers) == Move("ipc2", 2)


def test_one_that_was_not_measured_stays() -> None:
    assert next_move({0, 1}, {"ipc1": on(0, 0.4), "ipc2": on(0, None)}) == Move("ipc1", 1)


loads = st.floats(LEAST_LOAD, 1.0)


@given(st.lists(st.tuples(st.integers(0, 3), loads), min_size=1, max_size=20))
def test_moves_come_to_an_end_and_none_of_them_is_undone_by_the_next(workers: list[tuple[int, float]]) -> None:
    cores = range(4)
    placed = {f"ipc{number}": on(core, load) for number, (core, load) in enumerate(workers)}
    last: Move | None = None
    for _ in range(200):
        move = next_move(cores, placed)
        if move is None:
            return
        assert last is None or move.camera != last.camera
        before = sum(load**2 for load in used(cores, placed.values()).values())
        placed[move.camera] = on(move.core, placed[move.camera].load)
        assert sum(load**2 for load in used(cores, placed.values()).values()) < before
        last = move
    pytest.fail("the workers do not come to rest")
