"""Workers on their cores: real threads and a real kernel, processes that only sleep."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from camfleet.core.wire import CameraSpec
from camfleet.supervisor.arbiter import affinity as room
from camfleet.supervisor.arbiter.affinity import Affinity, affinity, bind, cpu_time_ns
from camfleet.supervisor.arbiter.process import Process
from camfleet.supervisor.arbiter.registry import Registry, Worker
from camfleet.supervisor.cores import ranges, usable

from tests.kit.paper import forked, running
from tests.kit.supervisor import until
from tests.kit.worker import configure

S = 10**9
CORES = frozenset((0, 1, 2, 3))


class Machine:
    """Of four cores; knows of each process on which it was put and what it has used."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.cores = CORES
        self.of: dict[int, frozenset[int]] = {}
        self.cpu_ns: dict[int, int] = {}
        self.refuses = False
        patch.setattr(room, "usable", lambda: self.cores)
        patch.setattr(room, "affinity", lambda pid: self.of.get(pid, self.cores) if pid else frozenset())
        patch.setattr(room, "bind", self.bind)
        patch.setattr(room, "cpu_time_ns", self.cpu_ns.get)

    def bind(self, pid: int, cores: frozenset[int]) -> None:
        if self.refuses:
            raise PermissionError(1, "Operation not permitted")
        self.of[pid] = cores


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


class Fleet:
    def __init__(self, cameras: int) -> None:
        self.registry = Registry()
        self.affinity = Affinity(self.registry)
        for number in range(1, cameras + 1):
            self.registry.add(Worker(configure(CameraSpec(id=f"ipc{number}", name="", streams=()))))

    def worker(self, number: int) -> Worker:
        worker = self.registry.get(f"ipc{number}")
        assert worker is not None
        return worker

    def begin(self) -> None:
        for number, worker in enumerate(self.registry, 1):
            self.fork(worker, 100 + number)

    def fork(self, worker: Worker, pid: int) -> None:
        worker.attach(cast(Process, SimpleNamespace(pid=pid)))
        self.affinity.settle(worker)

    def cores(self) -> list[str]:
        return [ranges(worker.cores) for worker in self.registry]

    def looks(self, machine: Machine, loads: dict[int, float], first: int, last: int) -> None:
        """So many times, while the cameras use so much."""
        for number in loads:
            machine.cpu_ns.setdefault(self.worker(number).pid, 0)
        for second in range(first, last):
            self.affinity.look(second * S)
            for number, load in loads.items():
                pid = self.worker(number).pid
                machine.cpu_ns[pid] += int(load * S)


def test_without_an_order_the_kernel_decides(machine: Machine) -> None:
    fleet = Fleet(3)
    fleet.begin()
    assert fleet.cores() == ["0-3"] * 3
    assert machine.of == {}  # and nobody is touched


def test_spread_and_bound(machine: Machine) -> None:
    fleet = Fleet(6)
    fleet.affinity.order({"ipc2": frozenset((0, 1))}, spread=True)
    fleet.begin()
    assert fleet.cores() == ["0", "0-1", "2", "3", "1", "2"]  # half of the second camera counts on each of its cores
    assert machine.of[102] == {0, 1}


def test_another_order_moves_those_that_it_concerns(machine: Machine) -> None:
    fleet = Fleet(4)
    fleet.begin()
    fleet.affinity.order({}, spread=True)
    assert sorted(fleet.cores()) == ["0", "1", "2", "3"]
    machine.of[101] = frozenset((3,))  # by somebody's hand
    fleet.affinity.order({"ipc4": frozenset((1,))}, spread=True)
    assert machine.of[104] == {1}
    assert machine.of[101] == {3}
    fleet.affinity.order({}, spread=False)
    assert set(machine.of.values()) == {CORES}


def test_a_camera_keeps_its_core_through_restart_and_succession(machine: Machine) -> None:
    fleet = Fleet(3)
    fleet.affinity.order({}, spread=True)
    fleet.begin()
    worker = fleet.worker(2)
    before = worker.cores
    worker.detach()
    fleet.fork(worker, 202)
    assert machine.of[202] == before
    worker.beside = Worker(worker.settings)
    fleet.fork(worker.beside, 302)
    assert machine.of[302] == before


def test_a_worker_of_an_earlier_supervisor_stays_where_it_is(machine: Machine) -> None:
    fleet = Fleet(2)
    fleet.affinity.order({}, spread=True)
    machine.of[101] = frozenset((3,))
    fleet.begin()
    assert fleet.cores() == ["3", "0"]
    fleet.affinity.order({}, spread=False)
    assert machine.of[101] == CORES


def test_loads_are_measured_and_one_worker_at_a_time_is_moved(machine: Machine) -> None:
    machine.cores = frozenset((0, 1))
    fleet = Fleet(6)
    fleet.affinity.order({}, spread=True)
    fleet.begin()
    assert fleet.cores() == ["0", "1"] * 3
    loads = {1: 0.4, 3: 0.2, 5: 0.2, 2: 0.01, 4: 0.01, 6: 0.01}
    fleet.looks(machine, loads, 0, 10)
    assert fleet.worker(1).load is None  # one look tells nothing
    fleet.looks(machine, loads, 10, 11)
    assert fleet.worker(1).load == pytest.approx(0.4)
    assert fleet.cores() == ["1", "1", "0", "1", "0", "1"]
    fleet.looks(machine, loads, 11, 100)
    assert fleet.cores() == ["1", "1", "0", "1", "0", "1"]


