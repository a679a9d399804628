"""The hand-off channel: SO_PEERCRED, introduction, order, a worker that does not read, datagrams that are wrong."""

import array
import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from camfleet.core.net import fdpass
from camfleet.core.wire import HandoffRecord
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.supervisor.arbiter import channel as room
from camfleet.supervisor.arbiter.channel import SOCKET_NAME, ChannelError, HandoffChannel, HandoffListener

from tests.kit.supervisor import open_descriptors, until


def record(number: int, size: int = 0) -> HandoffRecord:
    return HandoffRecord(HANDOFF_VERSION, number, b"", b"x" * size)


@contextlib.asynccontextmanager
async def joined() -> AsyncIterator[tuple[HandoffChannel, socket.socket]]:
    """Our end, and the worker's socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    channel = HandoffChannel(ours, os.getpid())
    try:
        yield channel, theirs
    finally:
        theirs.close()
        channel.close()


@contextlib.asynccontextmanager
async def listening(folder: Path, accept: bool = True) -> AsyncIterator[list[HandoffChannel]]:
    introduced: list[HandoffChannel] = []

    def introduce(channel: HandoffChannel) -> bool:
        introduced.append(channel)
        return accept

    listener = HandoffListener(folder, introduce)
    try:
        yield introduced
    finally:
        for channel in introduced:
            channel.close()
        listener.close()


def note_and_close(received: list[int]) -> Callable[[HandoffRecord, int], None]:
    """What a channel may call for each record: the ids are noted."""

    def take(taken: HandoffRecord, descriptor: int) -> None:
        received.append(taken.handoff)
        os.close(descriptor)

    return take


def connect(folder: Path, name: bytes | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    sock.connect(str(folder / SOCKET_NAME))
    if name is not None:
        sock.send(name)
    return sock


async def test_records_arrive_in_order_with_their_descriptors() -> None:
    async with joined() as (channel, worker):
        reading, writing = os.pipe()
        await channel.send(record(1), writing)
        await channel.send(record(2), writing)
        os.close(writing)
        for number in (1, 2):
            received, descriptor = fdpass.receive(worker)
            assert received.handoff == number
            os.close(descriptor)
        os.close(reading)


async def test_a_worker_that_does_not_read_holds_back_only_its_own_senders() -> None:
    """Bad input 78. Nothing blocks, what waits is bounded, and all of it goes out once the worker reads."""
    async with joined() as (channel, worker):
        sends = [asyncio.create_task(channel.send(record(number, 16_000), worker.fileno())) for number in range(60)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = sum(not send.done() for send in sends)
        assert 10 < waiting < 60, "the test needs a full socket"

        seen: list[int] = []

        def drain() -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    received, descriptor = fdpass.receive(worker)
                    os.close(descriptor)
                    seen.append(received.handoff)
            return len(seen) == 60

        await until(drain)
        await asyncio.gather(*sends)
        assert seen == list(range(60))


async def test_too_many_waiting_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_WAITING", 20)
    async with joined() as (channel, worker):
        sends = [asyncio.create_task(channel.send(record(number, 60_000), worker.fileno())) for number in range(40)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        refused = [send for send in sends if send.done() and send.exception() is not None]
        assert refused
        assert all(isinstance(send.exception(), ChannelError) for send in refused)
        channel.close()
        assert all(
            isinstance(result, ChannelError | None) for result in await asyncio.gather(*sends, return_exceptions=True)
        )


async def test_a_cancelled_sender_sends_nothing_and_lets_the_next_one_through() -> None:
    async with joined() as (channel, worker):
        # Not a descriptor of this very channel: in flight in its own queue it would keep the socket open (unix(7)).
        sends = [asyncio.create_task(channel.send(record(number, 60_000), 0)) for number in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        blocked = [number for number, send in enumerate(sends) if not send.done()]
        sends[blocked[0]].cancel()
        seen: list[int] = []

        def drain() -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    received, descriptor = fdpass.receive(worker)
                    os.close(descriptor)
                    seen.append(received.handoff)
            return len(seen) == 19

        await until(drain)
        assert seen == [number for number in range(20) if number != blocked[0]]


async def test_a_send_may_be_the_first_to_see_the_death_of_the_worker() -> None:
    async with joined() as (channel, worker):
        ends: list[int] = []
        channel.closed = lambda: ends.append(1)
        worker.close()
        with pytest.raises(ChannelError):
            await channel.send(record(1), 0)
        assert ends == [1]


async def test_the_death_of_the_worker_ends_the_channel_once_and_every_waiting_sender() -> None:
    async with joined() as (channel, worker):
        ends: list[int] = []
        channel.closed = lambda: ends.append(1)
        channel.listen()
        # Not a descriptor of this very channel: in flight in its own queue it would keep the socket open (unix(7)).
        sends = [asyncio.create_task(channel.send(record(number, 60_000), 0)) for number in range(20)]
        await asyncio.sleep(0)
        worker.close()
        await until(lambda: bool(ends))
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert any(isinstance(result, ChannelError) for result in results)
        with pytest.raises(ChannelError):
            await channel.send(record(99), 0)
        channel.close()
        assert ends == [1]


@pytest.mark.parametrize("count", [0, 2, 253])
async def test_a_datagram_with_any_other_number_of_descriptors_leaks_none(count: int) -> None:
    """Bad input 77."""
    async with joined() as (channel, worker):
        received: list[int] = []
        channel.received = note_and_close(received)
        channel.listen()
        before = open_descriptors()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * count))] if count else []
        worker.sendmsg([record(1).pack()], rights)
        fdpass.send(worker, record(2), 0)
        await until(lambda: received == [2])
        assert open_descriptors() == before


@pytest.mark.parametrize("data", [b"\x00", b"not msgpack", HandoffRecord(HANDOFF_VERSION + 1, 1, b"").pack()])
async def test_a_datagram_that_is_no_record_is_dropped_with_its_descriptor(data: bytes) -> None:
    async with joined() as (channel, worker):
        received: list[int] = []
        channel.received = note_and_close(received)
        channel.listen()
        before = open_descriptors()
        worker.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
        fdpass.send(worker, record(2), 0)
        await until(lambda: received == [2])
        assert open_descriptors() == before


async def test_a_worker_introduces_itself_and_the_kernel_says_its_pid(tmp_path: Path) -> None:
    async with listening(tmp_path) as introduced:
        with connect(tmp_path, b"ipc1"):
            await until(lambda: bool(introduced))
            assert (introduced[0].camera, introduced[0].pid) == ("ipc1", os.getpid())


async def test_an_unknown_worker_is_turned_away(tmp_path: Path) -> None:
    async with listening(tmp_path, accept=False) as introduced:
        with connect(tmp_path, b"ipc9") as worker:
            await until(lambda: bool(introduced))
            assert await asyncio.get_running_loop().sock_recv(worker, 10) == b""


async def test_one_who_says_nothing_is_turned_away_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "INTRODUCTION_TIMEOUT_S", 0.05)
    async with listening(tmp_path, accept=False) as introduced:
        with connect(tmp_path, None) as worker:
            assert await asyncio.get_running_loop().sock_recv(worker, 10) == b""
            assert introduced[0].camera == ""


async def test_descriptors_in_an_introduction_are_not_kept(tmp_path: Path) -> None:
    async with listening(tmp_path) as introduced:
        with connect(tmp_path, None) as worker:
            before = open_descriptors()
            worker.sendmsg([b"ipc1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 5))])
            await until(lambda: bool(introduced))
            assert open_descriptors() == before + 1  # the accepted socket


async def test_the_socket_of_an_earlier_supervisor_is_replaced(tmp_path: Path) -> None:
    async with listening(tmp_path):
        pass
    assert (tmp_path / SOCKET_NAME).exists()
    async with listening(tmp_path) as introduced:
        with connect(tmp_path, b"ipc1"):
            await until(lambda: bool(introduced))


async def test_without_descriptors_a_worker_waits_and_the_loop_does_not_spin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(tmp_path) as introduced:
        with connect(tmp_path, b"ipc1"), monkeypatch.context() as poor:
            poor.setattr(socket.socket, "accept", out_of_descriptors)
            await until(lambda: bool(caplog.records))
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(caplog.records) == 1
        with connect(tmp_path, b"ipc2"):
            await until(lambda: "ipc2" in [channel.camera for channel in introduced])


def out_of_descriptors(_: socket.socket) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
