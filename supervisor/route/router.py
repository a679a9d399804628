"""One connection from its first plaintext to the worker of the camera that it names.

A connection that a worker gives back, because its client asks for another camera, takes the same way again.
"""

import asyncio
import secrets
import time
from collections.abc import Callable

from camfleet.core.log import LineLimit, Log
from camfleet.core.rtsp import Authenticator, Lockout, Refused, ServerConnection
from camfleet.core.rtsp.errors import FORBIDDEN, NOT_ENOUGH_BANDWIDTH, SERVICE_UNAVAILABLE
from camfleet.core.wire.control import Connection, Endpoint
from camfleet.supervisor.arbiter import Arbiter, HandOverError
from camfleet.supervisor.arbiter.handoff import Returned
from camfleet.supervisor.arbiter.registry import Worker
from camfleet.supervisor.config import GLOBAL, Limits
from camfleet.supervisor.listen import Channel, Journal
from camfleet.supervisor.listen.channel import SessionBrokenError
from camfleet.supervisor.listen.door import TurnedAwayError
from camfleet.supervisor.tls import Policy

from .first_request import first_request

log = Log("route")

# For a worker that is just being started again: it needs a tenth of that.
WORKER_TIMEOUT_S = 3.0

# The handshake comes before the request: a camera's own authority is asked for only where its certificate is shown.
_NO_CLIENT_CERTIFICATE = "needs a client certificate of its authority; call its own rtsps_port, server_name or address"


class Router:
    """`limits` may be replaced at any time; it counts for connections that come later. `client_policy`: what a camera
    asks of its clients' certificates."""

    def __init__(
        self,
        arbiter: Arbiter,
        authenticator: Authenticator,
        lockout: Lockout,
        limits: Limits,
        journal: Journal,
        client_policy: Callable[[str], Policy],
    ) -> None:
        self.limits = limits
        self._journal = journal
        self._client_policy = client_policy
        self._lines = LineLimit()
        self._arbiter = arbiter
        self._authenticator = authenticator
        self._lockout = lockout
        self._tasks: set[asyncio.Task[None]] = set()
        arbiter.handoffs.returned = self._returned

    async def serve(self, channel: Channel) -> None:
        """A new client, its handshake done. The channel is detached, or for the caller to close; lets OSError out."""
        connection = Connection(handoff=secrets.randbits(63), peer=channel.peer, tls=channel.tls)
        await self._route(connection, channel)

    async def close(self) -> None:
        """End what workers have given back and nobody has yet taken."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _returned(self, returned: Returned) -> None:
        task = asyncio.create_task(self._serve_again(returned))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_again(self, returned: Returned) -> None:
        connection, channel = returned
        try:
            await self._route(connection, channel)
        except SessionBrokenError as error:
            self._note(f"TLS {error}", channel.peer, "the session ended before it had another camera")
        except OSError:  # the client has gone
            pass
        finally:
            await channel.close()

    async def _route(self, connection: Connection, channel: Channel) -> None:
        now_ns = time.monotonic_ns()
        rtsp = ServerConnection(
            camera=None,
            streams=(),
            authenticator=self._authenticator,
            lockout=self._lockout,
            address=channel.peer.host,
            secure=channel.tls is not None,
            client_user=connection.where_trusted(self._client_policy(GLOBAL).authority).client_user,
            first_request_timeout_s=self.limits.first_request_timeout_s,
            now_ns=now_ns,
        )
        try:
            request = await first_request(
                channel,
                rtsp,
                now_ns + int(self.limits.first_request_timeout_s * 1e9),
                is_known=lambda camera: self._worker(camera) is not None,
                login_failed=lambda user: self._login_failed(channel.peer, user),
                refused=lambda event: self._refused(channel.peer, rtsp.user, event),
            )
        except TurnedAwayError as error:
            self._note(error.reason, channel.peer, str(error))
            return
        if request is None:
            return
        policy = self._client_policy(request.camera)
        connection = connection.where_trusted(policy.authority)
        status, reason = SERVICE_UNAVAILABLE, "the worker does not come up"
        if policy.client_certificates == "required" and not connection.client_authority:
            status, reason = FORBIDDEN, _NO_CLIENT_CERTIFICATE
        elif len(self._arbiter.handoffs) >= self.limits.sessions:
            status, reason = NOT_ENOUGH_BANDWIDTH, f"limits.sessions = {self.limits.sessions}"
        elif await self._hand_over(connection, channel, request.camera, request.received):
            return
        self._note(str(status), channel.peer, f"{request.camera}: {reason}")
        rtsp.refuse(status)
        await channel.send(rtsp.data_to_send())

    def _note(self, reason: str, peer: Endpoint, detail: str) -> None:
        self._journal.note(reason, peer, detail, time.monotonic_ns())

    def _login_failed(self, peer: Endpoint, user: str) -> None:
        suppressed = self._lines.suppressed("login_failed", time.monotonic_ns())
        if suppressed is not None:
            log.warning("login_failed", peer=peer, user=user, suppressed=suppressed)
        self._arbiter.spread_lockout(peer.host, user)

    def _refused(self, peer: Endpoint, user: str | None, event: Refused) -> None:
        suppressed = self._lines.suppressed("refused", time.monotonic_ns())
        if suppressed is not None:
            log.warning("refused", peer=peer, user=user, url=event.url, reason=event.reason, suppressed=suppressed)

    async def _hand_over(self, connection: Connection, channel: Channel, camera: str, received: bytes) -> bool:
        """False when no worker of this camera could take it in time; the channel is then still ours."""
        deadline_s = asyncio.get_running_loop().time() + WORKER_TIMEOUT_S
        while (worker := self._worker(camera)) is not None:
            if not worker.ready.is_set():
                try:
                    async with asyncio.timeout_at(deadline_s):
                        await worker.ready.wait()
                except TimeoutError:
                    return False
            try:
                await self._arbiter.handoffs.hand_over(worker, connection, received, channel)
            except HandOverError as error:
                suppressed = self._lines.suppressed(f"hand_over_failed {camera}", time.monotonic_ns())
                if suppressed is not None:
                    log.warning("hand_over_failed", camera=camera, reason=str(error), suppressed=suppressed)
                if worker.ready.is_set():  # it lives and does not take it
                    return False
            else:
                return True
        return False

    def _worker(self, camera: str) -> Worker | None:
        worker = self._arbiter.registry.get(camera)
        return worker if worker is not None and worker.wanted else None
