"""Starting, stopping and watching what is measured."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from camfleet.bench.load import processes
from camfleet.bench.macro import __main__ as bench
from camfleet.bench.macro import clip, fleet
from camfleet.bench.macro.cores import Cores, Watch, busy_s, children_s
from camfleet.bench.macro.runs import Case
from camfleet.bench.macro.servers import Server, pinned, printed_port, running
from camfleet.core.rtp.annexb import nal_units

from tests.kit.wait import wait_for

STAT = """cpu  999 999 999 999 999 999 999 999 0 0
cpu0 100 20 30 1000 500 4 5 6 7 8
cpu1 1 2 3 4 5 6 7 8 9 10
cpu10 900 900 900 900 900 900 900 900 0 0
intr 1 2 3
"""


def test_busy_is_all_but_idle() -> None:
    hundredths = os.sysconf("SC_CLK_TCK")
    assert busy_s(Cores(0, 1), STAT) * hundredths == pytest.approx(165 + 27)
    assert busy_s(Cores(1, 10), STAT) * hundredths == pytest.approx(27 + 5400 - 2 * 900 + 1800)


def test_what_the_server_uses_is_not_of_others(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    cores = Cores(core, core)
    forever = pinned(core, sys.executable, "-c", "print(1, flush=True)\nwhile True: pass")
    idle = ["sleep", "60"]
    with running(forever, tmp_path) as busy, running(idle, tmp_path) as sleeper:
        printed_port(busy)
        begin_s, used_us = time.monotonic(), cpu_us(busy.pid)
        mine, strange = Watch(busy.pid, cores), Watch(sleeper.pid, cores)
        wait_for(lambda: cpu_us(busy.pid) - used_us > 400_000, 30, "no processor")
        burnt = (cpu_us(busy.pid) - used_us) / 1e6 / (time.monotonic() - begin_s)
        assert strange.other_cores() - mine.other_cores() == pytest.approx(burnt, abs=0.1 * burnt)


def test_what_our_children_use_is_not_of_others() -> None:
    before = children_s()
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert 0.3 <= children_s() - before < 3


def cpu_us(pid: int) -> int:
    process = processes.read(pid)
    assert process
    return process.cpu_us


@contextmanager
def fake(film: Path, folder: Path, core: int, tls: bool, cameras: int) -> Iterator[Server]:
    (folder / "up").touch()
    yield Server(core, [f"{film}{tls}{cameras}"])
    (folder / "up").unlink()


def test_a_fleet_starts_what_is_asked_for_and_stops_it_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "SERVERS", {"camfleet": fake})
    case = Case("camfleet", True, 1, 50)
    with fleet.Fleet(Path("film"), tmp_path, 3) as servers:
        first = servers.server(case)
        assert first == Server(3, ["filmTrue1"])
        assert servers.server(Case("camfleet", True, 1, 400)) is first
        assert servers.server(Case("camfleet", True, 10, 200)).urls == ["filmTrue10"]
        assert len(list(tmp_path.rglob("up"))) == 2
        servers.stop(case)
        assert len(list(tmp_path.rglob("up"))) == 1
        assert servers.server(case) is not first
    assert list(tmp_path.rglob("up")) == []


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    command = pinned(core, "sh", "-c", "echo no such film >&2")
    with pytest.raises(RuntimeError, match="no such film"), running(command, tmp_path) as process:
        printed_port(process)


def test_a_server_runs_on_its_core_until_the_end_of_the_context(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    program = "import os, signal; print(*os.sched_getaffinity(0), flush=True); signal.pause()"
    with running(pinned(core, sys.executable, "-c", program), tmp_path) as process:
        assert printed_port(process) == core
    assert process.poll() is not None


@pytest.mark.parametrize(("text", "found"), [("400", (1, 400)), ("10x20", (10, 200)), ("1x7", (1, 7))])
def test_counts(text: str, found: tuple[int, int]) -> None:
    assert bench.count(text) == found


def arguments(monkeypatch: pytest.MonkeyPatch, *given: str) -> bench.Bench:
    monkeypatch.setattr(sys, "argv", ["bench", *given])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5})
    return bench.Bench(bench.arguments(), Path("film"), Path("folder"))


def test_servers_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = arguments(monkeypatch, "--readers", "50,400,10x20,100x4")
    assert plan.options.cores == Cores(0, 5)
    single, *many = plan.groups()
    assert [(case.server, case.tls, case.readers) for case in single][:4] == [
        ("floor", False, 50),
        ("camfleet", False, 50),
        ("gst", False, 50),
        ("floor", False, 400),
    ]
    assert len(single) == 12
    assert [[(case.server, case.tls, case.cameras, case.readers) for case in group] for group in many] == [
        [("camfleet", False, 10, 200)],
        [("gst", False, 10, 200)],
        [("camfleet", False, 100, 400)],
        [("camfleet", True, 10, 200)],
        [("gst", True, 10, 200)],
        [("camfleet", True, 100, 400)],
    ]
    plan = arguments(monkeypatch, "--readers", "400", "--tls", "--servers", "floor,camfleet", "--cores", "5,1")
    assert [[(case.server, case.tls) for case in group] for group in plan.groups()] == [
        [("floor", True), ("camfleet", True)]
    ]
    assert plan.options.cores == Cores(5, 1)


@pytest.mark.parametrize("given", [("--servers", "floor,live555"), ("--readers", "many")])
def test_usage_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit):
        arguments(monkeypatch, *given)
    assert given[1].rpartition(",")[2] in capsys.readouterr().err


def test_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "FRAMES", 30)
    film, longer = tmp_path / "film.mp4", tmp_path / "longer.mp4"
    clip.make(film)
    units = clip.access_units(film)
    assert len(units) == 30
    kinds = [{nal[0] & 31 for nal in nal_units(unit)} for unit in units]
    assert kinds[0] >= {7, 8, 5}
    assert all(1 in kind and 5 not in kind for kind in kinds[1:])
    assert sum(map(len, units)) * 8 == pytest.approx(clip.BITRATE_BPS, rel=0.3)
    clip.repeat(film, longer, 3)
    data = longer.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(longer)) as file:
        track = file.streams.video[0]
        times = [packet.pts for packet in file.demux(track) if packet.size]
    assert times == [number * (times[1] or 0) for number in range(90)]
