"""All clients of the camera: who is who, limits, deadlines, and the way of engine events to their sessions."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec

import msgspec
from camfleet.core.log import LineLimit, Log
from camfleet.core.net.fanout import (
    Closed,
    Event,
    FanOut,
    Moved,
    ReaderCounters,
    Ready,
    Received,
    Released,
    live_objects,
)
from camfleet.core.rtsp import Authenticator, Lockout, Parameters, ServerConnection, restore_connection
from camfleet.core.rtsp import Event as RTSPEvent
from camfleet.core.rtsp.errors import NOT_FOUND, RefusalError, RemoteProtocolError
from camfleet.core.rtsp.state import State
from camfleet.core.wire import HandoffRecord, UserSpec
from camfleet.core.wire.control import (
    Adopted,
    Configure,
    Connection,
    Ended,
    HandBack,
    LoggedIn,
    LoginFailed,
    Message,
    ReaderStatus,
    Refused,
    Stats,
    TLSInfo,
)
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.core.wire.succession import MovingClient
from camfleet.workers.adopt import Handoff

from .rtsp_session import RTSPSession
from .stream import LiveStream
from .streams import Streams

log = Log("registry")
P = ParamSpec("P")
_PLAIN = TLSInfo(version="", suite="")
_json = msgspec.json.Encoder()


class Registry:
    """`now_ns` comes in everywhere; the engine's descriptors and threads are not its business."""

    def __init__(
        self,
        order: Configure,
        fanout: FanOut,
        streams: Streams,
        now_ns: int,
        *,
        news: Callable[[Message], object],
        hand_back: Callable[[HandBack, HandoffRecord, int], None],
    ) -> None:
        self.fanout = fanout
        self.lockout = Lockout()
        self._streams = streams
        self._is_published = streams.is_published  # one for all connections
        self._authenticator = Authenticator((), realm=order.camera.realm, nonce_key=order.nonce_key)
        self._users: set[UserSpec] = set()
        self._news = news
        self._hand_back = hand_back
        self._sessions: dict[int, RTSPSession] = {}
        self._handoffs: set[int] = set()
        self._seats = 0  # of set-up sessions
        self._closing = False
        self._moved: Callable[[MovingClient | None, int], None] = _close_moved
        self._lines = LineLimit()
        self.configure(order, now_ns)

    def __len__(self) -> int:
        return len(self._sessions)

    def connections(self) -> list[Connection]:
        return [session.connection for session in self._sessions.values()]

    def knows(self, handoff: int) -> bool:
        return handoff in self._handoffs

    # ---------------------------------------------------------------- settings

    def configure(self, order: Configure, now_ns: int) -> None:
        """Make all of it so. Sessions of streams and users that are no more end; nobody else is touched.

        Time-outs of sessions count for connections that come later: a client has been told its own.
        """
        spec = order.camera
        with self.fanout:
            self._spec = spec
            self._authenticator.set_scheme(order.nonce_key, sha256=spec.sha256)
            self._set_users([*order.users, *spec.publishers])
            self.lockout.set_limits(
                user_failures=spec.login_failures, window_s=spec.login_failure_window_s, lock_s=spec.lockout_s
            )
            self.fanout.set_limits(spec.stall_timeout_s, spec.key_update_records, spec.key_update_spacing_s)
            for stream in self._streams.configure(spec):
                for session in list(self._sessions.values()):
                    self._guard(session, session.stream_gone, stream, now_ns)
                self._streams.take_down(stream)
            for session in self._sessions.values():
                session.settings_changed()
        self.settings = order.digest()

    def _set_users(self, users: Sequence[UserSpec]) -> None:
        """From now on these; whoever is on with credentials that are no longer good is sent away."""
        revoked = {user.name for user in self._users - set(users)}
        self._users = set(users)
        self._authenticator.set_users(users)
        for session in self._sessions.values():
            if session.user in revoked:
                log.info("revoked", peer=session.connection.peer, user=session.user)
                session.close()

    # ---------------------------------------------------------------- the life of a client

    def adopt(self, handoff: Handoff, now_ns: int) -> None:
        """Go on with a connection; the descriptor is taken or closed."""
        with self.fanout:
            self._adopt(handoff, now_ns)

    def _adopt(self, handoff: Handoff, now_ns: int) -> None:
        connection = handoff.connection
        rtsp = self._server_connection(connection, bool(handoff.record.session), now_ns)
        try:
            if self._closing:
                raise ValueError("the camera is being closed")
            client = self.fanout.adopt(
                handoff.descriptor, handoff.record.session, handoff.record.unread, in_text=bool(handoff.received)
            )
        except (ValueError, OSError) as error:
            os.close(handoff.descriptor)
            log.warning("refused", handoff=connection.handoff, reason=str(error))
            self._news(Refused(handoff=connection.handoff, reason=str(error)))
            return
        session = self._add(RTSPSession(self, client, connection, rtsp, now_ns))
        self._news(Adopted(handoff=connection.handoff))
        self._guard(session, session.begin, handoff.received, now_ns)

    def _server_connection(self, connection: Connection, secure: bool, now_ns: int) -> ServerConnection:
        return ServerConnection(
            camera=self._spec.id,
            streams=self._streams,
            is_published=self._is_published,
            authenticator=self._authenticator,
            lockout=self.lockout,
            address=connection.peer.host,
            secure=secure,
            client_user=connection.client_user,
            session_timeout_s=self._spec.session_timeout_s,
            first_request_timeout_s=self._spec.request_timeout_s,
            now_ns=now_ns,
        )

    def _add(self, session: RTSPSession) -> RTSPSession:
        self._sessions[session.client] = session
        self._handoffs.add(session.connection.handoff)
        return session

    def begin_move(self, moved: Callable[[MovingClient | None, int], None]) -> int:
        """Nobody is answered any more: each client goes to `moved`, its descriptor too; None: it has ended instead.
        Returns how many that are; who is leaving already stays."""
        self._moved = moved
        with self.fanout:
            return sum(session.begin_move() for session in self._sessions.values())

    def resume(self, client: MovingClient, descriptor: int, sequences: Mapping[str, int], now_ns: int) -> None:
        """Go on with a client of another worker, its media at these packets. The descriptor is taken or closed."""
        rtsp = self._server_connection(client.connection, bool(client.session), now_ns)
        try:
            waiting = restore_connection(rtsp, client.rtsp)
            if waiting is not None and client.rtsp.pending_stream not in self._streams:
                rtsp.refuse(NOT_FOUND)
                waiting = None
            # The engine has no inlet for media before the session's `resume`: until then it goes the way of text.
            in_text = waiting is not None or bool(client.rtsp.received) or rtsp.state is State.RECORDING
            number = self.fanout.adopt(
                descriptor, client.session, client.unread, in_text, unsent=client.unsent, state=client.engine
            )
        except (ValueError, OSError, RefusalError, RemoteProtocolError) as error:
            os.close(descriptor)
            log.warning("lost", peer=client.connection.peer, reason=str(error))
            self._news(Ended(handoff=client.connection.handoff, reason=str(error)))
            return
        session = self._add(RTSPSession(self, number, client.connection, rtsp, now_ns))
        self._seats += session.has_seat  # whatever the limit is now
        if rtsp.user and not self._authenticator.knows(rtsp.user):
            log.info("revoked", peer=client.connection.peer, user=rtsp.user)
            session.close()
        elif client.bound and self.named(client.bound) is None:
            session.close()
        else:
            sequence = sequences.get(client.bound, 0)
            self._guard(session, self._go_on, session, client, waiting, sequence, now_ns)

    def _go_on(
        self, session: RTSPSession, client: MovingClient, waiting: RTSPEvent | None, sequence: int, now_ns: int
    ) -> None:
        try:
            session.resume(client, waiting, sequence, now_ns)
        except RefusalError as refusal:  # the settings are others here; there is no request that could be refused
            peer, reason = client.connection.peer, refusal.reason
            log.warning("refused", peer=peer, user=session.user, stream=client.bound, reason=reason)
            session.close()

    def dispatch(self, events: Sequence[Event], now_ns: int) -> None:
        """Engine events to the sessions that they are for; one that fails costs its own client only."""
        with self.fanout:
            for event in events:
                session = self._sessions.get(event.client)
                if session is not None:
                    self._guard(session, self._take, event, session, now_ns)

    def stream_changed(self, now_ns: int) -> None:
        """A pipeline has another state or description."""
        for session in list(self._sessions.values()):
            self._guard(session, session.stream_changed, now_ns)

    def tick(self, now_ns: int) -> None:
        """What is due; called about every second."""
        self._streams.tick(now_ns, self._used)
        due = [session for session in self._sessions.values() if _is_due(session, now_ns)]
        if due:
            # A reader that only listens lives by its acknowledgements (interop 43): ask the engine before judging.
            for counters in self.fanout.readers():
                if (session := self._sessions.get(counters.client)) is not None:
                    session.alive(counters.last_received_ns)
            for session in due:
                if _is_due(session, now_ns):
                    self._guard(session, session.timeout, now_ns)

    def close_all(self) -> None:
        """Goodbye to everybody: the clients are gone when `len` is 0."""
        self._closing = True
        for session in self._sessions.values():
            session.close()

    # ---------------------------------------------------------------- what sessions ask (Camera)

    def stream(self, stream_id: str, parameters: Parameters) -> LiveStream:
        return self._streams.find(stream_id, parameters, self._used)

    def named(self, name: str) -> LiveStream | None:
        return self._streams.named(name)

    def _used(self) -> set[LiveStream]:
        """Streams that a client has been told of, or is about to be."""
        return {stream for session in self._sessions.values() for stream in session.uses}

    def take_seat(self) -> bool:
        if self._seats >= self._spec.max_sessions:
            return False
        self._seats += 1
        return True

    def leave_seat(self) -> None:
        self._seats -= 1

    def logged_in(self, connection: Connection) -> None:
        self._news(LoggedIn(handoff=connection.handoff))

    def login_failed(self, connection: Connection, user: str, now_ns: int) -> None:
        suppressed = self._lines.suppressed("login_failed", now_ns)
        if suppressed is not None:
            log.warning("login_failed", peer=connection.peer, user=user, suppressed=suppressed)
        self._news(LoginFailed(address=connection.peer.host, user=user))

    # ---------------------------------------------------------------- what status shows

    def stats(self, request: int, now_ns: int) -> Stats:
        streams = [stream.stats(now_ns) for stream in self._streams.all()]
        return Stats(
            id=request,
            camera=self._spec.id,
            streams=streams,
            readers=self._readers(now_ns),
            connections=len(self._sessions),
            settings=self.settings,
            live_objects=live_objects()._asdict(),
        )

    def _readers(self, now_ns: int) -> bytes:
        """As in Stats; made one by one."""
        text = bytearray(b"[")
        for counters in self.fanout.readers():
            session = self._sessions.get(counters.client)
            if session is not None and session.stream is not None:
                if len(text) > 1:
                    text += b","
                _json.encode_into(_reader_status(session, session.stream, counters, now_ns), text, -1)
        text += b"]"
        return bytes(text)

    # ---------------------------------------------------------------- inside

    def _take(self, event: Event, session: RTSPSession, now_ns: int) -> None:
        match event:
            case Received():
                session.receive(event.data, now_ns)
            case Ready():
                session.ready(event, now_ns)
            case Closed():
                self._forget(session)
                self._log_end(event, session, now_ns)
                self._news(Ended(handoff=session.connection.handoff, reason=event.reason))
                if session.moving:
                    self._moved(None, -1)
            case Moved():
                client = session.export(event)
                self._forget(session)
                self._moved(client, event.descriptor)
            case Released():
                self._forget(session)
                handoff = session.connection.handoff
                self._hand_back(
                    HandBack(connection=session.connection, received=session.leftover),
                    HandoffRecord(HANDOFF_VERSION, handoff, event.session, event.unread),
                    event.descriptor,
                )

    def _log_end(self, event: Closed, session: RTSPSession, now_ns: int) -> None:
        """Every one of a user; strangers could fill the disk."""
        suppressed = 0 if session.user else self._lines.suppressed(f"{event.reason} {event.detail}", now_ns)
        if suppressed is not None:
            log.info(
                "closed",
                peer=session.connection.peer,
                user=session.user,
                reason=event.reason,
                detail=event.detail,
                bytes_sent=event.bytes_sent,
                frames_skipped=event.frames_skipped,
                suppressed=suppressed,
            )

    def _forget(self, session: RTSPSession) -> None:
        del self._sessions[session.client]
        self._handoffs.discard(session.connection.handoff)
        session.closed()

    def _guard(self, session: RTSPSession, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            step(*args, **kwargs)
        except Exception:  # our mistake, not the other clients'
            log.exception("session_failed", peer=session.connection.peer)
            self.fanout.close(session.client)


def _close_moved(_: MovingClient | None, descriptor: int) -> None:
    os.close(descriptor)


def _is_due(session: RTSPSession, now_ns: int) -> bool:
    deadline_ns = session.deadline_ns
    return deadline_ns is not None and deadline_ns <= now_ns


def _reader_status(session: RTSPSession, stream: LiveStream, counters: ReaderCounters, now_ns: int) -> ReaderStatus:
    tls = session.connection.tls or _PLAIN
    return ReaderStatus(
        peer=str(session.connection.peer),
        user=session.user,
        stream=stream.spec.id,
        variant=str(stream.parameters),
        state=session.state,
        transport="tcp",
        tls_version=tls.version,
        tls_suite=tls.suite,
        tls_group=tls.group,
        certificate=tls.certificate,
        certificate_fingerprint=tls.certificate_fingerprint,
        bytes_sent=counters.bytes_sent,
        frames_skipped=counters.frames_skipped,
        key_updates=counters.key_updates,
        age_s=round((now_ns - session.since_ns) / 1e9, 1),
    )
