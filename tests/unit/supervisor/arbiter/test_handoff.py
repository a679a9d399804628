"""Hand-over and hand-back with a bus and workers made of paper: who owns the connection at every moment."""

import asyncio
import contextlib
import os
import socket
from typing import Self

import msgspec
import pytest
from camfleet.core.net import fdpass
from camfleet.core.tls import Session
from camfleet.core.wire import CameraSpec, HandoffRecord
from camfleet.core.wire.control import (
    Adopt,
    Adopted,
    Connection,
    Ended,
    Endpoint,
    HandBack,
    LoggedIn,
    Message,
    Pong,
    Refused,
    TLSInfo,
)
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.supervisor.arbiter import handoff as room
from camfleet.supervisor.arbiter.channel import HandoffChannel
from camfleet.supervisor.arbiter.handoff import Handoffs, HandOverError, Returned
from camfleet.supervisor.arbiter.registry import Worker
from camfleet.supervisor.config import Limits
from camfleet.supervisor.listen import Budget, Channel
from camfleet.supervisor.listen.budget import OverLimitError

from tests.kit.supervisor import open_descriptors, until
from tests.kit.worker import configure

ADDRESS = "127.0.0.1"
TLS_1_3, TLS_AES_128_GCM_SHA256 = 0x0304, 0x1301


class PaperBus:
    """Takes everything, or nothing."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.is_read = True

    def send(self, _: bytes, message: Message) -> bool:
        if self.is_read:
            self.sent.append(message)
        return self.is_read


def tls_session() -> Session:
    return Session.from_secrets(
        version=TLS_1_3,
        suite=TLS_AES_128_GCM_SHA256,
        sending_secret=b"s" * 32,
        receiving_secret=b"r" * 32,
        sending_sequence=2,
    )


class Rig:
    """Workers ipc1 and ipc2, and as many clients as wanted."""

    def __init__(self) -> None:
        self.bus = PaperBus()
        self.budget = Budget(Limits())
        self.handoffs = Handoffs(self.bus, self.budget)  # type: ignore[arg-type]  # all of a bus that it needs
        self.returned: list[Returned] = []
        self.handoffs.returned = self.returned.append
        self.sockets: list[socket.socket] = []
        self.workers: dict[str, Worker] = {}
        self.our_sockets: dict[str, socket.socket] = {}
        self.worker_sockets: dict[str, socket.socket] = {}
        for camera in ("ipc1", "ipc2"):
            self.start_worker(camera)

    def start_worker(self, camera: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (ours, theirs):
            sock.setblocking(False)
        worker = self.workers.setdefault(camera, Worker(configure(CameraSpec(id=camera, name="", streams=()))))
        worker.peer, worker.channel = camera.encode(), HandoffChannel(ours, os.getpid())
        worker.channel.listen()
        self.sockets += [ours, theirs]
        self.our_sockets[camera], self.worker_sockets[camera] = ours, theirs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.detach()
        for returned in self.returned:
            self.sockets.append(returned.channel.sock)
        for sock in self.sockets:
            sock.close()

    def client(self, number: int, session: Session | None = None) -> tuple[Connection, Channel]:
        with socket.create_server((ADDRESS, 0)) as listener:
            theirs = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        ours.setblocking(False)
        self.sockets += [ours, theirs]
        peer = Endpoint(*theirs.getsockname())
        channel = Channel(ours, peer, self.budget.admit(ADDRESS), session=session)
        return Connection(handoff=number, peer=peer), channel

    async def offer(
        self, number: int, camera: str = "ipc1", session: Session | None = None
    ) -> tuple[asyncio.Task[None], Channel, HandoffRecord, socket.socket]:
        """A hand-over as far as the worker has both halves and has not yet answered."""
        connection, channel = self.client(number, session)
        task = asyncio.create_task(self.handoffs.hand_over(self.workers[camera], connection, b"DESCRIBE", channel))
        await asyncio.sleep(0)
        record, descriptor = fdpass.receive(self.worker_sockets[camera])
        held = socket.socket(fileno=descriptor)
        self.sockets.append(held)
        return task, channel, record, held

    async def adopted(self, number: int, camera: str = "ipc1", session: Session | None = None) -> socket.socket:
        """The worker's end of a connection that it holds."""
        task, _, _, held = await self.offer(number, camera, session)
        assert self.handoffs.news(self.workers[camera], Adopted(handoff=number))
        await task
        return held

    def record(self, number: int, held: socket.socket, camera: str = "ipc1", session: bytes = b"") -> None:
        """The worker's record and descriptor come in."""
        record = HandoffRecord(HANDOFF_VERSION, number, session, b"")
        self.handoffs.record(self.workers[camera], record, os.dup(held.fileno()))


