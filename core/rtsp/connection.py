"""One client connection as a server sees it: joins reader, authentication, legality and writer.

For each request, in this order: does it name another camera (OtherCamera; a worker lets only users go), is the user
known, does the session fit, does the stream exist, is the method legal now. What is left is an event for the caller.
"""

import secrets
from collections.abc import Callable, Collection
from typing import NamedTuple

from .announcement import Announcement
from .conversation import NOTHING, Conversation, Fields, Question, playback
from .digest import Authenticator
from .errors import SERVICE_UNAVAILABLE, LocalProtocolError, RefusalError, RemoteProtocolError
from .events import (
    Announce,
    Describe,
    Event,
    LoginFailed,
    Media,
    OtherCamera,
    Pause,
    Play,
    Record,
    Refused,
    Setup,
    Teardown,
)
from .headers.negotiation import required_tags
from .headers.transport import Transport
from .lockout import Lockout
from .login import Login
from .message import InterleavedFrame, Request, Response
from .parameters import NO_PARAMETERS, Parameters
from .reader import Reader
from .state import FOREIGN_METHODS, METHODS, PUBLISHING_METHODS, Session, State
from .url import StreamPath
from .writer import write_response

NS_PER_S = 1_000_000_000
# Enforced beyond the advertised time-out: Media Foundation sends its keep-alive at the very limit.
SESSION_GRACE_S = 10
LOGIN_TIMEOUT_S = 30  # for a connection on which nobody has logged in, whatever it sends
RETRY_AFTER_S = "2"  # with a 503: a worker that is started again needs a tenth of that
MAX_BUFFER_SIZE = 256 * 1024  # the largest message, and what may be read while an event waits for its answer


class _Pending(NamedTuple):
    event: Event
    request: Request
    path: StreamPath
    stream: str


