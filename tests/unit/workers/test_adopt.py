"""workers/adopt.py: halves that come in any order, late, twice, never; the hand-off socket that comes and goes."""

import array
import asyncio
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from camfleet.core.net import fdpass
from camfleet.core.wire import HandoffRecord
from camfleet.core.wire.control import Adopt, Connection, HandBack, Message, Refused
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.workers import adopt
from camfleet.workers.adopt import HALF_TIMEOUT_NS, MAX_WAITING, Adopter, Handoff, HandoffSocket

from tests.kit.supervisor import FakeSupervisor, connection, open_descriptors, until


def record(handoff: int) -> HandoffRecord:
    return HandoffRecord(HANDOFF_VERSION, handoff, b"session", b"unread")


def order(handoff: int) -> Adopt:
    return Adopt(connection=connection(handoff), received=b"OPTIONS")


def is_open(descriptor: int) -> bool:
    """Of the fixture's: numbers are used again, so the file must be a pipe too."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def same_file(descriptor: int, other: int) -> bool:
    return os.path.sameopenfile(descriptor, other)


@pytest.fixture
def descriptor() -> Iterator[int]:
    """A descriptor to give away; closed after the test when nobody has done it."""
    read_end, write_end = os.pipe()
    yield read_end
    os.close(write_end)
    if is_open(read_end):
        os.close(read_end)


class Joined:
    """An Adopter and what came out of it."""

    def __init__(self, known: frozenset[int] = frozenset()) -> None:
        self.handoffs: list[Handoff] = []
        self.news: list[Message] = []
        self.adopter = Adopter(joined=self.handoffs.append, known=known.__contains__, news=self.news.append)


@pytest.mark.parametrize("first", ["order", "record"])
def test_two_halves_in_either_order_make_one_connection(first: str, descriptor: int) -> None:
    joined = Joined()
    halves: dict[str, Callable[[], None]] = {
        "order": lambda: joined.adopter.order(order(5), 0),
        "record": lambda: joined.adopter.record(record(5), descriptor, 0),
    }
    halves.pop(first)()
    assert joined.handoffs == []
    joined.adopter.order(order(6), 0)  # another's half changes nothing
    assert joined.handoffs == []
    (second,) = halves.values()
    second()
    assert joined.handoffs == [Handoff(connection(5), b"OPTIONS", record(5), descriptor)]
    assert is_open(descriptor)
    joined.adopter.tick(HALF_TIMEOUT_NS)
    assert joined.news == [Refused(handoff=6, reason="the descriptor did not come")]


def test_a_record_without_order_is_given_up_and_its_descriptor_closed(descriptor: int) -> None:
    joined = Joined()
    joined.adopter.record(record(5), descriptor, 0)
    joined.adopter.tick(HALF_TIMEOUT_NS - 1)
    assert is_open(descriptor)
    assert joined.news == []
    joined.adopter.tick(HALF_TIMEOUT_NS)
    assert not is_open(descriptor)
    assert joined.news == [Refused(handoff=5, reason="the order did not come")]
    joined.adopter.order(order(5), HALF_TIMEOUT_NS)  # too late: a half again
    assert joined.handoffs == []


def test_the_replay_of_a_half_is_dropped_without_touching_the_first(descriptor: int) -> None:
    joined = Joined()
    replayed = os.dup(descriptor)
    joined.adopter.record(record(5), descriptor, 0)
    joined.adopter.record(record(5), replayed, 0)
    assert not is_open(replayed)
    joined.adopter.order(order(5), 0)
    assert [handoff.descriptor for handoff in joined.handoffs] == [descriptor]


def test_the_replay_of_a_connection_that_lives_is_dropped(descriptor: int) -> None:
    joined = Joined(known=frozenset({5}))
    joined.adopter.order(order(5), 0)
    joined.adopter.record(record(5), descriptor, 0)
    assert not is_open(descriptor)
    joined.adopter.tick(HALF_TIMEOUT_NS)
    assert joined.handoffs == []
    assert joined.news == []  # a Refused would tell the supervisor that the living one is gone


def test_halves_that_wait_are_bounded(descriptor: int) -> None:
    joined = Joined()
    for handoff in range(MAX_WAITING):
        joined.adopter.order(order(handoff), 0)
    joined.adopter.order(order(MAX_WAITING), 0)
    assert joined.news == [Refused(handoff=MAX_WAITING, reason="too many hand-offs wait for their descriptor")]
    for handoff in range(1000, 1000 + MAX_WAITING):
        joined.adopter.record(record(handoff), os.dup(descriptor), 0)
    joined.adopter.record(record(5000), descriptor, 0)
    assert not is_open(descriptor)
    assert joined.news[1:] == [Refused(handoff=5000, reason="too many hand-offs wait for their order")]
    joined.adopter.close()
    assert len(joined.news) == 2 + 2 * MAX_WAITING


def test_close_refuses_what_waits(descriptor: int) -> None:
    joined = Joined()
    joined.adopter.order(order(1), 0)
    joined.adopter.record(record(2), descriptor, 0)
    joined.adopter.close()
    assert not is_open(descriptor)
    assert {message.handoff for message in joined.news if isinstance(message, Refused)} == {1, 2}


# ---------------------------------------------------------------- the socket


class Moved:
    """A HandoffSocket beside a supervisor, and what it has said."""

    def __init__(self, run_dir: Path, *, bus: bool = True) -> None:
        self.arrived: list[tuple[HandoffRecord, int]] = []
        self.said: list[Message] = []
        self.lost: list[tuple[int, str]] = []
        self._bus = bus
        self.socket = HandoffSocket(
            run_dir / "handoff.sock",
            "ipc1",
            arrived=lambda record, descriptor: self.arrived.append((record, descriptor)),
            news=self.news,
            lost=lambda handoff, reason: self.lost.append((handoff, reason)),
        )

    def news(self, message: Message) -> bool:
        self.said.append(message)
        return self._bus

    def close(self) -> None:
        self.socket.close()
        for _, arrived in self.arrived:
            os.close(arrived)


def test_names_its_camera_and_again_to_the_next_supervisor(tmp_path: Path, descriptor: int) -> None:
    async def run() -> None:
        moved = Moved(tmp_path)
        for life in (1, 2):
            with FakeSupervisor(tmp_path) as supervisor:
                assert await asyncio.to_thread(supervisor.accept) == "ipc1"
                assert supervisor.handoff is not None
                fdpass.send(supervisor.handoff, record(life), descriptor)
                await until(moved.arrived.__len__)
                came, arrived = moved.arrived.pop()
                assert came == record(life)
                assert same_file(arrived, descriptor)
                os.close(arrived)
        moved.close()

    asyncio.run(run())


def datagram(sock: socket.socket, data: bytes, descriptors: list[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sock.sendmsg([data], rights)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (record(1).pack(), 0),
        (record(1).pack(), 2),
        (record(1).pack(), 253),  # SCM_MAX_FD
        (b"", 1),
        (b"\xc1", 1),
        (record(1).pack()[:-1], 1),
        (HandoffRecord(HANDOFF_VERSION + 1, 1, b"").pack(), 1),
        (b"x" * 70_000, 1),
    ],
    ids=["none", "two", "most", "empty", "garbage", "truncated", "version", "oversized"],
)
def test_a_bad_datagram_leaves_no_descriptor_and_the_next_one_is_read(
    tmp_path: Path, descriptor: int, data: bytes, count: int
) -> None:
    async def run() -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            moved = Moved(tmp_path)
            await asyncio.to_thread(supervisor.accept)
            assert supervisor.handoff is not None
            before = open_descriptors()
            await asyncio.to_thread(datagram, supervisor.handoff, data, [descriptor] * count)
            await asyncio.to_thread(fdpass.send, supervisor.handoff, record(2), descriptor)
            await until(lambda: moved.arrived)
            assert [half.handoff for half, _ in moved.arrived] == [2]
            assert open_descriptors() == before + 1
            moved.close()

    asyncio.run(run())


def hand_back(who: Connection) -> HandBack:
    return HandBack(connection=who, received=b"DESCRIBE")


def test_hands_back_record_first_and_closes_its_copy(tmp_path: Path, descriptor: int) -> None:
    async def run() -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            moved = Moved(tmp_path)
            await asyncio.to_thread(supervisor.accept)
            given = os.dup(descriptor)
            moved.socket.hand_back(hand_back(connection(9)), record(9), given, 0)
            assert not is_open(given)
            assert supervisor.handoff is not None
            came, received = fdpass.receive(supervisor.handoff)
            assert came == record(9)
            assert same_file(received, descriptor)
            os.close(received)
            assert moved.said == [hand_back(connection(9))]
            assert moved.lost == []
            moved.close()

    asyncio.run(run())


def test_a_hand_back_waits_for_a_supervisor_and_leaves_when_it_comes(tmp_path: Path, descriptor: int) -> None:
    async def run() -> None:
        moved = Moved(tmp_path)
        moved.socket.hand_back(hand_back(connection(9)), record(9), descriptor, 0)
        moved.socket.tick(HALF_TIMEOUT_NS - 1)
        assert moved.said == []
        assert moved.socket.connections() == [connection(9)]
        with FakeSupervisor(tmp_path) as supervisor:
            await asyncio.to_thread(supervisor.accept)
            await until(lambda: moved.said)
            assert not is_open(descriptor)
        assert moved.socket.connections() == []
        moved.close()

    asyncio.run(run())


def test_a_hand_back_that_nobody_takes_is_closed(tmp_path: Path, descriptor: int) -> None:
    async def run() -> None:
        moved = Moved(tmp_path)
        moved.socket.hand_back(hand_back(connection(9)), record(9), descriptor, 0)
        moved.socket.tick(HALF_TIMEOUT_NS)
        assert not is_open(descriptor)
        assert moved.lost == [(9, "no supervisor took the connection")]
        moved.close()

    asyncio.run(run())


def test_a_hand_back_that_cannot_be_announced_is_lost(tmp_path: Path, descriptor: int) -> None:
    async def run() -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            moved = Moved(tmp_path, bus=False)
            await asyncio.to_thread(supervisor.accept)
            moved.socket.hand_back(hand_back(connection(9)), record(9), descriptor, 0)
            assert moved.lost == [(9, "the hand-back could not be announced")]
            assert not is_open(descriptor)
            moved.close()

    asyncio.run(run())


def test_hand_backs_leave_as_fast_as_the_supervisor_reads(tmp_path: Path, descriptor: int) -> None:
    """More than the socket holds, and no tick."""

    async def run() -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            moved = Moved(tmp_path)
            await asyncio.to_thread(supervisor.accept)
            count = 0
            while len(moved.said) == count:
                moved.socket.hand_back(hand_back(connection(count)), record(count), os.dup(descriptor), 0)
                count += 1
                assert count < MAX_WAITING
            assert supervisor.handoff is not None
            for handoff in range(count):
                came, received = await asyncio.to_thread(fdpass.receive, supervisor.handoff)
                os.close(received)
                assert came == record(handoff)
            assert (len(moved.said), moved.lost) == (count, [])
            moved.close()

    asyncio.run(run())


def test_a_supervisor_that_does_not_read_bounds_the_queue_and_blocks_nothing(
    tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopt, "MAX_WAITING", 4)

    async def run() -> None:
        with FakeSupervisor(tmp_path) as supervisor:
            moved = Moved(tmp_path)
            await asyncio.to_thread(supervisor.accept)
            before = open_descriptors()
            handoff = 0
            while not moved.lost:
                moved.socket.hand_back(hand_back(connection(handoff)), record(handoff), os.dup(descriptor), 0)
                handoff += 1
                assert handoff < 10_000
            assert open_descriptors() == before + 4
            assert moved.lost == [(handoff - 1, "too many hand-backs wait")]
            moved.socket.close()
            assert len(moved.lost) == 1 + 4
            assert open_descriptors() == before - 1
            moved.close()

    asyncio.run(run())