def test_a_load_is_smoothed_and_another_process_is_measured_anew(machine: Machine) -> None:
    fleet = Fleet(1)
    fleet.begin()
    fleet.looks(machine, {1: 0.2}, 0, 11)
    fleet.looks(machine, {1: 0.6}, 11, 21)
    assert fleet.worker(1).load == pytest.approx(0.38)  # nine seconds of the second load
    fleet.worker(1).detach()
    fleet.fork(fleet.worker(1), 999)
    fleet.looks(machine, {1: 0.9}, 21, 31)
    assert fleet.worker(1).load == pytest.approx(0.38)


def test_the_large_ones_are_spread_first_and_the_small_ones_fill_the_gaps(machine: Machine) -> None:
    machine.cores = frozenset((0, 1))
    fleet = Fleet(3)
    fleet.begin()
    for number, load in ((1, 0.1), (2, 0.1), (3, 0.2)):
        fleet.worker(number).load = load
    fleet.affinity.order({}, spread=True)
    assert fleet.cores() == ["1", "1", "0"]


def test_one_that_has_ended_is_not_moved_and_uses_nothing(machine: Machine) -> None:
    machine.cores = frozenset((0, 1))
    fleet = Fleet(3)
    fleet.affinity.order({}, spread=True)
    fleet.begin()
    fleet.worker(1).load, fleet.worker(2).load, fleet.worker(3).load = 0.2, 0.0, 0.2
    fleet.worker(1).detach()
    fleet.affinity.look(S)
    assert fleet.cores() == ["0", "1", "0"]


def test_workers_of_a_core_that_is_gone_get_another(machine: Machine) -> None:
    fleet = Fleet(4)
    fleet.affinity.order({}, spread=True)
    fleet.begin()
    machine.cores = frozenset((0, 1))
    fleet.affinity.look(S)
    assert sorted(fleet.cores()) == ["0", "0", "1", "1"]


def test_one_that_is_bound_to_a_core_that_is_gone_is_the_kernels(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = Fleet(2)
    fleet.affinity.order({"ipc1": frozenset((3,))}, spread=True)
    fleet.begin()
    machine.cores, machine.refuses, machine.of[101] = frozenset((0, 1)), True, CORES
    for look in range(3):
        fleet.affinity.look(look * 11 * S)
    assert caplog.records == []
    assert fleet.cores() == ["3", "0"]


def test_a_kernel_that_refuses_is_named_and_harms_nothing(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(2)
    machine.refuses = True
    fleet.affinity.order({"ipc2": frozenset((1,))}, spread=False)
    fleet.begin()
    (record,) = caplog.records
    reason = "Operation not permitted; the kernel decides where it runs"
    said = {"camera": "ipc2", "pid": 102, "cores": "1", "reason": reason}
    assert (record.getMessage(), vars(record)["fields"]) == ("cores_refused", said)


@contextmanager
def sleeping_threads(count: int) -> Iterator[int]:
    """A process of so many threads and the first one."""
    text = f"import threading\nfor _ in range({count}): threading.Thread(target=input).start()\nprint(flush=True)"
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_all_threads_are_bound() -> None:
    core = frozenset((max(usable()),))
    with sleeping_threads(5) as pid:
        bind(pid, core)
        threads = [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
        assert len(threads) == 6
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {core}


def test_threads_that_begin_meanwhile_are_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter((["1", "2"], ["1", "2", "3"], ["1", "2", "3"]))
    bound = list[int]()
    monkeypatch.setattr(room, "_threads", lambda _: next(looks))
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, _: bound.append(thread))
    bind(1, frozenset((0,)))
    assert sorted(bound) == [1, 2, 3]


def test_who_has_ended_is_left_alone() -> None:
    with sleeping_threads(0) as pid:
        pass
    bind(pid, usable())
    assert affinity(pid) == affinity(0) == frozenset()
    assert cpu_time_ns(pid) is None


def test_a_core_that_is_not_there_is_an_error_of_the_kernel() -> None:
    with sleeping_threads(0) as pid, pytest.raises(OSError, match="Invalid argument"):
        bind(pid, frozenset((1023,)))


def test_cpu_time_is_that_of_all_threads() -> None:
    before = cpu_time_ns(os.getpid())
    busy = threading.Thread(target=lambda: sum(range(3_000_000)))
    busy.start()
    busy.join()
    after = cpu_time_ns(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before >= 10_000_000
    assert after <= time.process_time_ns()


async def test_the_arbiter_orders_settles_and_looks(
    tmp_path_factory: pytest.TempPathFactory, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camfleet.supervisor.arbiter.arbiter.PING_INTERVAL_S", 0.01)
    monkeypatch.setattr(room, "LOOK_INTERVAL_S", 0.01)
    async with running(tmp_path_factory.mktemp("s")) as rig:
        (process,) = await forked(rig, 1)
        machine.cpu_ns[process.pid] = 1
        await rig.arbiter.apply(rig.orders._replace(cores={"ipc1": frozenset((2,))}))
        assert machine.of[process.pid] == {2}
        await rig.arbiter.apply(rig.orders._replace(spread=True))
        worker = rig.arbiter.registry.get("ipc1")
        assert worker is not None
        await until(lambda: worker.load is not None)
        machine.cores = frozenset((1,))
        await until(lambda: machine.of[process.pid] == {1})
        process.end(0)
        await forked(rig, 2)
        assert worker.cores == {1}


@pytest.mark.parametrize(("cores", "text"), [((), ""), ((3,), "3"), ((2, 1, 0, 5), "0-2,5"), ((0, 2, 4, 5), "0,2,4-5")])
def test_cores_in_words(cores: tuple[int, ...], text: str) -> None:
    assert ranges(cores) == text
