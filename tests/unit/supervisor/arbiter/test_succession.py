"""A camera gets another worker beside its own: who is believed when, and what becomes of it if one of them fails."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from camfleet.core.build import build
from camfleet.core.wire.control import (
    WIRE_VERSION,
    Configure,
    Connection,
    Ended,
    MakeWay,
    Replaced,
    ReplaceRequest,
    Stop,
    SuccessionFailed,
)
from camfleet.supervisor.arbiter import arbiter, channel, succession
from camfleet.supervisor.arbiter.registry import Worker
from camfleet.supervisor.arbiter.succession import SuccessionError

from tests.kit.paper import PaperProcess, PaperWorker, Rig, forked, running_as
from tests.kit.supervisor import connection, until

OLD = os.getpid()
NEW = 1  # only a number


class Credentials:
    """What the kernel says of the next one at the hand-off socket."""

    size = 12
    pid = OLD

    def unpack(self, _: bytes) -> tuple[int, int, int]:
        return self.pid, os.getuid(), 0


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> Credentials:
    credentials = Credentials()
    monkeypatch.setattr(channel, "_CREDENTIALS", credentials)
    return credentials


class Change(Rig):
    """Of the only camera's worker; `old` serves."""

    old: PaperWorker
    new: PaperWorker

    @property
    def camera(self) -> Worker:
        camera = self.arbiter.registry.get("ipc1")
        assert camera is not None
        return camera

    def process(self, number: int) -> PaperProcess:
        return self.forks.of("ipc1")[number]

    def begin(self) -> "asyncio.Task[int]":
        self.forks.pid = NEW
        return asyncio.create_task(self.arbiter.successions.replace(self.camera))

    async def prepared(self, kernel: Credentials) -> None:
        """The new one has reported, and the old one is told to make way."""
        await forked(self, 2)
        assert self.process(1).successor
        self.new = self.worker()
        self.new.hello(pid=NEW, serving=False)
        configure = await self.new.hears(Configure)
        assert configure == self.camera.settings
        kernel.pid = NEW
        self.new.connect()
        assert await self.old.hears(MakeWay) == MakeWay(successor=NEW)

    def serves(self, *connections: Connection) -> None:
        self.new.hello(pid=NEW, settings=self.camera.digest, connections=list(connections))


async def test_the_new_one_serves_and_the_old_one_goes(tmp_path: Path, kernel: Credentials) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        task = rig.begin()
        await rig.prepared(kernel)
        assert (rig.camera.pid, rig.state()) == (OLD, "running")
        rig.serves(connection(1), connection(2))
        await until(lambda: rig.camera.pid == NEW)
        assert rig.camera.ready.is_set()
        await rig.old.hears(Stop)
        assert not task.done()
        rig.process(0).end(0)
        assert await task == 2
        assert (rig.camera.restarts, rig.camera.replacements, rig.camera.beside) == (0, 1, None)
        assert not rig.process(1).killed
        assert len(rig.forks.forks) == 2
        assert len(rig.arbiter.handoffs) == 2


async def test_the_end_of_the_new_one_is_the_end_of_a_worker(tmp_path: Path, kernel: Credentials) -> None:
    """The camera's keeper watches whoever serves."""
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        task = rig.begin()
        await rig.prepared(kernel)
        rig.serves()
        await rig.old.hears(Stop)
        rig.process(0).end(0)
        await task
        rig.process(1).end(-11)
        await forked(rig, 3)
        assert rig.camera.restarts == 1
        assert not rig.process(2).successor


