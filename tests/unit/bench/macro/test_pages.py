"""Tables, plot and files made of runs."""

import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from camfleet.bench.macro import results
from camfleet.bench.macro.plot import HEIGHT, PANEL, svg
from camfleet.bench.macro.runs import Case, Run
from camfleet.bench.macro.table import cases, costs_table, delays_table, limits_table, line, not_held, spoiled
from msgspec import json, to_builtins
from msgspec.structs import replace

from tests.kit.bench_runs import run

RUNS = [
    *(run(400, cost, "camfleet", number) for number, cost in enumerate((480.0, 500.0, 520.0))),
    *(run(400, 400.0, "floor", number) for number in range(3)),
    run(400, 2900.0, "gst", server_limit="12 packets missing"),
    run(50, 6000.0, "gst", tls=False),
    run(50, 750.0, tls=False),
    run(1000, 450.0),
    run(1200, 450.0, client_limit="thread 1 used 97% of a processor"),
    run(200, 900.0, cameras=10),
]


def test_costs_and_ratios_as_a_table() -> None:
    assert list(costs_table(RUNS)) == [
        "|  | readers | floor | camfleet | gst-rtsp-server | camfleet : floor | gst-rtsp-server : camfleet |",
        "|---|---|---|---|---|---|---|",
        "| RTSP | 50 | - | 750 (750-750), n=1 | 6,000 (6,000-6,000), n=1 | - | 8.00 (8.00-8.00), n=1 |",
        "| RTSPS | 400 | 400 (400-400), n=3 | 500 (480-520), n=3 | 0 of 1 rounds | 1.25 (1.20-1.30), n=3 | - |",
        "| RTSPS | 10 x 20 | - | 900 (900-900), n=1 | - | - | - |",
    ]


def test_a_cost_says_of_how_many_rounds_it_is() -> None:
    failed = run(400, server_limit="late")
    spoiled_ones = [run(400, client_limit="busy"), run(400, server_limit="late", disturbance="others")]
    for runs, cell in (
        ([run(400), run(400), failed, *spoiled_ones], "500 (500-500), 2 of 3 rounds"),
        ([run(400), *spoiled_ones], "500 (500-500), n=1"),
        ([failed, failed], "0 of 2 rounds"),
        (spoiled_ones, "-"),
    ):
        assert list(costs_table(runs))[2:] == [f"| RTSPS | 400 | {cell} |"]


def test_delays_and_shares_of_the_core_as_a_table() -> None:
    slow = run(1000, 950.0, p99_ms=30.0)
    assert list(delays_table([*RUNS, slow])) == [
        "|  | readers | floor | camfleet | gst-rtsp-server |",
        "|---|---|---|---|---|",
        "| RTSP | 50 | - | 4.0 / 12.0, 4% | 4.0 / 12.0, 30% |",
        "| RTSPS | 400 | 4.0 / 12.0, 16% | 4.0 / 12.0, 20% | - |",
        "| RTSPS | 1000 | - | 4.0 / 21.0, 70% | - |",
        "| RTSPS | 10 x 20 | - | 4.0 / 12.0, 18% | - |",
    ]


def test_only_what_was_measured_has_a_column() -> None:
    rows = list(costs_table([run(400, server="floor"), run(800, server="floor")]))
    assert rows[0] == "|  | readers | floor |"
    assert len(rows) == 4


def test_limits_as_a_table() -> None:
    assert list(limits_table(RUNS))[2:] == [
        "| RTSP | camfleet | 50 | not tried |  |",
        "| RTSP | gst-rtsp-server | 50 | not tried |  |",
        "| RTSPS | floor | 400 | not tried |  |",
        "| RTSPS | camfleet | 1,000 | client was the limit from 1,200 |  |",
        "| RTSPS | gst-rtsp-server | 0 | 400 | 12 packets missing |",
    ]


def test_runs_that_do_not_count_are_told() -> None:
    both = run(800, server_limit="late", disturbance="others")
    assert not_held([*RUNS, both]) == ["- RTSPS, 400, gst-rtsp-server: 12 packets missing"]
    assert spoiled([*RUNS, both]) == [
        "- RTSPS, 1200, camfleet: thread 1 used 97% of a processor",
        "- RTSPS, 800, camfleet: others",
    ]


@pytest.mark.parametrize(("found", "end"), [(RUNS[0], "ms  ok"), (RUNS[6], "ms  12 packets missing")])
def test_a_line_for_each_run(found: Run, end: str) -> None:
    text = line(found)
    assert text.startswith("RTSPS      400 ")
    assert text.endswith(end)


