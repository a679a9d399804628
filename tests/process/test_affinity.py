"""Workers get other cores while they play."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.kit.server import Server
from tests.kit.wait import wait_for
from tests.process.test_reload import reload

CORES = sorted(os.sched_getaffinity(0))
CAMERAS = ("ipc1", "ipc2", "ipc3", "ipc4")


def cores_of_threads(pid: int) -> set[tuple[int, ...]]:
    """Each set of cores that a thread of the process may use."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {tuple(sorted(os.sched_getaffinity(int(thread.name)))) for thread in threads}


def cores_in_status(server: Server) -> list[list[int]]:
    return [camera["worker_cores"] for camera in server.status()["cameras"]]


@pytest.mark.skipif(len(CORES) < 2, reason="of one core nobody has another")
def test_cores_change_while_a_reader_plays(folder: Path) -> None:
    with Server(folder, CAMERAS) as server, server.watch("ipc1") as reader:
        reader.wait_for_frames(5)
        before = server.worker_pid("ipc1")
        assert cores_in_status(server) == [CORES] * 4

        server.tail = '[workers]\naffinity = "spread"\n'
        server.write_config(CAMERAS)
        reload(server)
        spread = cores_in_status(server)
        used = Counter(core for cores in spread for core in cores)
        assert all(len(cores) == 1 for cores in spread)
        assert max(used.values()) - min(used[core] for core in CORES) <= 1
        (core,) = spread[0]
        assert cores_of_threads(before) == {(core,)}

        other = next(each for each in CORES if each != core)
        text = server.config.read_text().replace('id = "ipc1"\n', f'id = "ipc1"\ncpus = [{other}]\n')
        server.config.write_text(text)
        reload(server)
        assert cores_of_threads(before) == {(other,)}
        assert cores_in_status(server)[1:] == spread[1:]

        server.config.write_text(text.replace(f"cpus = [{other}]", "cpus = [1022]"))
        reload(server)
        refused = server.log_text().splitlines()[-1]
        assert "reload_refused" in refused
        assert "ipc1" in refused
        assert cores_of_threads(before) == {(other,)}

        reader.wait_for_frames(25)
        assert (reader.video.holes, server.worker_pid("ipc1")) == (0, before)


@pytest.mark.skipif(len(CORES) < 2, reason="of one core nobody has another")
def test_a_camera_keeps_its_core(folder: Path) -> None:
    """When its worker dies, and when the supervisor does."""
    with Server(folder, CAMERAS, tail='[workers]\naffinity = "spread"\n') as server:
        before = cores_in_status(server)
        assert all(len(cores) == 1 for cores in before)
        assert len({core for cores in before for core in cores}) == min(len(CORES), 4)
        old = server.worker_pid("ipc2")
        os.kill(old, 9)
        wait_for(lambda: server.camera("ipc2")["worker_pid"] not in (0, old))
        wait_for(lambda: cores_in_status(server) == before)
        server.kill()
        server.start()
        assert cores_in_status(server) == before