def hand_back(number: int) -> HandBack:
    """From a worker that lies about the rest."""
    connection = Connection(handoff=number, peer=Endpoint("192.0.2.66", 66))
    return HandBack(connection=connection, received=b"DESCRIBE rtsp://x/ipc2")


async def test_adopted_the_connection_is_the_workers() -> None:
    with Rig() as rig:
        task, channel, record, held = await rig.offer(1, session=tls_session())
        (adopt,) = rig.bus.sent
        assert isinstance(adopt, Adopt)
        assert (adopt.connection.handoff, adopt.received) == (1, b"DESCRIBE")
        assert Session.from_export(record.session).sending_sequence == 2
        assert channel.sock.fileno() >= 0  # ours too, until the answer

        assert rig.handoffs.news(rig.workers["ipc1"], Adopted(handoff=1))
        await task
        assert channel.sock.fileno() == -1
        assert held.getpeername()
        assert (len(rig.handoffs), rig.budget.connections) == (1, 1)
        assert rig.handoffs.news(rig.workers["ipc1"], Ended(handoff=1, reason="closed"))
        assert (len(rig.handoffs), rig.budget.connections) == (0, 0)


@pytest.mark.parametrize("end", ["refused", "died"])
async def test_not_adopted_the_connection_is_ours_again_with_its_session(end: str) -> None:
    with Rig() as rig:
        task, channel, _, _ = await rig.offer(1, session=tls_session())
        if end == "refused":
            assert rig.handoffs.news(rig.workers["ipc1"], Refused(handoff=1, reason="full"))
        else:
            rig.handoffs.lost("ipc1", 0)
        with pytest.raises(HandOverError):
            await task
        assert channel.session is not None
        assert channel.session.seal(b"x", 0) == tls_session().seal(b"x", 0)
        assert (len(rig.handoffs), rig.budget.connections) == (0, 1)  # the channel's lease

        rig.start_worker("ipc1")
        again = asyncio.create_task(rig.handoffs.hand_over(rig.workers["ipc1"], rig.client(1)[0], b"DESCRIBE", channel))
        await asyncio.sleep(0)
        os.close(fdpass.receive(rig.worker_sockets["ipc1"])[1])
        assert rig.handoffs.news(rig.workers["ipc1"], Adopted(handoff=1))
        await again


async def test_a_worker_that_does_not_read_the_bus_gets_no_order_and_is_not_ready() -> None:
    """The record alone is nothing to it, and the connection stays ours."""
    with Rig() as rig:
        rig.bus.is_read = False
        worker = rig.workers["ipc1"]
        assert worker.channel is not None
        ends: list[str] = []
        worker.channel.closed = lambda: ends.append("until it reports again")
        connection, channel = rig.client(1, tls_session())
        with pytest.raises(HandOverError, match="bus"):
            await rig.handoffs.hand_over(worker, connection, b"", channel)
        assert ends == ["until it reports again"]
        os.close(fdpass.receive(rig.worker_sockets["ipc1"])[1])
        with pytest.raises(EOFError):
            fdpass.receive(rig.worker_sockets["ipc1"])
        assert channel.session is not None
        assert channel.session.sending_sequence == 2
        assert (len(rig.handoffs), rig.budget.connections) == (0, 1)