class ServerConnection:
    """Bytes in, events and bytes out.

    `streams`: their ids, as they are at each request; the first is the default one. `is_published`: whether one of them
    is what clients publish. `camera` None: the supervisor's use, every URL that names a camera is OtherCamera.
    `address`: the peer's host, `secure`: inside TLS. `client_user`: who the peer is by its certificate.

    The caller's loop: `receive_data`, then `next_event` until it returns None, then `data_to_send`; the last two again
    after each answer. When `should_close`, close after what `data_to_send` gave.
    """

    __slots__ = (
        "_alive_ns",
        "_camera",
        "_closing",
        "_first_request_timeout_s",
        "_greeted",
        "_incomplete_since_ns",
        "_login",
        "_now_ns",
        "_output",
        "_pending",
        "_reader",
        "_refused",
        "_server",
        "_session_timeout_s",
        "_start_ns",
        "_talk",
    )

    def __init__(
        self,
        *,
        camera: str | None,
        streams: Collection[str],
        is_published: Callable[[str], bool] = lambda _: False,
        authenticator: Authenticator,
        lockout: Lockout,
        address: str,
        secure: bool,
        client_user: str = "",
        session_timeout_s: int = 60,
        first_request_timeout_s: float = 10,
        server: str | None = "camfleet",
        now_ns: int,
    ) -> None:
        self._camera = camera
        self._session_timeout_s = session_timeout_s
        self._first_request_timeout_s = first_request_timeout_s
        self._server = server

        self._login = Login(authenticator, lockout, address, secure, client_user)
        self._reader = Reader()
        self._output = b""
        self._pending: _Pending | None = None
        self._refused: Refused | None = None  # until somebody takes it
        self._talk = Conversation(streams, is_published)
        self._closing = False

        self._now_ns = self._start_ns = self._alive_ns = now_ns
        self._greeted = False  # a whole message has come
        self._incomplete_since_ns: int | None = now_ns  # the first request is awaited before its first byte

    @property
    def user(self) -> str | None:
        """Who logged in last."""
        return self._login.user

    @property
    def session_id(self) -> str | None:
        return self._talk.session.id if self._talk.session else None

    @property
    def stream(self) -> str | None:
        """Of the session."""
        return self._talk.session.stream if self._talk.session else None

    @property
    def parameters(self) -> Parameters:
        """Of the session, for its stream."""
        return self._talk.session.parameters if self._talk.session else NO_PARAMETERS

    @property
    def announced(self) -> Announcement | None:
        """What the session is for, when it is one that records; or will be."""
        return self._talk.announced

    @property
    def video_channels(self) -> tuple[int, int] | None:
        """Of the announced video, once it is set up."""
        return self._talk.video_channels

    @property
    def state(self) -> State:
        return self._talk.state

    # ---------------------------------------------------------------- bytes and events

    def receive_data(self, data: bytes, now_ns: int) -> None:
        """Bytes from the peer, at any cut."""
        self._now_ns = now_ns
        if self._closing:
            return
        self._reader.receive_data(data)
        if self._pending is not None and len(self._reader) > MAX_BUFFER_SIZE:
            self._closing = True  # once that is answered

    def next_event(self, now_ns: int) -> Event | None:
        """None: nothing to decide now, or the last event is not answered yet (pipelined requests wait)."""
        self._now_ns = now_ns
        while not (self._closing or self._pending or self._refused or self._login.failed is not None):
            try:
                message = self._reader.next_message()
            except RemoteProtocolError as error:
                self._reader.advance()
                self._complete()
                self._closing = error.framing_lost
                self._reply(error.status, error.cseq)
                continue
            if message is None:
                self._watch_incomplete()
                return None
            self._complete()
            if isinstance(message, Request):
                self._pending = self._handle(message, self._decide)
            if self._pending is None or not isinstance(self._pending.event, OtherCamera):
                self._reader.advance()
            if self._pending is not None:
                return self._pending.event
            if isinstance(message, InterleavedFrame) and self.state is State.RECORDING:
                return Media(message.channel, message.payload)
        failed, self._login.failed = self._login.failed, None
        if failed is not None:
            return LoginFailed(failed)
        refused, self._refused = self._refused, None
        return refused

    def data_to_send(self) -> bytes:
        """Reply bytes, handed out once."""
        data, self._output = self._output, b""
        return data

    @property
    def consumed(self) -> int:
        """Bytes parsed of all that `receive_data` got (FanOut.consumed); the request of an OtherCamera is not."""
        return self._reader.consumed

    @property
    def at_boundary(self) -> bool:
        """Nothing is left over: the next byte begins a message."""
        return len(self._reader) == 0

    @property
    def leftover(self) -> bytes:
        """What was received and not consumed: after an OtherCamera, all that the next owner must get."""
        return self._reader.leftover

    @property
    def should_close(self) -> bool:
        return self._closing and self._pending is None

    # ---------------------------------------------------------------- time

    def next_deadline(self) -> int | None:
        """When to call `handle_timeout`; it moves with every call of this object. None: an answer is awaited."""
        if self._pending is not None or self._closing:
            return None
        deadlines = [self._alive_ns + (self._session_timeout_s + SESSION_GRACE_S) * NS_PER_S]
        if self._incomplete_since_ns is not None:
            deadlines.append(self._incomplete_since_ns + int(self._first_request_timeout_s * NS_PER_S))
        if self.user is None:
            deadlines.append(self._start_ns + LOGIN_TIMEOUT_S * NS_PER_S)
        return min(deadlines)

    def handle_timeout(self, now_ns: int) -> None:
        """Give up when something is overdue."""
        self._now_ns = now_ns
        deadline = self.next_deadline()
        if deadline is not None and now_ns >= deadline:
            self.give_up()

    def give_up(self) -> None:
        """Close, after a 408 when the peer is in the middle of a request."""
        self._closing = True
        if not self.at_boundary:
            self._reply(408, None)

    def alive(self, now_ns: int) -> None:
        """Life seen elsewhere: RTCP, or bytes that the peer acknowledged."""
        self._alive_ns = max(self._alive_ns, now_ns)

    def _complete(self) -> None:
        """A message has ended; any request or RTCP packet is life."""
        self._greeted = True
        self._incomplete_since_ns = None
        self._alive_ns = max(self._alive_ns, self._now_ns)

    def _watch_incomplete(self) -> None:
        """The whole message has one deadline, so that a byte per second does not help."""
        if self.at_boundary and self._greeted:
            self._incomplete_since_ns = None
        elif self._incomplete_since_ns is None:
            self._incomplete_since_ns = self._now_ns

    # ---------------------------------------------------------------- answers, each to the event that waits

    def describe(self, sdp: str) -> None:
        """Answer Describe."""
        pending = self._take(Describe)
        assert isinstance(pending.event, Describe)
        parameters = pending.event.parameters
        self._talk.described = (pending.stream, parameters) if parameters else NOTHING
        headers = [("Content-Type", "application/sdp")]
        if pending.path.base:
            # Our own relative control attributes go behind it; the query does not, as clients disagree on its place.
            headers.insert(0, ("Content-Base", pending.path.base + "/"))
        self._reply(200, pending.request.cseq, headers, sdp.encode())

    def accept_setup(self, channels: tuple[int, int], ssrc: int = 0) -> None:
        """Answer Setup; the session is ready. `ssrc`: of what we send."""
        pending = self._take(Setup)
        assert self.user is not None
        assert isinstance(pending.event, Setup)
        if self._talk.session is None:
            # Hex: dashes confuse some clients (gortsplib).
            self._talk.session = Session(secrets.token_hex(16), self.user, pending.stream, pending.path.url)
        self._talk.session.url = pending.path.url
        self._talk.session.parameters = pending.event.parameters
        if self._talk.announced is not None:
            self._talk.session.channels = {**self._talk.session.channels, pending.event.track: channels}
            self._reply(200, pending.request.cseq, [("Transport", str(Transport(channels, records=True)))])
        else:
            self._reply(200, pending.request.cseq, [("Transport", f"{Transport(channels)};ssrc={ssrc:08X}")])

    def accept_play(self, sequence: int | None, rtp_timestamp: int | None, range: str) -> None:
        """Answer Play. `range`: the header's value, "npt=now-" when live. Without a sequence there is no RTP-Info."""
        pending = self._take(Play)
        assert self._talk.session is not None
        self._talk.session.state = State.PLAYING
        self._talk.session.range = range
        headers = [("Range", range), *playback(pending.request)]
        if sequence is not None and rtp_timestamp is not None:
            url = self._talk.session.url.replace(",", "%2C").replace(";", "%3B")
            headers.append(("RTP-Info", f"url={url};seq={sequence};rtptime={rtp_timestamp}"))
        self._reply(200, pending.request.cseq, headers)

    def accept(self) -> None:
        """Answer Announce, Record, Pause or Teardown: it is done."""
        pending = self._take(Announce, Record, Pause, Teardown)
        match pending.event:
            case Announce(announcement):
                self._talk.announced = announcement
            case Teardown():
                self._talk.session = self._talk.announced = None
            case event:
                assert self._talk.session is not None
                self._talk.session.state = State.RECORDING if isinstance(event, Record) else State.READY
        self._reply(200, pending.request.cseq)

    def refuse(self, status: int, reason: str = "") -> None:
        """Answer any event with an error; `reason` as of RefusalError."""
        pending = self._take(Describe, Setup, Play, Announce, Record, Pause, Teardown, OtherCamera)
        if isinstance(pending.event, OtherCamera):
            self._reader.advance()
        retry = [("Retry-After", RETRY_AFTER_S)] if status == SERVICE_UNAVAILABLE else []
        self._reply(status, pending.request.cseq, retry, reason=reason)

    def unknown_camera(self) -> None:
        """Answer OtherCamera: 401 without or with wrong credentials, 404 with right ones, OPTIONS as always."""
        pending = self._take(OtherCamera)
        self._reader.advance()
        self._handle(pending.request, self._decide_here)

    def _take(self, *kinds: type) -> _Pending:
        if self._pending is None or not isinstance(self._pending.event, kinds):
            raise LocalProtocolError("no such event waits for an answer")
        pending, self._pending = self._pending, None
        return pending

    def _reply(self, status: int, cseq: str | None, headers: Fields = (), body: bytes = b"", reason: str = "") -> None:
        fields = [("Server", self._server)] if self._server else []
        if status == 200 and self._talk.session is not None:
            fields.append(("Session", f"{self._talk.session.id};timeout={self._session_timeout_s}"))
        if self._closing:
            fields.append(("Connection", "close"))
        self._output += write_response(Response(status, cseq, [*fields, *headers], body, reason))

    # ---------------------------------------------------------------- decisions

    def _handle(self, request: Request, decide: Callable[[Request, StreamPath], _Pending | None]) -> _Pending | None:
        path = None
        try:
            if request.method not in (*METHODS, *PUBLISHING_METHODS):
                if request.method in FOREIGN_METHODS:
                    raise RefusalError(405, [("Allow", ", ".join(self._talk.methods))])
                raise RefusalError(501)
            path = self._talk.path(request.url)
            if path is None:
                raise RefusalError(400)
            return decide(request, path)
        except RefusalError as refusal:
            self._closing |= self._login.locked_out
            if path is not None and refusal.reason and self.user is not None:
                self._refused = Refused(path.url, refusal.reason)
            self._reply(refusal.status, request.cseq, refusal.headers, reason=refusal.reason)
            return None

    def _decide(self, request: Request, path: StreamPath) -> _Pending | None:
        """The event that the caller must answer; None: answered."""
        elsewhere = path.camera is not None and path.camera != self._camera
        if elsewhere and self._talk.session is not None:
            raise RefusalError(454 if "Session" in request.headers else 455)
        if elsewhere and (request.method != "OPTIONS" or self._camera is None):
            assert path.camera is not None
            if self._camera is not None:  # a stranger moves once, to a worker: else he could travel for ever
                self._login.check(request, path, self._now_ns)
            return _Pending(OtherCamera(path.camera, self._reader.leftover), request, path, "")
        return self._decide_here(request, path)

    def _decide_here(self, request: Request, path: StreamPath) -> _Pending | None:
        if request.method == "OPTIONS":
            self._reply(200, request.cseq, [("Public", ", ".join(self._talk.methods))])
            return None
        if request.method not in self._talk.methods:
            raise RefusalError(405, [("Allow", ", ".join(self._talk.methods))])
        self._login.check(request, path, self._now_ns)
        if path.camera not in (None, self._camera):
            raise RefusalError(404, reason="there is no such camera")
        self._talk.check_session(request, self.user)
        if request.method in ("GET_PARAMETER", "SET_PARAMETER"):
            self._parameters(request)
            return None
        tags = required_tags(request.headers)
        if tags:
            raise RefusalError(551, [("Unsupported", ", ".join(tags))])
        stream = self._talk.stream_of(path)
        self._talk.check_legality(request, stream, may_watch=self._login.may_watch)
        found = self._talk.question(request, path, stream)
        if not isinstance(found, Question):
            self._reply(200, request.cseq, found)
            return None
        return _Pending(found, request, path, stream)

    def _parameters(self, request: Request) -> None:
        """Keep-alives: there is no parameter to get or set."""
        if request.method == "SET_PARAMETER" and request.body:
            raise RefusalError(451)
        headers = [("Content-Type", "text/parameters")] if request.body else []
        self._reply(200, request.cseq, headers)
