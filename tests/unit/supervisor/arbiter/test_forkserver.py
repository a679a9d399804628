"""Both ends of the fork server, with real processes and a worker that does as it is told by the name of its camera."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from camfleet.core.log import level
from camfleet.supervisor.arbiter import forkserver as room
from camfleet.supervisor.arbiter.forkserver import ForkServer, ForkServerError
from camfleet.supervisor.arbiter.process import Process, describe

from tests.kit.supervisor import open_descriptors, until

# The real loop of the fork server, around a worker of three lines instead of PyAV and all.
PROGRAM = """
import json, os, pathlib, signal, socket, sys
from camfleet.workers.forkserver import prepare, serve
prepare()
orders = socket.socket(fileno=0)
order = serve(orders)
if order is not None:
    kind, _, number = order.camera.partition("_")
    if kind == "exit":
        os._exit(int(number))
    facts = {"descriptors": os.listdir("/proc/self/fd"), "environment": dict(os.environ), "ppid": os.getppid()}
    pathlib.Path(order.run_dir, order.camera + ".new").write_text(json.dumps(facts))
    os.rename(f"{order.run_dir}/{order.camera}.new", f"{order.run_dir}/{order.camera}")
    signal.pause()
"""
HANG = "import time; time.sleep(60)"  # far beyond the test; what a failed one leaves behind ends all the same


@contextlib.asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch, program: str = PROGRAM) -> AsyncIterator[ForkServer]:
    monkeypatch.setattr(room, "COMMAND", [sys.executable, "-P", "-c", program])
    forkserver = ForkServer()
    forkserver.start()
    try:
        yield forkserver
    finally:
        await forkserver.stop()


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_a_worker_is_forked_watched_and_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(monkeypatch) as forkserver:
        process = await forkserver.fork("stay_1", tmp_path)
        assert is_running(process.pid)
        assert not process.ended.is_set()
        process.kill()
        await process.ended.wait()
        assert await process.status() == -signal.SIGKILL
        process.kill()  # nothing to hit any more


@pytest.mark.parametrize(("camera", "status"), [("exit_0", 0), ("exit_3", 3), ("exit_255", 255)])
async def test_the_exit_status_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, camera: str, status: int
) -> None:
    async with running(monkeypatch) as forkserver:
        process = await forkserver.fork(camera, tmp_path)
        assert await process.status() == status


async def test_many_at_once_and_none_left_as_a_zombie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(monkeypatch) as forkserver:
        before = open_descriptors()
        processes = await asyncio.gather(*(forkserver.fork(f"exit_{number}", tmp_path) for number in range(50)))
        assert [await process.status() for process in processes] == list(range(50))
        assert open_descriptors() == before
        parent = forkserver.pid
        await until(lambda: not psutil.Process(parent).children())


async def test_a_worker_gets_no_descriptors_and_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "secret")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setenv("XDG_SESSION_TYPE", "wayland")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    async with running(monkeypatch) as forkserver:
        sibling = await forkserver.fork("stay_1", tmp_path)
        process = await forkserver.fork("stay_2", tmp_path)
        await until((tmp_path / "stay_2").exists)
        facts = json.loads((tmp_path / "stay_2").read_text())
        assert facts["ppid"] == forkserver.pid
        assert "SOME_PASSWORD" not in facts["environment"]
        # The last two: why there is no X server.
        assert {"PATH", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE"} <= set(facts["environment"])
        assert facts["environment"]["CAMFLEET_LOG_LEVEL"] == level()
        assert len(facts["descriptors"]) == 3 + 1  # the standard streams, and the folder that is being listed
        for each in (sibling, process):
            each.kill()
    os.close(reading)
    os.close(writing)


async def test_the_workers_outlive_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(monkeypatch) as forkserver:
        process = await forkserver.fork("stay_1", tmp_path)
    assert forkserver.pid == 0
    assert is_running(process.pid)
    adopted = Process.open(process.pid)
    adopted.kill()
    await adopted.ended.wait()
    await process.ended.wait()
    assert await process.status() is None  # its parent is gone and has told nobody


async def test_when_it_dies_another_one_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(monkeypatch) as forkserver:
        first = await forkserver.fork("stay_1", tmp_path)
        before = forkserver.pid
        os.kill(before, signal.SIGKILL)
        await until(lambda: forkserver.pid == 0)
        second = await forkserver.fork("stay_2", tmp_path)
        assert forkserver.pid not in (0, before)
        assert is_running(first.pid)
        for process in (first, second):
            process.kill()
            await process.ended.wait()


@pytest.mark.parametrize(
    "program",
    ["raise SystemExit(1)", f"import socket; socket.socket(fileno=0).send(b'nonsense'); {HANG}"],
    ids=["ends", "babbles"],
)
async def test_one_that_cannot_work_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> None:
    async with running(monkeypatch, program) as forkserver:
        with pytest.raises(ForkServerError):
            await forkserver.fork("stay_1", tmp_path)


async def test_one_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(room, "FORK_TIMEOUT_S", 0.1)
    async with running(monkeypatch, HANG) as forkserver:
        before = forkserver.pid
        with pytest.raises(ForkServerError):
            await forkserver.fork("stay_1", tmp_path)
        assert not is_running(before)


async def test_a_worker_for_one_who_has_gone_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(monkeypatch) as forkserver:
        asking = asyncio.create_task(forkserver.fork("stay_1", tmp_path))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        kept = await forkserver.fork("stay_2", tmp_path)
        await until(lambda: [child.pid for child in psutil.Process(forkserver.pid).children()] == [kept.pid])
        kept.kill()


async def test_the_end_that_is_waited_for_comes_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(monkeypatch) as forkserver:
        assert await (await forkserver.fork("exit_0", tmp_path)).end_within(5.0)
        assert not await (await forkserver.fork("stay_1", tmp_path)).end_within(0.05)


def test_a_process_that_is_not_there() -> None:
    async def open_it() -> None:
        Process.open(2**22 + 1)

    with pytest.raises(ProcessLookupError):
        asyncio.run(open_it())


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (None, "ended"),
        (0, "exit status 0"),
        (3, "exit status 3"),
        (-9, "killed by SIGKILL"),
        (-99, "killed by signal 99"),
    ],
)
def test_describe(status: int | None, text: str) -> None:
    assert describe(status) == text
