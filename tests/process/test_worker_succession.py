"""Two real workers of one camera, the supervisor played by the test: the second takes over from the first."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from camfleet.core.wire.control import Hello, MakeWay, Stop

from tests.kit.interleaved import holes
from tests.kit.supervisor import FakeSupervisor
from tests.kit.worker import WorkerProcess, adopted, start

Starter = Callable[..., WorkerProcess]


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    workers: list[WorkerProcess] = []

    def start_worker(setup: str = "", *, successor: bool = True) -> WorkerProcess:
        workers.append(WorkerProcess(tmp_path, setup, successor=successor))
        return workers[-1]

    yield start_worker
    for worker in workers:
        worker.kill()
        print(worker.log)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[FakeSupervisor]:
    with FakeSupervisor(tmp_path) as supervisor:
        yield supervisor


@pytest.fixture
def old(supervisor: FakeSupervisor, starter: Starter) -> WorkerProcess:
    worker = starter(successor=False)
    start(supervisor, worker)
    return worker


def holder(tmp_path: Path) -> int:
    return int((tmp_path / "ipc1.lock").read_text())


def test_readers_of_all_kinds_go_over(
    supervisor: FakeSupervisor, starter: Starter, old: WorkerProcess, tmp_path: Path
) -> None:
    with adopted(supervisor, 1) as playing, adopted(supervisor, 2) as paused, adopted(supervisor, 3) as connected:
        playing.play()
        paused.play()
        assert paused.ask("PAUSE").status == 200
        playing.read_packets(3)
        new = starter()
        hello = start(supervisor, new)
        assert not hello.serving
        assert holder(tmp_path) == old.pid
        supervisor.send(MakeWay(successor=new.pid), to=old.pid)
        hello = supervisor.expect(Hello)
        assert (hello.pid, hello.serving) == (new.pid, True)
        assert {each.handoff for each in hello.connections} == {1, 2, 3}
        assert holder(tmp_path) == new.pid
        supervisor.send(Stop(), to=old.pid)
        assert old.wait() == 0
        playing.read_packets(30)
        assert holes(playing.packets) == 0
        assert len({packet.ssrc for packet in playing.packets}) == 1
        assert paused.ask("PLAY").status == 200
        paused.read_packets(10)
        assert connected.play().status == 200
        for player in playing, paused, connected:
            assert player.ask("GET_PARAMETER").status == 200
