"""The supervisor's end of the bus: what is dropped, what is delivered, who does not block us; and the status query."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from camfleet.core.wire.control import (
    WIRE_VERSION,
    Hello,
    Message,
    Ping,
    Pong,
    Status,
    StatusRequest,
    decode,
    encode,
)
from camfleet.supervisor.arbiter.bus import SOCKET_NAME, Bus, Peer, ServerNotRunningError, query_status

from tests.kit.supervisor import until


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Bus, list[tuple[Peer, Message]]]]:
    taken: list[tuple[Peer, Message]] = []
    bus = Bus(folder, lambda peer, message: taken.append((peer, message)))
    try:
        yield bus, taken
    finally:
        bus.close()


@contextlib.contextmanager
def dealer(folder: Path, high_water_mark: int = 1000) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.set(zmq.LINGER, 0)
        sock.set(zmq.RCVHWM, high_water_mark)
        sock.connect(f"ipc://{folder / SOCKET_NAME}")
        yield sock


def hello(camera: str = "ipc1") -> Hello:
    return Hello(version=WIRE_VERSION, camera=camera, pid=os.getpid())


async def test_both_directions(tmp_path: Path) -> None:
    async with running(tmp_path) as (bus, taken):
        with dealer(tmp_path) as worker:
            worker.send(encode(hello()))
            await until(lambda: taken)
            peer, message = taken[0]
            assert message == hello()
            assert bus.send(peer, Ping(id=7))
            await until(lambda: worker.poll(0))
            assert decode(worker.recv()) == Ping(id=7)


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xff" * 40],
        [encode(hello())[:-3]],
        [msgspec.msgpack.encode({"t": "Reboot"})],
        [msgspec.msgpack.encode({"t": "Hello", "version": "one"})],
        [msgspec.msgpack.encode({"t": "Pong", "id": 1, "extra": 2})],
        [encode(Pong(id=1)), encode(Pong(id=2))],
        [b"", encode(Pong(id=1))],
    ],
    ids=["empty", "garbage", "truncated", "unknown-type", "wrong-type", "unknown-field", "two-frames", "delimiter"],
)
async def test_what_is_no_message_is_dropped_and_counted(tmp_path: Path, frames: list[bytes]) -> None:
    """Bad input 76."""
    async with running(tmp_path) as (bus, taken):
        with dealer(tmp_path) as worker:
            worker.send_multipart(frames)
            worker.send(encode(hello()))
            await until(lambda: taken)
            assert [message for _, message in taken] == [hello()]
            assert bus.dropped == 1


async def test_drops_are_logged_once_a_second(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path) as (bus, taken):
        with dealer(tmp_path) as worker:
            for _ in range(500):
                worker.send(b"\xff")
            worker.send(encode(hello()))
            await until(lambda: taken)
            assert bus.dropped == 500
            assert 1 <= len(caplog.records) <= 3


async def test_a_peer_that_is_gone_is_not_sent_to(tmp_path: Path) -> None:
    async with running(tmp_path) as (bus, taken):
        assert not bus.send(b"nobody", Ping(id=1))
        with dealer(tmp_path) as worker:
            worker.send(encode(hello()))
            await until(lambda: taken)
        await until(lambda: not bus.send(taken[0][0], Ping(id=1)))


async def test_a_worker_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    """Bad input 78: send says no after a bounded number, others are served as ever, and it goes on afterwards."""
    async with running(tmp_path) as (bus, taken):
        with dealer(tmp_path, high_water_mark=1) as deaf, dealer(tmp_path) as other:
            deaf.send(encode(hello("ipc1")))
            other.send(encode(hello("ipc2")))
            await until(lambda: len(taken) == 2)
            peers = {message.camera: peer for peer, message in taken if isinstance(message, Hello)}
            big = Status(json=b"x" * 65_536)
            sent = 0
            while bus.send(peers["ipc1"], big):
                sent += 1
                assert sent < 3000
                if sent % 50 == 0:
                    await asyncio.sleep(0)
            assert bus.send(peers["ipc2"], Ping(id=1))
            await until(lambda: other.poll(0))
            for _ in range(sent):
                deaf.recv()
            await until(lambda: bus.send(peers["ipc1"], Ping(id=2)))


async def test_an_error_in_the_receiver_does_not_stop_the_bus(tmp_path: Path) -> None:
    taken: list[Message] = []

    def receive(_: Peer, message: Message) -> None:
        taken.append(message)
        raise ValueError("once more")

    bus = Bus(tmp_path, receive)
    with dealer(tmp_path) as worker:
        for number in range(3):
            worker.send(encode(Pong(id=number)))
        await until(lambda: len(taken) == 3)
    bus.close()


async def test_status_of_a_running_server(tmp_path: Path) -> None:
    async with running(tmp_path) as (bus, taken):
        query = asyncio.create_task(asyncio.to_thread(query_status, tmp_path))
        await until(lambda: taken)
        assert taken[0][1] == StatusRequest(version=WIRE_VERSION)
        bus.send(taken[0][0], Status(json=b"{}"))
        assert await query == b"{}"


async def test_status_of_a_server_that_does_not_answer(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(ServerNotRunningError, match="no server answers"):
            await asyncio.to_thread(query_status, tmp_path, 0.1)


def test_status_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(ServerNotRunningError, match="no server runs"):
        query_status(tmp_path)


async def test_status_after_a_server_was_killed(tmp_path: Path) -> None:
    """Its socket is still there."""
    async with running(tmp_path):
        (tmp_path / "stale").mkdir()
        os.link(tmp_path / SOCKET_NAME, tmp_path / "stale" / SOCKET_NAME)
    began = time.monotonic()
    with pytest.raises(ServerNotRunningError, match="no server runs"):
        await asyncio.to_thread(query_status, tmp_path / "stale", 60.0)
    assert time.monotonic() - began < 10


def test_status_of_another_users_server(tmp_path: Path) -> None:
    user = os.geteuid()
    tmp_path.chmod(0)
    try:
        if user == 0:  # no permission is missing to root
            os.seteuid(65534)
        with pytest.raises(ServerNotRunningError, match=r"bus\.sock: Permission denied; ask as the user"):
            query_status(tmp_path)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