async def test_orders_wait_for_their_records() -> None:
    """A worker that is slow gets no more orders than records: it would refuse what it cannot keep."""
    with Rig() as rig:
        tasks = []
        for number in range(1, 500):
            connection, channel = rig.client(number)
            tasks.append(asyncio.create_task(rig.handoffs.hand_over(rig.workers["ipc1"], connection, b"", channel)))
        await asyncio.sleep(0)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                os.close(fdpass.receive(rig.worker_sockets["ipc1"])[1])
                sent += 1
        assert 0 < sent < len(tasks), "the socket holds them all"
        assert len(rig.bus.sent) == sent
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_worker_that_does_not_read_its_hand_offs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HAND_OVER_TIMEOUT_S", 0.05)
    with Rig() as rig:
        connection, channel = rig.client(1, tls_session())
        full = HandoffRecord(HANDOFF_VERSION, 0, b"", b"x" * 60_000)
        with contextlib.suppress(BlockingIOError):
            while True:
                fdpass.send(rig.our_sockets["ipc1"], full, channel.sock.fileno())
        with pytest.raises(HandOverError, match="does not read its hand-offs"):
            await rig.handoffs.hand_over(rig.workers["ipc1"], connection, b"", channel)
        assert channel.session is not None
        assert channel.session.sending_sequence == 2
        assert (len(rig.handoffs), rig.budget.connections) == (0, 1)


async def test_without_an_answer_the_worker_is_believed_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HAND_OVER_TIMEOUT_S", 0.05)
    with Rig() as rig:
        task, channel, _, _ = await rig.offer(1)
        await task
        assert channel.sock.fileno() == -1
        assert (len(rig.handoffs), rig.budget.connections) == (1, 1)
        assert rig.handoffs.news(rig.workers["ipc1"], Adopted(handoff=1))  # late
        rig.handoffs.lost("ipc1", 0)
        assert (len(rig.handoffs), rig.budget.connections) == (0, 0)


async def test_a_cancelled_hand_over_leaves_the_connection_to_the_worker() -> None:
    """At the end of the supervisor: a close_notify of ours in the middle of the worker's records would ruin them."""
    with Rig() as rig:
        task, channel, _, held = await rig.offer(1, session=tls_session())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert channel.sock.fileno() == -1
        await channel.close()
        assert held.getpeername()


@pytest.mark.parametrize("record_first", [True, False])
async def test_a_hand_back_is_joined_in_either_order(record_first: bool) -> None:
    with Rig() as rig:
        held = await rig.adopted(1)
        peer = Endpoint(*held.getpeername())
        before = open_descriptors()
        if record_first:
            rig.record(1, held, session=tls_session().export(0))
            assert rig.handoffs.news(rig.workers["ipc1"], hand_back(1))
        else:
            assert rig.handoffs.news(rig.workers["ipc1"], hand_back(1))
            rig.record(1, held, session=tls_session().export(0))
        ((connection, channel),) = rig.returned
        assert connection.peer == channel.peer == peer  # what we knew, not what the worker says
        assert channel.session is not None
        assert channel.session.sending_sequence == 2
        assert await channel.receive() == b"DESCRIBE rtsp://x/ipc2"
        assert (len(rig.handoffs), rig.budget.connections) == (0, 1)
        assert open_descriptors() == before + 1
        await channel.close()
        assert rig.budget.connections == 0


async def test_what_one_camera_may_not_know_of_a_client_is_not_forgotten() -> None:
    """The worker hears less than we know; when the connection comes back, we know it again."""
    verified = TLSInfo(version="TLSv1.3", suite="", client_user="viewer", client_authority="A")
    with Rig() as rig:
        connection, channel = rig.client(1)
        channel.tls = verified
        told = msgspec.structs.replace(connection, tls=verified).where_trusted("B")
        task = asyncio.create_task(rig.handoffs.hand_over(rig.workers["ipc1"], told, b"DESCRIBE", channel))
        await asyncio.sleep(0)
        _, descriptor = fdpass.receive(rig.worker_sockets["ipc1"])
        held = socket.socket(fileno=descriptor)
        rig.sockets.append(held)
        (adopt,) = rig.bus.sent
        assert isinstance(adopt, Adopt)
        assert (adopt.connection.client_user, adopt.connection.client_authority) == ("", "")
        rig.handoffs.news(rig.workers["ipc1"], Adopted(handoff=1))
        await task
        rig.record(1, held)
        assert rig.handoffs.news(rig.workers["ipc1"], hand_back(1))
        ((connection, channel),) = rig.returned
        assert connection.tls == channel.tls == verified


