"""One client connection as a server sees it: joins reader, authentication, legality and writer.

For each request, in this order: does it name another camera (OtherCamera; a worker lets only users go), is the user
known, does the session fit, does the stream exist, is the method legal now. What is left is an event for the caller.
"""

import hmac
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from camfleet.core.wire import KINDS

from .digest import Authenticator
from .errors import SERVICE_UNAVAILABLE, LocalProtocolError, RefusalError, RemoteProtocolError
from .events import Describe, Event, LoginFailed, OtherCamera, Pause, Play, Setup, Teardown
from .headers.negotiation import accepts_sdp, required_tags
from .headers.range import parse_range
from .headers.session import parse_session_id
from .headers.transport import Transport, choose_transport
from .lockout import Lockout
from .login import Login
from .message import Request, Response
from .parameters import NO_PARAMETERS, Parameters
from .reader import Reader
from .state import FOREIGN_METHODS, METHODS, TRANSITIONS, Session, State, legal_methods
from .url import StreamPath
from .writer import write_response

NS_PER_S = 1_000_000_000
# Enforced beyond the advertised time-out: Media Foundation sends its keep-alive at the very limit.
SESSION_GRACE_S = 10
LOGIN_TIMEOUT_S = 30  # for a connection on which nobody has logged in, whatever it sends
RETRY_AFTER_S = "2"  # with a 503: a worker that is started again needs a tenth of that
MAX_BUFFER_SIZE = 256 * 1024  # the largest message, and what may be read while an event waits for its answer

NOTHING: tuple[str, Parameters] = ("", NO_PARAMETERS)
_PUBLIC = ("Public", ", ".join(METHODS))

Fields = Sequence[tuple[str, str]]


class _Pending(NamedTuple):
    event: Event
    request: Request
    path: StreamPath
    stream: str


