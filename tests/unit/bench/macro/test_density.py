"""Runs of many cameras, judged and written down; the configuration of each kind."""

from pathlib import Path
from typing import Any

import pytest
from camfleet.bench.macro import density
from camfleet.bench.macro.density_page import Case, Run, costs, disturbed, line, losses, page
from camfleet.supervisor.config import load

FILMS, SCREENS = Case("film passed through, 2 Mb/s", 300), Case("screen, 1080p30, x264, 5 Mb/s", 2)


def figures(**others: Any) -> dict[str, Any]:
    """Of the load tool, as bench/load/report.py makes them."""
    return {
        "seconds": 60.001,
        "readers": {"ok": 300},
        "gaps": {"packets_missing": 0, "frames_missing": 0, "frames_incomplete": 0},
        "longest_without_frame_ms": {"p50": 34.0, "p99": 40.0, "max": 61.0},
        "delay_ms": {"p50": 1.5, "p99": 9.0, "max": 20.0},
        "server": {"cpu_cores": 1.5, "pss_bytes": 2_400_000_000},
        "load_tool": {"cpu_cores": 0.3, "bottlenecks": []},
        **others,
    }


def run(case: Case = FILMS, other_cores: float = 0.02, **others: Any) -> Run:
    return density.run(case, 0, figures(**others), [7_000_000, 7_600_000, 9_000_000], other_cores, 0.1)


SLOW = run(server={"cpu_cores": 1.8, "pss_bytes": 2_460_000_000})
LOSSY = run(
    gaps={"packets_missing": 9, "frames_missing": 2, "frames_incomplete": 1},
    readers={"ok": 299},
    load_tool={"cpu_cores": 0.9, "bottlenecks": ["thread 1 used 92% of a processor"]},
)
DISTURBED = run(SCREENS, 0.6)


def test_what_is_lost_is_the_sum_of_all_runs() -> None:
    assert list(losses([run(), LOSSY, DISTURBED]))[2:] == [
        "| film passed through, 2 Mb/s | 300 | 299 | 9 / 2 / 1 | 60 + 60 | 61 | 1.5 (1.5-1.5) / 9.0 (9.0-9.0) "
        "| thread 1 used 92% of a processor |",
        "| screen, 1080p30, x264, 5 Mb/s | 2 | - | - | - | - | - | - |",
    ]


def test_what_a_camera_costs() -> None:
    assert list(costs([run(), SLOW, DISTURBED]))[2:] == [
        "| film passed through, 2 Mb/s | 300 | 2 | 1.65 (1.50-1.80) | 5.5 (5.0-6.0) | 183 (167-200) | 7.6 (7.6-7.6) "
        "| 8.1 (8.0-8.2) | 0.30 (0.30-0.30) |",
        "| screen, 1080p30, x264, 5 Mb/s | 2 | 0 | - | - | - | - | - | - |",
    ]


def test_memory_that_the_kernel_does_not_tell() -> None:
    hidden = run(server={"cpu_cores": 1.5, "pss_bytes": None})
    assert "| - | 0.30" in list(costs([hidden]))[2]


def test_a_run_that_others_disturb_counts_nowhere() -> None:
    runs = [run(SCREENS), DISTURBED, run(SCREENS, 0.1)]
    assert f"| {SCREENS.kind} | 2 | 2 |" in list(costs(runs))[2]
    assert list(disturbed(runs)) == [f"- Does not count: 2 x {SCREENS.kind}, others used 0.60 cores."]
    assert [line(each).endswith("DISTURBED") for each in runs] == [False, True, False]


def test_the_page_says_of_what_code_and_machine_it_is() -> None:
    text = page([run(), DISTURBED], 0.1)
    assert "2 runs of " in text
    assert "at most 0.1 of a core" in text
    assert "Linux" in text
    assert text.endswith("others used 0.60 cores.\n")
    assert page([run()], 0.1).endswith(" |\n")


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("affinity", ["none", "spread"])
def test_the_server_takes_the_configuration_of_each_kind(tmp_path: Path, number: int, affinity: str) -> None:
    film = tmp_path / "film.mp4"
    film.touch()
    kind = density.kinds(film, ":7")[number]
    file = tmp_path / "camfleet.toml"
    file.write_text(density.cameras(kind, 3, affinity))
    settings = load(file)
    assert settings.workers.affinity == affinity
    assert [camera.id for camera in settings.cameras] == ["ipc1", "ipc2", "ipc3"]
    assert {camera.streams[0].kind for camera in settings.cameras} == {kind.path}


def test_words_choose_kinds() -> None:
    assert [kind.path for kind in density.named(["x264", "ultrafast"])] == ["testlive"]
    assert len(density.named([])) == 4
    assert density.named(["vp8"]) == []


def test_all_of_it_fits_into_ten_minutes() -> None:
    runs = [trial for kind in density.named([]) for trial in kind.trials for _ in range(trial.rounds)]
    need_s = sum(trial.seconds + trial.cameras / density.CAMERAS_PER_S + density.START_STOP_S for trial in runs)
    assert need_s < 10 * 60