async def test_a_worker_cannot_vouch_for_a_clients_certificate() -> None:
    """Of connections that are found again after our own restart, nobody else knows who it was."""
    claimed = TLSInfo(version="TLSv1.3", suite="", client_user="admin", client_authority="A")
    with Rig() as rig:
        found = Connection(handoff=1, peer=Endpoint("192.0.2.1", 1), tls=claimed)
        rig.handoffs.restore(rig.workers["ipc1"], [found])
        _, channel = rig.client(1)
        rig.record(1, channel.sock)
        assert rig.handoffs.news(rig.workers["ipc1"], hand_back(1))
        ((connection, _),) = rig.returned
        assert (connection.client_user, connection.client_authority) == ("", "")
        assert connection.tls is not None
        assert connection.tls.version == "TLSv1.3"


async def test_a_finished_hand_back_does_not_haunt_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps its id: the time-out of the first must not end the second."""
    monkeypatch.setattr(room, "HALF_TIMEOUT_S", 0.05)
    with Rig() as rig:
        held = await rig.adopted(1)
        rig.record(1, held)
        assert rig.handoffs.news(rig.workers["ipc1"], hand_back(1))
        await rig.adopted(1, "ipc2")
        await asyncio.sleep(0.1)  # twice the time-out of the first
        assert len(rig.handoffs) == 1


@pytest.mark.parametrize("half", ["message", "record"])
async def test_half_a_hand_back_is_given_up(half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HALF_TIMEOUT_S", 0.05)
    with Rig() as rig:
        held = await rig.adopted(1)
        before = open_descriptors()
        if half == "message":
            assert rig.handoffs.news(rig.workers["ipc1"], hand_back(1))
        else:
            rig.record(1, held)
        await until(lambda: len(rig.handoffs) == 0)
        assert rig.budget.connections == 0
        assert open_descriptors() == before
        assert rig.returned == []


async def test_a_hand_back_with_a_session_that_is_none_is_dropped() -> None:
    with Rig() as rig:
        held = await rig.adopted(1)
        before = open_descriptors()
        assert rig.handoffs.news(rig.workers["ipc1"], hand_back(1))
        rig.record(1, held, session=b"not an export")
        assert rig.returned == []
        assert (len(rig.handoffs), rig.budget.connections) == (0, 0)
        assert open_descriptors() == before


async def test_a_worker_dies_between_the_halves() -> None:
    with Rig() as rig:
        held = await rig.adopted(1)
        before = open_descriptors()
        rig.record(1, held)
        rig.handoffs.lost("ipc1", 0)
        assert (len(rig.handoffs), rig.budget.connections) == (0, 0)
        assert open_descriptors() == before


@pytest.mark.parametrize(
    "news",
    [
        Adopted(handoff=1),
        Ended(handoff=1, reason="mine"),
        Refused(handoff=1, reason="mine"),
        hand_back(1),
        Adopted(handoff=2),
        Ended(handoff=2, reason="unknown"),
        Pong(id=1),
    ],
    ids=["adopted", "ended", "refused", "hand-back", "adopted-unknown", "ended-unknown", "something-else"],
)
async def test_a_worker_is_believed_only_about_connections_that_it_holds(news: Message) -> None:
    """Bad input 76: of ipc1's connection ipc2 may say nothing."""
    with Rig() as rig:
        held = await rig.adopted(1, "ipc1")
        assert not rig.handoffs.news(rig.workers["ipc2"], news)
        before = open_descriptors()
        rig.record(1, held, "ipc2")
        rig.record(2, held, "ipc2")
        assert open_descriptors() == before
        assert rig.returned == []
        assert (len(rig.handoffs), rig.budget.connections) == (1, 1)