class ServerConnection:
    """Bytes in, events and bytes out.

    `streams`: their ids, as they are at each request; the first is the default one. `camera` None: the supervisor's
    use, every URL that names a camera is OtherCamera. `address`: the peer's host, `secure`: inside TLS.
    `client_user`: who the peer is by its certificate.

    The caller's loop: `receive_data`, then `next_event` until it returns None, then `data_to_send`; the last two again
    after each answer. When `should_close`, close after what `data_to_send` gave.
    """

    __slots__ = (
        "_alive_ns",
        "_camera",
        "_closing",
        "_described",
        "_first_request_timeout_s",
        "_greeted",
        "_incomplete_since_ns",
        "_login",
        "_now_ns",
        "_output",
        "_pending",
        "_reader",
        "_server",
        "_session",
        "_session_timeout_s",
        "_start_ns",
        "_streams",
    )

    def __init__(
        self,
        *,
        camera: str | None,
        streams: Collection[str],
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
        self._streams = streams
        self._session_timeout_s = session_timeout_s
        self._first_request_timeout_s = first_request_timeout_s
        self._server = server

        self._login = Login(authenticator, lockout, address, secure, client_user)
        self._reader = Reader()
        self._output = b""
        self._pending: _Pending | None = None
        self._session: Session | None = None
        self._described = NOTHING  # the stream that was told of last, if as a variant
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
        return self._session.id if self._session else None

    @property
    def stream(self) -> str | None:
        """Of the session."""
        return self._session.stream if self._session else None

    @property
    def parameters(self) -> Parameters:
        """Of the session, for its stream."""
        return self._session.parameters if self._session else NO_PARAMETERS

    @property
    def state(self) -> State:
        return self._session.state if self._session else State.INIT

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
        while self._login.failed is None and self._pending is None and not self._closing:
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
        failed, self._login.failed = self._login.failed, None
        return None if failed is None else LoginFailed(failed)

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
        self._described = (pending.stream, parameters) if parameters else NOTHING
        headers = [("Content-Type", "application/sdp")]
        if pending.path.base:
            # Our own relative control attributes go behind it; the query does not, as clients disagree on its place.
            headers.insert(0, ("Content-Base", pending.path.base + "/"))
        self._reply(200, pending.request.cseq, headers, sdp.encode())

    def accept_setup(self, channels: tuple[int, int], ssrc: int) -> None:
        """Answer Setup; the session is ready."""
        pending = self._take(Setup)
        assert self.user is not None
        assert isinstance(pending.event, Setup)
        if self._session is None:
            # Hex: dashes confuse some clients (gortsplib).
            self._session = Session(secrets.token_hex(16), self.user, pending.stream, pending.path.url)
        self._session.url = pending.path.url
        self._session.parameters = pending.event.parameters
        self._reply(200, pending.request.cseq, [("Transport", f"{Transport(channels)};ssrc={ssrc:08X}")])

    def accept_play(self, sequence: int | None, rtp_timestamp: int | None, range: str) -> None:
        """Answer Play. `range`: the header's value, "npt=now-" when live. Without a sequence there is no RTP-Info."""
        pending = self._take(Play)
        assert self._session is not None
        self._session.state = State.PLAYING
        self._session.range = range
        headers = [("Range", range), *_playback(pending.request)]
        if sequence is not None and rtp_timestamp is not None:
            url = self._session.url.replace(",", "%2C").replace(";", "%3B")
            headers.append(("RTP-Info", f"url={url};seq={sequence};rtptime={rtp_timestamp}"))
        self._reply(200, pending.request.cseq, headers)

    def accept(self) -> None:
        """Answer Pause or Teardown: it is done."""
        pending = self._take(Pause, Teardown)
        assert self._session is not None
        if isinstance(pending.event, Pause):
            self._session.state = State.READY
        else:
            self._session = None
        self._reply(200, pending.request.cseq)

    def refuse(self, status: int, reason: str = "") -> None:
        """Answer any event with an error; `reason` as of RefusalError."""
        pending = self._take(Describe, Setup, Play, Pause, Teardown, OtherCamera)
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
        if status == 200 and self._session is not None:
            fields.append(("Session", f"{self._session.id};timeout={self._session_timeout_s}"))
        if self._closing:
            fields.append(("Connection", "close"))
        self._output += write_response(Response(status, cseq, [*fields, *headers], body, reason))

    # ---------------------------------------------------------------- decisions

    def _handle(self, request: Request, decide: Callable[[Request, StreamPath], _Pending | None]) -> _Pending | None:
        try:
            if request.method not in METHODS:
                if request.method in FOREIGN_METHODS:
                    raise RefusalError(405, [("Allow", ", ".join(METHODS))])
                raise RefusalError(501)
            path = StreamPath.parse(request.url)
            if path is None:
                raise RefusalError(400)
            return decide(request, path)
        except RefusalError as refusal:
            self._closing |= self._login.locked_out
            self._reply(refusal.status, request.cseq, refusal.headers, reason=refusal.reason)
            return None

    def _decide(self, request: Request, path: StreamPath) -> _Pending | None:
        """The event that the caller must answer; None: answered."""
        elsewhere = path.camera is not None and path.camera != self._camera
        if elsewhere and self._session is not None:
            raise RefusalError(454 if "Session" in request.headers else 455)
        if elsewhere and (request.method != "OPTIONS" or self._camera is None):
            assert path.camera is not None
            if self._camera is not None:  # a stranger moves once, to a worker: else he could travel for ever
                self._login.check(request, path, self._now_ns)
            return _Pending(OtherCamera(path.camera, self._reader.leftover), request, path, "")
        return self._decide_here(request, path)

    def _decide_here(self, request: Request, path: StreamPath) -> _Pending | None:
        if request.method == "OPTIONS":
            self._reply(200, request.cseq, [_PUBLIC])
            return None
        self._login.check(request, path, self._now_ns)
        if path.camera not in (None, self._camera):
            raise RefusalError(404)
        self._check_session(request)
        if request.method in ("GET_PARAMETER", "SET_PARAMETER"):
            self._parameters(request)
            return None
        tags = required_tags(request.headers)
        if tags:
            raise RefusalError(551, [("Unsupported", ", ".join(tags))])
        stream = self._stream_of(path)
        if stream is None:
            raise RefusalError(404)
        if self.state not in TRANSITIONS.get(request.method, (self.state,)):
            raise RefusalError(455, [("Allow", ", ".join(legal_methods(self.state)))])
        event = self._event(request, path, stream)
        return None if event is None else _Pending(event, request, path, stream)

    def _check_session(self, request: Request) -> None:
        """No Session header means the session of this connection: clients leave it out of a second SETUP."""
        value = request.headers.get("Session")
        if value is None:
            belongs = self._session is None or self._session.user == self.user
        else:
            named = parse_session_id(value).encode("latin-1")
            belongs = (
                self._session is not None
                and self._session.user == self.user
                and hmac.compare_digest(named, self._session.id.encode())
            )
        if not belongs:
            raise RefusalError(454)

    def _parameters(self, request: Request) -> None:
        """Keep-alives: there is no parameter to get or set."""
        if request.method == "SET_PARAMETER" and request.body:
            raise RefusalError(451)
        headers = [("Content-Type", "text/parameters")] if request.body else []
        self._reply(200, request.cseq, headers)

    def _stream_of(self, path: StreamPath) -> str | None:
        """The stream's id; a URL without a track means the only one.

        The kind is for people: a stream whose source is another one since a recorder was set up has its old URL, too.
        """
        if path.camera is None or path.stray or path.track not in (None, "0"):
            return None
        if path.kind is not None and path.kind not in KINDS:
            return None
        return next((stream for stream in self._streams if path.stream in (None, stream)), None)

    def _event(self, request: Request, path: StreamPath, stream: str) -> Event | None:
        """Methods that concern a stream; the state allows this one."""
        if request.method == "DESCRIBE":
            if not accepts_sdp(request.headers):
                raise RefusalError(406)
            return Describe(stream, Parameters.parse(path.query))
        if request.method == "SETUP":
            return self._setup(request, path, stream)
        if self._session is None:  # TEARDOWN of nothing
            self._reply(200, request.cseq)
            return None
        if self._session.stream != stream:
            raise RefusalError(454)
        if request.method == "PLAY":
            return self._play(request, self._session)
        return Pause(stream) if request.method == "PAUSE" else Teardown(stream)

    def _setup(self, request: Request, path: StreamPath, stream: str) -> Setup:
        if self._session is not None and self._session.stream != stream:
            raise RefusalError(459)
        value = request.headers.get_list("Transport")
        if value is None:
            raise RefusalError(400)
        transport = choose_transport(value)
        if transport is None:
            raise RefusalError(461)
        parameters = Parameters.parse(path.query)
        if not parameters and self._described[0] == stream:
            # Our Content-Base has no query, as clients disagree on its place: who follows it means what was described.
            parameters = self._described[1]
        return Setup(stream, 0, transport, parameters)

    def _play(self, request: Request, session: Session) -> Play | None:
        value = request.headers.get("Range")
        wanted = None if value is None else parse_range(value)
        if value is not None and wanted is None:
            raise RefusalError(457)
        if session.state is State.PLAYING:  # a keep-alive for a live stream
            self._reply(200, request.cseq, [("Range", session.range), *_playback(request)])
            return None
        return Play(session.stream, wanted)


def _playback(request: Request) -> list[tuple[str, str]]:
    """Speed and Scale are answered with what is used."""
    return [(name, "1.0") for name in ("Scale", "Speed") if name in request.headers]
