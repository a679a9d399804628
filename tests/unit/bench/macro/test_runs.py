"""What a run is worth, what several say together, and how the limit is looked for."""

from typing import Any

import pytest
from camfleet.bench.macro.limit import Limit, beyond, given_up, limit, next_count
from camfleet.bench.macro.runs import MANY, Case, Spread, costs, judged, ramp_s, ratios, spread

from tests.kit.bench_runs import run

CASE = Case("camfleet", True, 1, 400)


def figures(**changes: Any) -> dict[str, Any]:
    """As the load tool gives them for a run without fault."""
    gaps = dict.fromkeys(("packets_missing", "frames_missing", "frames_incomplete", "malformed"), 0)
    return {
        "readers": {"reasons": {}},
        "seconds": 4.0,
        "frames_per_s": 400 * 30.0,
        "longest_without_frame_ms": {"p50": 34.0, "p99": 40.0, "max": 60.0},
        "gaps": gaps | changes.pop("gaps", {}),
        "delay_ms": {"p50": 4.0, "p99": 12.0, "max": 30.0},
        "server": {"cpu_us_per_reader_second": 500.0, "cpu_cores": 0.2},
        "load_tool": {"cpu_cores": 0.3, "bottlenecks": []},
    } | changes


def test_a_run_without_fault_counts() -> None:
    found = judged(CASE, 2, figures(), 0.05, 0.1)
    assert (found.case, found.round, found.cpu_us, found.delay_p99_ms) == (CASE, 2, 500.0, 12.0)
    assert (found.counts, found.reason) == (True, "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gaps": {"packets_missing": 3}}, "3 packets missing"),
        ({"gaps": {"frames_missing": 2}}, "2 frames missing"),
        ({"gaps": {"frames_incomplete": 1, "malformed": 4}}, "1 frames cut; 4 packets malformed"),
        ({"readers": {"reasons": {"no key frame": 7}}}, "7 readers failed (no key frame)"),
        ({"delay_ms": {"p50": 4.0, "p99": 101.0}}, "delay p99 101 ms"),
        ({"delay_ms": {"p50": 4.0, "p99": 100.0}}, ""),
        ({"delay_ms": None}, "no frame of a known time"),
        ({"server": None}, "the server has ended"),
        ({"frames_per_s": 400 * 29.46}, ""),  # 119 of 120 frames are due, 99 % of them are enough
        ({"frames_per_s": 400 * 29.44}, "47104 frames instead of 47600"),
        ({"frames_per_s": 0.0, "longest_without_frame_ms": None}, "0 frames instead of 47600"),
        ({"longest_without_frame_ms": {"p50": 34.0, "p99": 60.0, "max": 1000.0}}, ""),
        ({"longest_without_frame_ms": {"p50": 34.0, "p99": 60.0, "max": 2340.0}}, "2.3 s without a frame"),
    ],
)
def test_what_a_server_does_not_hold(changes: dict[str, Any], reason: str) -> None:
    found = judged(CASE, 0, figures(**changes), 0.0, 0.1)
    assert (found.server_limit, found.client_limit, found.disturbance) == (reason, "", "")
    assert found.counts == (not reason)


def test_the_client_and_the_machine_may_spoil_a_run() -> None:
    tool = {"cpu_cores": 0.95, "bottlenecks": ["thread 1 used 95% of a processor", "the tool is behind"]}
    found = judged(CASE, 0, figures(load_tool=tool, gaps={"packets_missing": 3}), 0.0, 0.1)
    assert (found.counts, found.reason) == (False, "thread 1 used 95% of a processor; the tool is behind")
    found = judged(CASE, 0, figures(load_tool=tool), 0.11, 0.1)
    assert (found.counts, found.reason) == (False, "other processes used 0.11 of the two cores")
    assert judged(CASE, 0, figures(), 0.5, 0.5).counts


def test_median_and_range() -> None:
    assert spread([]) is None
    assert spread([3.0]) == Spread(3.0, 3.0, 3.0, 1)
    assert spread([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0, 3)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0, 2)


def test_costs_are_of_the_runs_that_count() -> None:
    runs = [run(cpu_us=cost) for cost in (600.0, 400.0, 550.0)]
    runs += [
        run(cpu_us=1.0, server_limit="late"),
        run(cpu_us=2.0, client_limit="busy"),
        run(cpu_us=3.0, disturbance="others"),
        run(cpu_us=4.0, tls=False),
        run(cpu_us=5.0, server="floor"),
        run(cpu_us=6.0, readers=800),
        run(cpu_us=7.0, cameras=10),
    ]
    assert costs(runs, CASE) == Spread(550.0, 400.0, 600.0, 3)
    assert costs(runs, Case("gst", True, 1, 400)) is None