async def test_the_news_of_both_are_believed_until_the_old_one_has_gone(tmp_path: Path, kernel: Credentials) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        rig.old.hello(connections=[connection(number) for number in (1, 2, 3)])
        await until(lambda: len(rig.arbiter.handoffs) == 3)
        task = rig.begin()
        await rig.prepared(kernel)
        rig.serves(connection(1), connection(2))
        await rig.old.hears(Stop)
        assert len(rig.arbiter.handoffs) == 3  # the third is the old one's: perhaps it is being given back
        rig.new.say(Ended(handoff=1, reason="closed by the peer"))
        await until(lambda: len(rig.arbiter.handoffs) == 2)
        rig.old.say(Ended(handoff=3, reason="closed by the server"))
        await until(lambda: len(rig.arbiter.handoffs) == 1)
        rig.process(0).end(0)
        await task
        assert [each.handoff for each in rig.arbiter.handoffs.connections()] == [2]


async def test_what_the_old_one_has_not_given_away_ends_with_it(tmp_path: Path, kernel: Credentials) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        rig.old.hello(connections=[connection(1), connection(2)])
        task = rig.begin()
        await rig.prepared(kernel)
        rig.serves(connection(2))
        await rig.old.hears(Stop)
        rig.process(0).end(0)
        await task
        assert [each.handoff for each in rig.arbiter.handoffs.connections()] == [2]


async def test_a_reason_of_either_ends_the_attempt(tmp_path: Path, kernel: Credentials) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        for who in ("old", "new"):
            task = rig.begin()
            await rig.prepared(kernel)
            getattr(rig, who).say(SuccessionFailed(reason=f"because of the {who} one"))
            with pytest.raises(SuccessionError, match=f"because of the {who} one"):
                await task
            _, _, last = rig.forks.forks[-1]
            assert last.killed
            assert (rig.camera.pid, rig.camera.beside, rig.state()) == (OLD, None, "running")
            rig.forks.forks.pop()
        assert not rig.process(0).killed
        assert rig.camera.replacements == 0


async def test_the_end_of_the_new_one_before_it_serves_ends_the_attempt(tmp_path: Path) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        task = rig.begin()
        await forked(rig, 2)
        rig.process(1).end(3)
        with pytest.raises(SuccessionError, match="exit status 3"):
            await task
        assert (rig.camera.pid, rig.camera.restarts) == (OLD, 0)


async def test_nothing_comes_of_it_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(succession, "TIMEOUT_S", 0.1)
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        task = rig.begin()
        with pytest.raises(SuccessionError, match=r"within 0\.1 s"):
            await task
        assert rig.process(1).killed
        rig.forks.broken = True
        with pytest.raises(SuccessionError, match="broken"):
            await rig.arbiter.successions.replace(rig.camera)


async def test_new_code_of_another_version_is_not_for_this_supervisor(tmp_path: Path) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        task = rig.begin()
        await forked(rig, 2)
        rig.worker().hello(pid=NEW, serving=False, version=WIRE_VERSION + 1)
        with pytest.raises(SuccessionError, match="restart the server"):
            await task
        assert rig.state() == "running"


async def test_the_new_one_serves_in_the_place_of_one_that_dies(tmp_path: Path, kernel: Credentials) -> None:
    """In the middle of it. It says so when it has the lock."""
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        rig.old.hello(connections=[connection(1)])
        task = rig.begin()
        await rig.prepared(kernel)
        rig.process(0).end(-9)
        rig.serves()
        await until(lambda: rig.camera.pid == NEW)
        assert await task == 0
        assert (rig.camera.restarts, rig.state()) == (1, "running")
        assert len(rig.forks.forks) == 2
        assert len(rig.arbiter.handoffs) == 0