async def test_news_that_come_twice_count_once() -> None:
    """A replay."""
    with Rig() as rig:
        held = await rig.adopted(1)
        worker = rig.workers["ipc1"]
        assert rig.handoffs.news(worker, Adopted(handoff=1))
        before = open_descriptors()
        rig.record(1, held)
        rig.record(1, held)
        assert open_descriptors() == before + 1
        assert rig.handoffs.news(worker, hand_back(1))
        assert not rig.handoffs.news(worker, hand_back(1))
        assert not rig.handoffs.news(worker, Ended(handoff=1, reason="late"))
        assert (len(rig.returned), rig.budget.connections) == (1, 1)


async def test_the_connections_of_an_adopted_worker_are_counted_once() -> None:
    with Rig() as rig:
        connections = [Connection(handoff=n, peer=Endpoint(ADDRESS, n)) for n in range(3)]
        rig.handoffs.restore(rig.workers["ipc1"], connections)
        rig.handoffs.restore(rig.workers["ipc1"], connections)
        assert rig.handoffs.connections() == connections
        assert (len(rig.handoffs), rig.budget.connections) == (3, 3)
        rig.handoffs.lost("ipc1", 0)
        assert (len(rig.handoffs), rig.budget.connections) == (0, 0)


async def test_a_hello_ends_what_the_worker_no_longer_holds() -> None:
    """Its Ended was lost in a full queue; what is still on its way there, or on its way back, is not in a Hello."""
    with Rig() as rig:
        await rig.adopted(1)
        await rig.adopted(2)
        returning = await rig.adopted(3)
        rig.record(3, returning)
        await rig.adopted(4, "ipc2")
        task, _, _, _ = await rig.offer(5)
        kept = Connection(handoff=2, peer=Endpoint(ADDRESS, 2))
        rig.handoffs.restore(rig.workers["ipc1"], [kept])
        assert (len(rig.handoffs), rig.budget.connections) == (4, 4)
        assert not rig.handoffs.news(rig.workers["ipc1"], Ended(handoff=1, reason="late"))
        assert rig.handoffs.news(rig.workers["ipc1"], hand_back(3))
        assert rig.handoffs.news(rig.workers["ipc1"], Adopted(handoff=5))
        await task


async def test_a_hello_answers_for_a_lost_adopted() -> None:
    with Rig() as rig:
        task, channel, _, _ = await rig.offer(1)
        connection = Connection(handoff=1, peer=Endpoint(ADDRESS, 1))
        rig.handoffs.restore(rig.workers["ipc1"], [connection])
        await asyncio.wait_for(task, 1)
        assert channel.sock.fileno() == -1
        assert (len(rig.handoffs), rig.budget.connections) == (1, 1)


async def test_strangers_at_workers_are_bounded_by_address() -> None:
    """Else two addresses could take all of limits.sessions."""
    with Rig() as rig:
        rig.budget.limits = Limits(pending_per_address=2)
        await rig.adopted(1)
        await rig.adopted(2, "ipc2")
        with pytest.raises(OverLimitError):
            rig.budget.admit(ADDRESS)
        assert not rig.handoffs.news(rig.workers["ipc1"], LoggedIn(handoff=2))
        assert rig.handoffs.news(rig.workers["ipc2"], LoggedIn(handoff=2))
        rig.budget.admit(ADDRESS).release()


async def test_a_login_of_which_the_news_was_lost_is_believed_at_the_next_hello() -> None:
    with Rig() as rig:
        await rig.adopted(1)
        assert rig.budget._accounts[ADDRESS].pending == 1
        rig.handoffs.restore(rig.workers["ipc1"], rig.handoffs.connections())
        assert rig.budget._accounts[ADDRESS].pending == 0
        rig.handoffs.close()
