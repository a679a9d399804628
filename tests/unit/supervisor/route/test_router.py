"""From a channel to a worker: waiting for it, trying again, giving up; and connections that come back."""

import asyncio
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from camfleet.core.log import Log
from camfleet.core.rtsp import Lockout
from camfleet.core.wire import CameraSpec
from camfleet.core.wire.control import Connection, TLSInfo
from camfleet.supervisor.arbiter import Arbiter, HandOverError
from camfleet.supervisor.arbiter.handoff import Returned
from camfleet.supervisor.arbiter.registry import Registry, Worker
from camfleet.supervisor.config import Limits
from camfleet.supervisor.listen import Budget, Channel, Journal
from camfleet.supervisor.listen.tcp import endpoint
from camfleet.supervisor.route import Router
from camfleet.supervisor.route import router as room
from camfleet.supervisor.tls import Policy

from tests.kit.rtsp import authenticator, digest, nonce_of, parse_replies, request
from tests.kit.supervisor import until
from tests.kit.worker import configure

URL = "rtsp://127.0.0.1:8554/ipc1-stream1/testlive"
DESCRIBE = request("DESCRIBE", URL)


class PaperHandoffs:
    """Takes every connection, or fails as `error` says; `count` are held already."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Connection, bytes]] = []
        self.error: Callable[[], None] = lambda: None
        self.returned: Callable[[Returned], None] = lambda _: None
        self.count = 0

    def __len__(self) -> int:
        return self.count

    async def hand_over(self, worker: Worker, connection: Connection, received: bytes, channel: Channel) -> None:
        self.error()
        self.taken.append((worker.camera, connection, received))
        channel.detach()


class Rig:
    """A router in front of camera ipc1, and a client on a real socket."""

    def __init__(self) -> None:
        self.handoffs = PaperHandoffs()
        self.registry = Registry()
        self.worker = Worker(configure(CameraSpec(id="ipc1", name="", streams=())))
        self.registry.add(self.worker)
        self.budget = Budget(Limits())
        self.journal = Journal(Log("listen"))
        self.lockouts: list[tuple[str, str]] = []
        self.policies = {"global": Policy(), "ipc1": Policy()}
        arbiter = SimpleNamespace(
            registry=self.registry,
            handoffs=self.handoffs,
            spread_lockout=lambda address, user: self.lockouts.append((address, user)),
        )
        self.router = Router(
            cast(Arbiter, arbiter), authenticator(), Lockout(), Limits(), self.journal, self.policies.__getitem__
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname(), timeout=5)
            sock, _ = listener.accept()
        sock.setblocking(False)
        peer = endpoint(self.client.getsockname())
        self.channel = Channel(sock, peer, self.budget.admit(peer.host))
        self.client.sendall(DESCRIBE)

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: Any) -> None:
        self.client.close()
        self.channel.sock.close()

    def connection(self, handoff: int) -> Connection:
        return Connection(handoff=handoff, peer=self.channel.peer)

    async def serve(self) -> None:
        await self.router.serve(self.channel)

    async def waits(self) -> None:
        """For the worker to be ready."""
        await until(lambda: self.worker.ready._waiters)

    async def answers(self) -> list[int]:
        """Statuses of what the client gets now."""
        self.client.setblocking(False)
        async with asyncio.timeout(5):
            data = await asyncio.get_running_loop().sock_recv(self.client, 65_536)
        return [reply.status for reply in parse_replies(data)]

    def replies(self) -> list[int]:
        """Statuses of what the client has got by now."""
        self.client.setblocking(False)
        try:
            return [reply.status for reply in parse_replies(self.client.recv(65_536))]
        except BlockingIOError:
            return []


async def test_a_ready_worker_gets_the_connection_at_once() -> None:
    with Rig() as rig:
        rig.worker.ready.set()
        await rig.serve()
        ((camera, connection, received),) = rig.handoffs.taken
        assert (camera, received) == ("ipc1", DESCRIBE)
        assert connection.peer == rig.channel.peer
        assert 0 <= connection.handoff < 2**63
        assert rig.replies() == []


async def test_a_worker_that_is_starting_is_waited_for() -> None:
    with Rig() as rig:
        serving = asyncio.create_task(rig.serve())
        await rig.waits()
        assert rig.handoffs.taken == []
        rig.worker.ready.set()
        await serving
        assert len(rig.handoffs.taken) == 1


async def test_a_worker_that_does_not_come_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WORKER_TIMEOUT_S", 0.05)
    with Rig() as rig:
        await rig.serve()
        assert rig.replies() == [503]
        assert rig.channel.sock.fileno() >= 0  # the caller closes it


async def test_a_worker_that_dies_with_the_connection_in_its_hands_is_followed_by_its_successor() -> None:
    with Rig() as rig:
        rig.worker.ready.set()

        def die() -> None:
            rig.worker.ready.clear()
            raise HandOverError("it died")

        rig.handoffs.error = die
        serving = asyncio.create_task(rig.serve())
        await until(lambda: not rig.worker.ready.is_set())
        rig.handoffs.error = lambda: None
        rig.worker.ready.set()
        await serving
        assert len(rig.handoffs.taken) == 1


async def test_a_worker_that_lives_and_refuses_is_a_503_at_once() -> None:
    with Rig() as rig:
        rig.worker.ready.set()

        def refuse() -> None:
            raise HandOverError("full")

        rig.handoffs.error = refuse
        begin = time.monotonic()
        await rig.serve()
        assert time.monotonic() - begin < 1.0
        assert rig.replies() == [503]


async def test_a_camera_that_is_removed_meanwhile_is_not_waited_for() -> None:
    with Rig() as rig:
        rig.worker.ready.set()

        def remove() -> None:
            rig.worker.ready.clear()
            rig.registry.remove(rig.worker)
            raise HandOverError("it stops")

        rig.handoffs.error = remove
        await rig.serve()
        assert rig.replies() == [503]


async def test_a_camera_that_nobody_wants_any_more_is_unknown() -> None:
    with Rig() as rig:
        rig.worker.wanted = False
        rig.worker.ready.set()
        serving = asyncio.create_task(rig.serve())
        assert await rig.answers() == [401]
        rig.client.close()
        await serving
        assert rig.handoffs.taken == []


async def test_a_failed_login_for_a_camera_that_does_not_exist_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with Rig() as rig:
        rig.worker.wanted = False
        serving = asyncio.create_task(rig.serve())
        rig.client.sendall(request("DESCRIBE", URL, digest("DESCRIBE", URL, "0", password="guessed")))
        await until(lambda: rig.lockouts)
        rig.client.shutdown(socket.SHUT_WR)
        await serving
    assert rig.lockouts == [("127.0.0.1", "viewer")]
    (record,) = caplog.records
    fields = {"peer": rig.channel.peer, "user": "viewer", "suppressed": 0}
    assert (record.getMessage(), vars(record)["fields"]) == ("login_failed", fields)


async def test_a_camera_that_does_not_exist_is_in_the_log_when_a_user_asks_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Rig() as rig:
        rig.worker.wanted = False
        serving = asyncio.create_task(rig.serve())
        rig.client.setblocking(False)
        (challenge,) = parse_replies(await asyncio.get_running_loop().sock_recv(rig.client, 65_536))
        rig.client.sendall(request("DESCRIBE", URL, digest("DESCRIBE", URL, nonce_of(challenge))))
        assert await rig.answers() == [404]
        rig.client.shutdown(socket.SHUT_WR)
        await serving
    (record,) = caplog.records
    fields = {"peer": rig.channel.peer, "user": "viewer", "url": URL, "reason": "there is no such camera"}
    assert (record.getMessage(), vars(record)["fields"]) == ("refused", fields | {"suppressed": 0})


async def test_the_limit_of_sessions_in_all() -> None:
    with Rig() as rig:
        rig.worker.ready.set()
        rig.handoffs.count = 2
        rig.router.limits = Limits(sessions=2)
        await rig.serve()
        assert rig.replies() == [453]
        assert rig.journal.counts == {"453": 1}


async def test_who_names_no_camera_in_time_is_counted() -> None:
    with Rig() as rig:
        rig.worker.wanted = False
        rig.router.limits = Limits(first_request_timeout_s=0.1)
        await rig.serve()
        assert rig.journal.counts == {"no camera": 1}


async def test_a_connection_that_comes_back_is_routed_like_a_new_one_and_keeps_its_id() -> None:
    with Rig() as rig:
        rig.worker.ready.set()
        connection = rig.connection(77)
        rig.handoffs.returned(Returned(connection, rig.channel))
        await until(lambda: rig.handoffs.taken)
        assert rig.handoffs.taken == [("ipc1", connection, DESCRIBE)]


async def test_a_connection_that_comes_back_for_nothing_is_closed_and_its_lease_given_up() -> None:
    with Rig() as rig:
        rig.client.shutdown(socket.SHUT_WR)
        rig.worker.wanted = False
        rig.handoffs.returned(Returned(rig.connection(1), rig.channel))
        await until(lambda: rig.budget.connections == 0)
        assert rig.channel.sock.fileno() == -1


async def test_the_end_of_the_router_ends_what_has_come_back() -> None:
    with Rig() as rig:
        rig.handoffs.returned(Returned(rig.connection(1), rig.channel))
        await rig.waits()
        rig.client.close()
        async with asyncio.timeout(room.WORKER_TIMEOUT_S / 2):
            await rig.router.close()
        assert rig.budget.connections == 0


REQUIRED = Policy(client_certificates="required", client_ca=b"A")
OPTIONAL = Policy(client_certificates="optional", client_ca=b"A")
OTHER = Policy(client_certificates="optional", client_ca=b"B")
NOBODY = ("", "")


def verified(policy: Policy) -> TLSInfo:
    return TLSInfo(
        version="TLSv1.3",
        suite="",
        client_user="viewer" if policy.authority else "",
        client_authority=policy.authority,
    )


@pytest.mark.parametrize("comes_back", [False, True])
@pytest.mark.parametrize(
    ("policy", "tls", "seen"),
    [
        (Policy(), None, NOBODY),
        (Policy(), verified(Policy()), NOBODY),
        (Policy(), verified(OTHER), NOBODY),  # verified, but not for this camera
        (OPTIONAL, None, NOBODY),
        (OPTIONAL, verified(Policy()), NOBODY),
        (OPTIONAL, verified(OTHER), NOBODY),
        (OPTIONAL, verified(REQUIRED), ("viewer", REQUIRED.authority)),
        (REQUIRED, None, None),
        (REQUIRED, verified(Policy()), None),
        (REQUIRED, verified(OTHER), None),
        (REQUIRED, verified(OPTIONAL), ("viewer", REQUIRED.authority)),
    ],
)
async def test_client_certificates(
    policy: Policy, tls: TLSInfo | None, seen: tuple[str, str] | None, comes_back: bool
) -> None:
    """Each camera believes its own authority, wherever the connection came in; one that requires it takes no other."""
    with Rig() as rig:
        rig.worker.ready.set()
        rig.policies["ipc1"] = policy
        rig.channel.tls = tls
        if comes_back:
            rig.handoffs.returned(Returned(Connection(handoff=7, peer=rig.channel.peer, tls=tls), rig.channel))
            await until(lambda: rig.handoffs.taken or rig.channel.sock.fileno() < 0)
        else:
            await rig.serve()
        if seen is None:
            assert rig.handoffs.taken == []
            rig.client.setblocking(True)
            (reply,) = parse_replies(rig.client.recv(65_536))
            assert reply.status == 403
            assert rig.journal.counts == {"403": 1}
        else:
            ((_, connection, _),) = rig.handoffs.taken
            assert (connection.client_user, connection.client_authority) == seen