def test_ratios_are_within_a_round() -> None:
    runs = [run(cpu_us=cost, number=number) for number, cost in enumerate((600.0, 440.0, 999.0, 330.0))]
    runs += [run(cpu_us=cost, number=number, server="floor") for number, cost in enumerate((500.0, 400.0))]
    runs += [
        run(cpu_us=1.0, number=2, server="floor", server_limit="late"),
        run(cpu_us=300.0, number=3, server="floor"),
    ]
    assert ratios(runs, CASE, CASE.of("floor")) == Spread(1.1, 1.1, 1.2, 3)
    assert ratios(runs, CASE, CASE.of("gst")) is None


def test_names_of_a_case() -> None:
    assert (CASE.transport, CASE.count) == ("RTSPS", "400")
    assert (Case("gst", False, 10, 200).transport, Case("gst", False, 10, 200).count) == ("RTSP", "10 x 20")


# ---------------------------------------------------------------- limits


def test_a_count_is_held_by_the_majority_of_its_runs() -> None:
    assert limit([]) == Limit(0, 0, "", 0)
    runs = [run(50), run(400), run(400, server_limit="late"), run(400)]
    assert limit(runs) == Limit(400, 0, "", 0)
    runs += [run(800), run(800, server_limit="3 packets missing"), run(1000, client_limit="busy")]
    assert limit(runs) == Limit(400, 800, "3 packets missing", 1000)
    assert limit([*runs, run(800), run(900, disturbance="others")]) == Limit(800, 0, "", 1000)


def test_a_run_in_which_the_client_was_the_limit_counts_neither_way() -> None:
    spoiled = [run(400, client_limit="busy", server_limit="late") for _ in range(3)]
    assert limit([run(400), *spoiled]) == Limit(400, 0, "", 0)
    assert limit([run(200), *spoiled]) == Limit(200, 0, "", 400)
    assert not given_up([run(200), *spoiled], CASE)


def test_what_is_known_beyond_the_limit() -> None:
    disturbed = run(800, client_limit="busy", disturbance="others")
    client = run(900, client_limit="busy")
    assert beyond([run(400), run(200, disturbance="others")]) == "not tried"
    assert beyond([run(400), disturbed]) == "tried, no quiet run"
    assert beyond([run(400), disturbed, client, run(1000, client_limit="busy")]) == "client was the limit from 900"
    assert beyond([run(400), disturbed, client, run(1500, server_limit="late")]) == "1,500"


def test_the_next_count_is_what_the_cost_promises_then_between() -> None:
    assert next_count([]) == 0
    assert next_count([run(400, server_limit="late")]) == 0
    assert next_count([run(400, 600.0), run(800, 500.0)]) == 1800  # 90 % of the server's core
    assert next_count([run(800, 100.0)]) == 2400  # not further than three times
    assert next_count([run(400, 100.0, client_cores=0.4)]) == 900  # 90 % of the client's core
    assert next_count([run(800, 1100.0)]) == 1000  # and a quarter more at least
    runs = [run(800), run(1800, server_limit="late")]
    assert next_count(runs) == 1200
    runs += [run(1200), run(1475, server_limit="late")]
    assert next_count(runs) == 1325
    assert next_count([*runs, run(1325)]) == 0
    assert next_count([run(800), run(1800, client_limit="busy")]) == 1200  # a count for which the client is too small
    assert next_count([run(800), run(900, client_limit="busy")]) == 0
    small = [run(75), run(100, server_limit="late")]
    assert next_count(small) == 85
    assert next_count([*small, run(85, disturbance="others")]) == 85
    assert next_count([*small, run(85, server_limit="late")]) == 80
    assert next_count([*small, run(80, server_limit="late")]) == 0


def test_two_failures_without_a_larger_success_are_enough() -> None:
    failed = [run(readers, server_limit="late") for readers in (400, 800)]
    once = [run(200), failed[0]]
    assert not given_up(once, CASE)
    twice = [*once, failed[1]]
    assert not given_up(twice, CASE)
    assert given_up(twice, Case("camfleet", True, 1, 800))
    assert given_up([*once, failed[0]], CASE)
    assert not given_up([*once, failed[0], run(800)], CASE)
    assert not given_up([*once, run(400, disturbance="others")], CASE)
    elsewhere = [run(server="gst", server_limit="late"), run(tls=False, server_limit="late")]
    assert not given_up([*once, *elsewhere], CASE)


def test_many_readers_come_more_slowly() -> None:
    assert ramp_s(MANY - 1) < 4
    assert ramp_s(MANY) == pytest.approx(10)