def test_order_of_cases_without_those_that_only_one_server_had() -> None:
    assert [(case.transport, case.count) for case in cases(reversed_runs())] == [
        ("RTSP", "50"),
        ("RTSPS", "400"),
        ("RTSPS", "10 x 20"),
    ]
    assert {case.server for case in cases(RUNS)} == {""}
    assert Case("", True, 10, 200) in cases(RUNS)


def reversed_runs() -> list[Run]:
    return RUNS[::-1]


def test_the_plot_shows_the_medians_of_what_counts() -> None:
    picture = ElementTree.fromstring(svg(RUNS))
    space = "{http://www.w3.org/2000/svg}"
    plain, secure = picture.findall(f"{space}g")
    circles = [(circle.get("fill"), circle.get("cx"), circle.get("cy")) for circle in secure.iter(f"{space}circle")]
    # 400 readers at 400 and 500 us are 16 and 20 % of a core, 1,000 at 450 are 45 %.
    assert [place[1:] for place in circles] == [
        (f"{PANEL * 0.4:.1f}", f"{HEIGHT * 0.84:.1f}"),
        (f"{PANEL * 0.4:.1f}", f"{HEIGHT * 0.80:.1f}"),
        (f"{PANEL * 1.0:.1f}", f"{HEIGHT * 0.55:.1f}"),
    ]
    assert len({place[0] for place in circles}) == 2
    assert len(list(plain.iter(f"{space}circle"))) == 2
    texts = [text.text for text in secure.iter(f"{space}text")]
    assert "camfleet: 1,000+" in texts
    assert "floor: 400+" in texts
    assert "gst-rtsp-server: 0" in texts


def test_results_are_written_and_read_again(tmp_path: Path) -> None:
    results.write(tmp_path / "results", RUNS)
    assert results.load(tmp_path / "results") == RUNS
    page = (tmp_path / "results" / "side-by-side.md").read_text()
    assert (
        "| RTSPS | 400 | 400 (400-400), n=3 | 500 (480-520), n=3 | 0 of 1 rounds | 1.25 (1.20-1.30), n=3 | - |" in page
    )
    held, _, neither_way = page.partition("## Runs that do not count, neither way")
    assert "- RTSPS, 400, gst-rtsp-server: 12 packets missing" in held
    assert "- RTSPS, 1200, camfleet: thread 1" in neither_way
    assert "OpenSSL" in page
    assert "{" not in page
    ElementTree.parse(tmp_path / "results" / "side-by-side.svg")


def test_the_page_says_which_commit_was_measured_and_when() -> None:
    measured = [replace(each, commit="ab3d94b", date="2026-11-22") for each in RUNS]
    text = f"Runs: {len(RUNS)} of ab3d94b (2026-11-22)"
    assert results.origin(measured) == f"{text}."
    later = replace(RUNS[0], commit="ab3d94b", date="2026-11-23")
    assert results.origin([*measured, later]) == f"{text}; 1 of ab3d94b (2026-11-23)."
    other = replace(later, commit="ab3d94b-dirty")
    warning = "**They are not all of one commit.**"
    assert results.origin([*measured, other]) == f"{text}; 1 of ab3d94b-dirty (2026-11-23). {warning}"


def test_runs_of_before_they_said_their_commit_are_shown_as_such(tmp_path: Path) -> None:
    before = [{key: value for key, value in to_builtins(RUNS[0]).items() if key not in ("commit", "date")}]
    (tmp_path / "side-by-side.json").write_bytes(json.encode(before))
    loaded = results.load(tmp_path)
    assert loaded == RUNS[:1]
    results.write(tmp_path, [*loaded, replace(RUNS[1], commit="ab3d94b", date="2026-11-22")])
    page = (tmp_path / "side-by-side.md").read_text()
    assert "Runs: 1 of an unknown commit (no date); 1 of ab3d94b (2026-11-22). **They are" in page


def test_results_alone_do_not_make_a_commit_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert results.commit() == ""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    code, page = tmp_path / "code.py", tmp_path / "bench" / "results" / "side-by-side.md"
    page.parent.mkdir(parents=True)
    code.touch()
    page.touch()
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True)
    clean = results.commit()
    assert len(clean) >= 7
    page.write_text("new")
    assert results.commit() == clean
    code.write_text("new")
    assert results.commit() == f"{clean}-dirty"
