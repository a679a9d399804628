"""workers/bus.py against a real ROUTER."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from camfleet.core.wire import WIRE_VERSION
from camfleet.core.wire.control import Hello, Message, Ping, Pong, encode
from camfleet.workers.bus import BATCH, HELLO_INTERVAL_NS, HIGH_WATER_MARK, Bus

from tests.kit.supervisor import TIMEOUT_S, FakeSupervisor, until

HELLO = Hello(version=WIRE_VERSION, camera="ipc1", pid=1)


class End:
    """A bus and what it received."""

    def __init__(self, run_dir: Path) -> None:
        self.received: list[Message] = []
        self.bus = Bus(run_dir / "bus.sock", hello=lambda: HELLO, received=self.received.append)


def on_bus(run_dir: Path, scenario: Callable[[End], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        end = End(run_dir)
        try:
            await scenario(end)
        finally:
            end.bus.close()

    asyncio.run(run())


async def greeted(supervisor: FakeSupervisor) -> None:
    def hello() -> bool:
        supervisor.pump()
        return HELLO in supervisor.messages

    await until(hello)
    supervisor.messages.clear()


def test_says_hello_when_a_supervisor_comes_and_again_when_the_next_one_comes(tmp_path: Path) -> None:
    async def scenario(end: End) -> None:
        assert not end.bus.send(Pong(id=1))  # nobody there yet: dropped, not queued
        for life in (1, 2, 3):
            with FakeSupervisor(tmp_path) as supervisor:
                await greeted(supervisor)
                supervisor.send(Ping(id=life))
                await until(end.received.__len__)
                assert end.received.pop() == Ping(id=life)
                assert end.bus.send(Pong(id=life))
                supervisor.pump(1)
                assert supervisor.messages == [Pong(id=life)]  # and no second Hello, no news for the dead

    on_bus(tmp_path, scenario)


def test_repeats_hello_every_second_until_a_word_comes_back(tmp_path: Path) -> None:
    async def scenario(end: End) -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            await greeted(supervisor)
            now_ns = time.monotonic_ns()
            end.bus.tick(now_ns)  # too early
            end.bus.tick(now_ns + HELLO_INTERVAL_NS)
            end.bus.tick(now_ns + HELLO_INTERVAL_NS + 1)  # too early again
            supervisor.expect(Hello)
            supervisor.send(Ping(id=1))
            await until(lambda: end.received)
            end.bus.tick(now_ns + 10 * HELLO_INTERVAL_NS)
            assert end.bus.send(Pong(id=1))
            supervisor.expect(Pong)
            assert supervisor.messages == []

    on_bus(tmp_path, scenario)


def test_sending_does_not_hide_what_has_come(tmp_path: Path) -> None:
    """ZeroMQ's descriptor is edge-triggered, and a look at the socket's state takes the edge."""

    async def scenario(end: End) -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            await greeted(supervisor)
            supervisor.send(Ping(id=1))
            for number in range(100):  # the loop stands still meanwhile
                assert end.bus.send(Pong(id=number))
                supervisor.expect(Pong)
            await until(end.received.__len__)

    on_bus(tmp_path, scenario)


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xc1"],
        [b"\x00" * 1000],
        [encode(Ping(id=1))[:-1]],
        [encode(Ping(id=1)) + b"\x00"],
        [b"\x82\xa1t\xa4Ping\xa2id\xa1x"],  # id is text
        [b"\x83\xa1t\xa4Ping\xa2id\x01\xa1x\x01"],  # one key too many
        [b"\x82\xa1t\xa7Unknown\xa2id\x01"],
        [b"\xdd\xff\xff\xff\xff"],  # array of 2^32 - 1
        [encode(Ping(id=1)), encode(Ping(id=2))],
    ],
    ids=lambda frames: frames[0][:8].hex() or "empty",
)
def test_a_bad_message_is_dropped_and_the_next_one_read(tmp_path: Path, frames: list[bytes]) -> None:
    async def scenario(end: End) -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            await greeted(supervisor)
            supervisor.send_raw(*frames)
            supervisor.send(Ping(id=7))
            await until(lambda: end.received)
            assert end.received == [Ping(id=7)]

    on_bus(tmp_path, scenario)


def test_an_order_that_fails_does_not_stop_the_next_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        received: list[Message] = []

        def order(message: Message) -> None:
            received.append(message)
            raise RuntimeError("out of luck")

        bus = Bus(tmp_path / "bus.sock", hello=lambda: HELLO, received=order)
        with FakeSupervisor(tmp_path) as supervisor:
            await greeted(supervisor)
            supervisor.send(Ping(id=1))
            supervisor.send(Ping(id=2))
            await until(lambda: len(received) == 2)
            bus.close()

    asyncio.run(run())
    assert "out of luck" in caplog.text


def test_a_flood_is_read_whole_and_leaves_turns_to_others(tmp_path: Path) -> None:
    async def scenario(end: End) -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            await greeted(supervisor)
            for number in range(10 * BATCH):
                supervisor.send(Ping(id=number))
            largest_step, seen = 0, 0
            async with asyncio.timeout(TIMEOUT_S):
                while seen < 10 * BATCH:
                    await asyncio.sleep(0)
                    largest_step, seen = max(largest_step, len(end.received) - seen), len(end.received)
            assert end.received == [Ping(id=number) for number in range(10 * BATCH)]
            assert largest_step <= 2 * BATCH

    on_bus(tmp_path, scenario)


def test_a_supervisor_that_does_not_read_costs_news_and_never_blocks(tmp_path: Path) -> None:
    async def scenario(end: End) -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            await greeted(supervisor)
            news = Pong(id=1)
            sent = 0
            while end.bus.send(news):
                sent += 1
                assert sent < 100 * HIGH_WATER_MARK
            supervisor.pump(1)
            await until(lambda: end.bus.send(news))
            supervisor.pump(1)
            assert HELLO not in supervisor.messages
            end.bus.tick(time.monotonic_ns())  # what was lost is in it
            supervisor.expect(Hello)
            supervisor.send(Ping(id=1))
            await until(lambda: end.received)
            end.bus.tick(time.monotonic_ns())
            assert end.bus.send(Pong(id=2))
            supervisor.pump(1)
            assert HELLO not in supervisor.messages

    on_bus(tmp_path, scenario)