async def test_one_that_does_not_serve_after_a_death_is_no_successor(
    tmp_path: Path, kernel: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(succession, "INHERITANCE_TIMEOUT_S", 0.1)
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        task = rig.begin()
        await rig.prepared(kernel)
        rig.process(0).end(-9)
        with pytest.raises(SuccessionError, match="ended before it could serve"):
            await task
        assert rig.process(1).killed
        await forked(rig, 3)
        assert not rig.process(2).successor


async def test_a_camera_that_is_removed_meanwhile_has_no_worker_at_all(tmp_path: Path, kernel: Credentials) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        task = rig.begin()
        await rig.prepared(kernel)
        applying = asyncio.create_task(rig.arbiter.apply(rig.orders._replace(cameras=[])))
        await until(lambda: rig.process(1).killed)  # before the lock is free
        await rig.old.hears(Stop)
        rig.process(0).end(0)
        await applying
        assert task.cancelled()
        assert rig.arbiter.registry.get("ipc1") is None


async def test_settings_that_change_meanwhile_are_the_new_ones(tmp_path: Path, kernel: Credentials) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        task = rig.begin()
        await rig.prepared(kernel)
        before = rig.camera.digest
        (spec,) = rig.orders.cameras
        await rig.arbiter.apply(rig.orders._replace(cameras=[msgspec.structs.replace(spec, name="Lobby")]))
        rig.new.hello(pid=NEW, settings=before)
        configure = await rig.new.hears(Configure)
        assert isinstance(configure, Configure)
        assert configure.camera.name == "Lobby"
        rig.process(0).end(0)
        await task


async def test_a_command_has_an_answer(tmp_path: Path, kernel: Credentials) -> None:
    async with running_as(Change, tmp_path) as rig:
        rig.old = await rig.ready()
        client = rig.worker()
        rig.forks.pid = NEW
        for camera in ("ipc1", "ipc9"):
            client.say(ReplaceRequest(version=WIRE_VERSION, camera=camera))
        assert await client.hears(Replaced) == Replaced(camera="ipc9", problem="there is no such camera")
        await rig.prepared(kernel)
        client.say(ReplaceRequest(version=WIRE_VERSION, camera="ipc1"))
        refused = await client.hears(Replaced)
        assert isinstance(refused, Replaced)
        assert "being replaced" in refused.problem
        rig.serves(connection(1))
        await rig.old.hears(Stop)
        rig.process(0).end(0)
        assert await client.hears(Replaced) == Replaced(camera="ipc1", pid=NEW, sessions=1)
        assert rig.forks.refreshed == 2
        client.say(ReplaceRequest(version=WIRE_VERSION + 1, camera="ipc1"))
        assert await client.is_silent()


@pytest.mark.parametrize("version", [WIRE_VERSION, WIRE_VERSION + 1])
async def test_a_worker_of_an_earlier_supervisor_with_other_code_is_replaced(
    tmp_path: Path, kernel: Credentials, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    found = [PaperProcess()]
    monkeypatch.setattr(arbiter, "find_worker", lambda _: found.pop() if found else None)
    (process,) = found
    async with running_as(Change, tmp_path) as rig:
        rig.old = rig.worker()
        rig.old.connect()
        rig.forks.pid = NEW
        for _ in range(2):  # it repeats what is not answered
            rig.old.hello(build="another", version=version)
        await until(lambda: rig.forks.of("ipc1"))
        assert rig.process(0).successor
        rig.new = rig.worker()
        rig.new.hello(pid=NEW, serving=False, build=build())
        kernel.pid = NEW
        rig.new.connect()
        await rig.old.hears(MakeWay)
        rig.serves()
        await rig.old.hears(Stop)
        process.end(0)
        await until(lambda: rig.camera.beside is None)
        assert (rig.camera.pid, rig.state()) == (NEW, "running")
        assert len(rig.forks.forks) == 1
        await rig.new.hears(Configure)
        rig.new.hello(pid=NEW, settings=rig.camera.digest, build="another")  # a fork server that was renewed meanwhile
        assert await rig.new.is_silent()
        assert len(rig.forks.forks) == 1


async def test_a_worker_of_another_version_that_cannot_be_replaced_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [PaperProcess()]
    monkeypatch.setattr(arbiter, "find_worker", lambda _: found.pop() if found else None)
    (process,) = found
    async with running_as(Change, tmp_path) as rig:
        rig.forks.pid = NEW
        rig.worker().hello(version=WIRE_VERSION + 1)
        await until(lambda: rig.forks.of("ipc1"))
        rig.process(0).end(3)
        await until(lambda: process.killed)
        await forked(rig, 2)
        assert not rig.process(1).successor
