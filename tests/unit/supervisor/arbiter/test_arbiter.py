"""Who is accepted as a worker, and what happens to the others: the arbiter with real sockets and processes of paper."""

import asyncio
import fcntl
import time
from pathlib import Path

import msgspec
import pytest
from camfleet.core.wire.control import (
    EXIT_BOOT_FAILED,
    WIRE_VERSION,
    Configure,
    LockedOut,
    LoginFailed,
    Ping,
    Pong,
    Stats,
    StatsRequest,
    Status,
    StatusRequest,
    Stop,
)
from camfleet.supervisor.arbiter import arbiter as room
from camfleet.supervisor.arbiter.registry import Worker

from tests.kit.paper import USER, Rig, forked, running
from tests.kit.supervisor import until


async def test_a_worker_is_ready_when_it_was_heard_on_both_ways(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await until(lambda: rig.forks.of("ipc1"))
        worker = rig.worker()
        assert rig.state() == "starting"
        worker.hello()
        configure = await worker.hears(Configure)
        assert isinstance(configure, Configure)
        assert (configure.camera.id, configure.users, configure.nonce_key) == ("ipc1", [USER], b"n" * 32)
        assert rig.state() == "starting"
        hand_offs = worker.connect()
        await until(lambda: rig.state() == "running")
        hand_offs.close()
        await until(lambda: rig.state() == "starting")
        worker.connect()
        await until(lambda: rig.state() == "running")


async def test_the_other_order_is_as_good(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await until(lambda: rig.forks.of("ipc1"))
        worker = rig.worker()
        worker.connect()
        worker.hello()
        await until(lambda: rig.state() == "running")


async def test_a_hello_before_the_answer_of_the_fork_server_is_not_lost(tmp_path: Path) -> None:
    """The worker may be faster than the answer with its pid. It repeats its Hello only after a second."""
    async with running(tmp_path) as rig:
        rig.forks.open.clear()
        worker = rig.worker()
        worker.hello()
        await until(lambda: (found := rig.arbiter.registry.get("ipc1")) and found.early_hello)
        rig.forks.open.set()
        await worker.hears(Configure)


@pytest.mark.parametrize(
    ("camera", "pid"), [("ipc1", 1), ("ipc9", 0), ("", 0)], ids=["other-pid", "other-camera", "no-camera"]
)
async def test_who_is_not_the_cameras_process_is_not_its_worker(
    tmp_path: Path, camera: str, pid: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as rig:
        await forked(rig, 1)
        stranger = rig.worker()
        stranger.hello(camera, pid)
        stranger.say(Pong(id=1))
        assert await stranger.is_silent()
        assert rig.state() == "starting"
        worker = await rig.ready()
        stranger.say(Stats(id=1, camera="ipc1", streams=[], readers=b"[]", connections=9))
        worker.say(Pong(id=1))
        assert await stranger.is_silent()
        assert "news_failed" not in caplog.text


@pytest.mark.parametrize("camera", ["ipc9", "", "ipc1" * 30])
async def test_the_hand_off_socket_is_for_workers_of_known_cameras(tmp_path: Path, camera: str) -> None:
    async with running(tmp_path) as rig:
        await forked(rig, 1)
        sock = rig.worker().connect(camera or "\0")
        assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""


async def test_the_kernel_says_who_is_at_the_hand_off_socket(tmp_path: Path) -> None:
    """Whatever a Hello says."""
    async with running(tmp_path) as rig:
        rig.forks.pid = 1
        (process,) = await forked(rig, 1)
        worker = rig.worker()
        worker.hello(pid=process.pid)
        await worker.hears(Configure)
        sock = worker.connect()
        async with asyncio.timeout(2):
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
        assert rig.state() == "starting"


async def test_a_worker_that_reports_again_is_heard_by_its_newest_ways_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as rig:
        old = await rig.ready()
        assert old.hand_offs is not None
        new = rig.worker()
        new.hello()
        await new.hears(Configure)
        new.connect()
        async with asyncio.timeout(2):
            assert await asyncio.get_running_loop().sock_recv(old.hand_offs, 1) == b""
        assert rig.state() == "running"
        old.say(LoginFailed(address="192.0.2.9", user="viewer"))
        await until(lambda: "LoginFailed of one who is no worker" in str([vars(line) for line in caplog.records]))
        assert len(rig.lockout) == 0


async def test_a_worker_that_speaks_another_version_and_cannot_hand_over_is_killed(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        (process,) = await forked(rig, 1)
        rig.worker().hello(version=1)
        await until(lambda: process.killed)
        await forked(rig, 2)


async def test_a_status_is_for_every_version(tmp_path: Path) -> None:
    async def report() -> bytes:
        return b"{}"

    async with running(tmp_path) as rig:
        rig.arbiter.report = report
        client = rig.worker()
        for version in (1, WIRE_VERSION, WIRE_VERSION + 1):
            client.say(StatusRequest(version=version))
            assert await client.hears(Status) == Status(json=b"{}")


async def test_a_worker_with_other_settings_gets_these_and_lives_on(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        (process,) = await forked(rig, 1)
        worker = rig.worker()
        worker.hello(settings="another")
        configure = await worker.hears(Configure)
        assert isinstance(configure, Configure)
        worker.connect()
        await until(lambda: rig.state() == "running")
        worker.hello(settings=configure.digest())  # it reports again: after lost news, or to the next supervisor
        assert await worker.is_silent()
        assert not process.killed
        assert len(rig.forks.forks) == 1


async def test_settings_that_were_lost_are_repeated_until_they_are_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PING_INTERVAL_S", 0.02)
    async with running(tmp_path) as rig:
        worker = await rig.ready()
        known = rig.arbiter.registry.get("ipc1")
        assert known is not None
        for _ in range(3):
            ping = await worker.hears(Ping)
            assert isinstance(ping, Ping)
            worker.say(Pong(id=ping.id, settings="older"))
            configure = await worker.hears(Configure)
        assert isinstance(configure, Configure)
        in_force = configure.digest()
        for _ in range(3):
            ping = await worker.hears(Ping)
            assert isinstance(ping, Ping)
            worker.say(Pong(id=ping.id, settings=in_force))
        worker.say(Pong(id=known.told, settings="older"))  # said before the last order had come
        with pytest.raises(AssertionError, match="waited"):
            await worker.hears(Configure, timeout_s=0.2)


async def test_a_worker_that_never_reports_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "START_TIMEOUT_S", 0.05)
    async with running(tmp_path) as rig:
        (process,) = await forked(rig, 1)
        await until(lambda: process.killed)


async def test_pings_are_sent_and_silence_is_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PING_INTERVAL_S", 0.02)
    async with running(tmp_path, silence_timeout_s=0.3) as rig:
        worker = await rig.ready()
        (process,) = rig.forks.of("ipc1")
        begin = time.monotonic()
        while time.monotonic() - begin < 0.6:
            ping = await worker.hears(Ping)
            assert isinstance(ping, Ping)
            worker.say(Pong(id=ping.id))
        assert not process.killed
        await until(lambda: process.killed)


async def test_the_pid_in_a_lock_file_may_be_anybodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a worker long dead, when its successor has taken the lock and not yet written its own."""
    monkeypatch.setattr(room, "ADOPTION_TIMEOUT_S", 0.01)
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    with (tmp_path / "ipc1.lock").open("w") as lock, (tmp_path / "ipc9.lock").open("w") as other:
        for file in (lock, other):
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(str(bystander.pid))
            file.flush()
        async with running(tmp_path) as rig:
            await forked(rig, 1)
            await asyncio.sleep(0.1)  # ten time-outs: it would have been killed
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_a_crash_is_followed_by_a_start_at_once_and_then_by_pauses(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        for count in range(1, 4):
            (*_, process) = await forked(rig, count)
            process.end(-11)
        await forked(rig, 4)
        first, second, third, fourth = (moment for moment, _, _ in rig.forks.forks)
        assert second - first < 0.2
        assert 0.25 <= third - second < 0.45
        assert 0.5 <= fourth - third < 0.8


async def test_a_failed_boot_is_not_tried_again_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        (process,) = await forked(rig, 1)
        process.end(EXIT_BOOT_FAILED)
        await until(lambda: rig.state() == "restarting")
        await asyncio.sleep(0.3)  # longer than the first pause after crashes
        assert len(rig.forks.of("ipc1")) == 1


async def test_a_broken_fork_server_is_asked_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "ipc1")
    rig.forks.broken = True
    rig.arbiter.start()
    await until(lambda: rig.forks.refusals)
    rig.forks.broken = False
    (process,) = await forked(rig, 1)
    process.ended.set()
    await rig.arbiter.stop()


async def test_statistics_of_those_who_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "STATS_TIMEOUT_S", 0.5)
    async with running(tmp_path, "ipc1", "ipc2") as rig:
        one, two = await rig.ready("ipc1"), await rig.ready("ipc2")
        asking = asyncio.create_task(rig.arbiter.stats())
        request = await one.hears(StatsRequest)
        assert isinstance(request, StatsRequest)
        two.say(Stats(id=request.id + 1, camera="ipc2", streams=[], readers=b"[]", connections=1))  # not what was asked
        two.say(Stats(id=request.id, camera="ipc1", streams=[], readers=b"[]", connections=2))  # not its camera
        two.say(LoginFailed(address="192.0.2.9", user="viewer"))
        await until(lambda: len(rig.lockout))  # all of that has been heard
        one.say(Stats(id=request.id, camera="ipc1", streams=[], readers=b"[]", connections=3))
        answers = await asking
        assert {camera: stats.connections for camera, stats in answers.items()} == {"ipc1": 3}
        assert rig.arbiter._stats == {}


async def test_failed_logins_are_counted_over_all_workers_and_the_lock_out_told_to_all(tmp_path: Path) -> None:
    async with running(tmp_path, "ipc1", "ipc2") as rig:
        one, two = await rig.ready("ipc1"), await rig.ready("ipc2")
        one.say(LoginFailed(address="192.0.2.9", user="viewer"))
        assert await two.is_silent()
        two.say(LoginFailed(address="192.0.2.9", user="viewer"))
        for worker in (one, two):
            told = await worker.hears(LockedOut)
            assert isinstance(told, LockedOut)
            assert (told.address, told.user, told.seconds) == ("192.0.2.9", "viewer", 60.0)


async def test_what_changes_is_told_to_the_workers_that_it_concerns_and_all_live_on(tmp_path: Path) -> None:
    async with running(tmp_path, "ipc1", "ipc2") as rig:
        one, two = await rig.ready("ipc1"), await rig.ready("ipc2")
        first, second = rig.orders.cameras
        orders = rig.orders._replace(cameras=[first, msgspec.structs.replace(second, name="Lobby", max_sessions=7)])
        await rig.arbiter.apply(orders)
        configure = await two.hears(Configure)
        assert isinstance(configure, Configure)
        assert (configure.camera.name, configure.camera.max_sessions) == ("Lobby", 7)
        assert await one.is_silent()
        await rig.arbiter.apply(orders._replace(users=[]))
        for worker in (one, two):
            configure = await worker.hears(Configure)
            assert isinstance(configure, Configure)
            assert configure.users == []
        await rig.arbiter.apply(orders._replace(users=[]))
        assert await one.is_silent()
        assert await two.is_silent()
        assert len(rig.forks.forks) == 2


async def test_settings_that_change_before_a_worker_reports_reach_it(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await forked(rig, 1)
        (spec,) = rig.orders.cameras
        await rig.arbiter.apply(rig.orders._replace(cameras=[msgspec.structs.replace(spec, name="Lobby")]))
        worker = rig.worker()
        worker.hello()
        configure = await worker.hears(Configure)
        assert isinstance(configure, Configure)
        assert configure.camera.name == "Lobby"


async def test_cameras_come_and_go(tmp_path: Path) -> None:
    async with running(tmp_path, "ipc1", "ipc2") as rig:
        workers = {camera: await rig.ready(camera) for camera in ("ipc1", "ipc2")}
        one, _ = rig.orders.cameras
        new = msgspec.structs.replace(one, id="ipc3")
        applying = asyncio.create_task(rig.arbiter.apply(rig.orders._replace(cameras=[one, new])))
        await workers["ipc2"].hears(Stop)
        stopping = rig.arbiter.registry.get("ipc2")
        assert stopping is not None
        assert rig.state("ipc2") == "stopping"
        assert not stopping.ready.is_set()
        rig.forks.of("ipc2")[0].end(0)
        await applying
        await forked(rig, 1, "ipc3")
        assert rig.arbiter.registry.get("ipc2") is None
        assert len(rig.forks.of("ipc1")) == 1
        assert await workers["ipc1"].is_silent(0.05)
        again = asyncio.create_task(rig.arbiter.apply(rig.orders))  # ipc2 comes back, ipc3 goes
        await forked(rig, 2, "ipc2")
        rig.forks.of("ipc3")[0].end(0)
        await again


async def test_a_camera_that_changes_during_its_pause_does_not_wait(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        (process,) = await forked(rig, 1)
        process.end(EXIT_BOOT_FAILED)
        await until(lambda: rig.state() == "restarting")
        (spec,) = rig.orders.cameras
        await rig.arbiter.apply(rig.orders._replace(cameras=[msgspec.structs.replace(spec, name="mended")]))
        (_, process) = await forked(rig, 2)
        process.end(-11)
        await forked(rig, 3)
        _, second, third = (moment for moment, _, _ in rig.forks.forks)
        assert third - second < 0.2  # nothing is held against the new settings


async def test_after_a_change_a_worker_that_keeps_dying_is_not_started_again_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.ready()
        (spec,) = rig.orders.cameras
        await rig.arbiter.apply(rig.orders._replace(cameras=[msgspec.structs.replace(spec, name="changed")]))
        for count in (1, 2, 3):
            (*_, process) = await forked(rig, count)
            process.end(-11)
        await forked(rig, 4)
        *_, third, fourth = (moment for moment, _, _ in rig.forks.forks)
        assert fourth - third >= 0.25


async def test_a_worker_that_reports_when_it_shall_stop_is_told_so(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await forked(rig, 1)
        found = rig.arbiter.registry.get("ipc1")
        assert found is not None
        found.stopping = True
        worker = rig.worker()
        worker.hello()
        await worker.hears(Stop)


async def test_a_camera_that_comes_back_while_its_last_worker_leaves_gets_another(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.ready()
        (spec,) = rig.orders.cameras
        back = msgspec.structs.replace(spec, id="ipc9")
        rig.arbiter.registry.add(Worker(rig.arbiter._settings(back), wanted=False))
        await rig.arbiter.apply(rig.orders._replace(cameras=[spec, back]))
        await forked(rig, 1, "ipc9")


async def test_without_its_process_a_worker_is_not_ready_and_its_channel_is_closed(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        worker = await rig.ready()
        found = rig.arbiter.registry.get("ipc1")
        assert found is not None
        assert worker.hand_offs is not None
        found.detach()
        assert not found.ready.is_set()
        assert worker.hand_offs.recv(1) == b""


async def test_the_end_is_orderly_or_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "STOP_DEADLINE_S", 0.05)
    monkeypatch.setattr(room, "STOP_GRACE_S", 0.05)
    rig = Rig(tmp_path, "ipc1", "ipc2", "ipc3")
    rig.arbiter.start()
    orderly, deaf = await rig.ready("ipc1"), await rig.ready("ipc2")
    await forked(rig, 1, "ipc3")  # it has not reported yet
    ending = asyncio.create_task(rig.arbiter.stop())
    await orderly.hears(Stop)
    assert rig.forks.of("ipc3")[0].killed  # there is nobody to say goodbye to
    rig.forks.of("ipc1")[0].end(0)
    await deaf.hears(Stop)
    await ending
    assert [rig.forks.of(camera)[0].killed for camera in ("ipc1", "ipc2", "ipc3")] == [False, True, True]
    assert len(rig.forks.forks) == 3
    for worker in rig.workers:
        worker.close()
