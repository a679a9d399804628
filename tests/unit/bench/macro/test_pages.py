"""Tables, plot and files made of runs."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from camfleet.bench.macro import results
from camfleet.bench.macro.plot import HEIGHT, PANEL, svg
from camfleet.bench.macro.runs import Case, Run
from camfleet.bench.macro.table import cases, costs_table, left_out, limits_table, line

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
        "| RTSP | 50 | - | 750 (750-750) | 6,000 (6,000-6,000) | - | 8.00 (8.00-8.00) |",
        "| RTSPS | 400 | 400 (400-400) | 500 (480-520) | - | 1.25 (1.20-1.30) | - |",
        "| RTSPS | 10 x 20 | - | 900 (900-900) | - | - | - |",
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
        "| RTSPS | camfleet | 1,000 | 1,200 | thread 1 used 97% of a processor |",
        "| RTSPS | gst-rtsp-server | 0 | 400 | 12 packets missing |",
    ]


def test_runs_that_do_not_count_are_told() -> None:
    assert list(left_out(RUNS)) == [
        "- RTSPS, 400, gst-rtsp-server: 12 packets missing",
        "- RTSPS, 1200, camfleet: thread 1 used 97% of a processor",
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
    assert "camfleet: 1,000" in texts
    assert "floor: 400+" in texts
    assert "gst-rtsp-server: 0" in texts


def test_results_are_written_and_read_again(tmp_path: Path) -> None:
    results.write(tmp_path / "results", RUNS)
    assert results.load(tmp_path / "results") == RUNS
    page = (tmp_path / "results" / "side-by-side.md").read_text()
    assert "| RTSPS | 400 | 400 (400-400) | 500 (480-520) | - | 1.25 (1.20-1.30) | - |" in page
    assert "- RTSPS, 400, gst-rtsp-server: 12 packets missing" in page
    assert "OpenSSL" in page
    assert "{" not in page
    ElementTree.parse(tmp_path / "results" / "side-by-side.svg")
