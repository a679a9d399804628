"""What client and server have come to on a connection, and what a request means after that."""

import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from camfleet.core.sdp.parse import DescriptionError
from camfleet.core.wire import KINDS

from .announcement import MAX_DESCRIPTION_SIZE, Announcement
from .errors import RefusalError
from .events import Announce, Describe, Pause, Play, Record, Setup, Teardown
from .headers.negotiation import accepts_sdp
from .headers.range import parse_range
from .headers.session import parse_session_id
from .headers.transport import Transport, choose_transport, free_channels
from .message import Request
from .parameters import NO_PARAMETERS, Parameters
from .state import METHODS, PUBLISHING_METHODS, STATELESS, Session, State, legal_methods, transitions
from .url import StreamPath

NOTHING: tuple[str, Parameters] = ("", NO_PARAMETERS)

Fields = Sequence[tuple[str, str]]
Question = Describe | Setup | Play | Announce | Record | Pause | Teardown


class Conversation:
    """Its methods raise RefusalError for a request that is not to be granted."""

    __slots__ = ("_is_published", "_streams", "announced", "described", "session")

    def __init__(self, streams: Collection[str], is_published: Callable[[str], bool]) -> None:
        self._streams = streams
        self._is_published = is_published
        self.session: Session | None = None
        self.described = NOTHING  # the stream that was told of last, if as a variant
        self.announced: Announcement | None = None  # what the session records, or the next one will

    @property
    def state(self) -> State:
        return self.session.state if self.session else State.INIT

    @property
    def methods(self) -> tuple[str, ...]:
        """Of the camera."""
        return (*METHODS, *PUBLISHING_METHODS) if any(map(self._is_published, self._streams)) else METHODS

    @property
    def video_channels(self) -> tuple[int, int] | None:
        """Of the announced video, once it is set up."""
        if self.announced is None or self.session is None:
            return None
        return self.session.channels.get(self.announced.video.place)

    def path(self, url: str) -> StreamPath | None:
        """None: no URL of RTSP."""
        if self.announced is None:
            return StreamPath.parse(url)
        if (found := self.announced.track_of(url)) is not None:
            track, rest = found
            path = StreamPath.parse(rest)
            return None if path is None else replace(path, track=str(track))
        path = StreamPath.parse(url)
        if path is not None and path.track is not None and self.announced.has_names:
            return replace(path, stray=True)  # trackID=1 is the second of the media only where they have no names
        return path

    def stream_of(self, path: StreamPath) -> str:
        """The stream's id; a URL without a track means the only one.

        The kind is for people: a stream whose source is another one since a recorder was set up has its old URL, too.
        """
        tracks = len(self.announced.controls) if self.announced else 1
        known = path.track is None or path.track in map(str, range(tracks))
        if path.kind is not None and path.kind not in KINDS:
            raise RefusalError(404, reason="the last part of the URL is no kind of source")
        if path.camera is None or path.stray or not known:
            raise RefusalError(404)
        stream = next((stream for stream in self._streams if path.stream in (None, stream)), None)
        if stream is None:
            raise RefusalError(404, reason="the camera has no such stream")
        return stream

    def check_session(self, request: Request, user: str | None) -> None:
        """No Session header means the session of this connection: clients leave it out of a second SETUP."""
        value = request.headers.get("Session")
        if value is None:
            belongs = self.session is None or self.session.user == user
        else:
            named = parse_session_id(value).encode("latin-1")
            belongs = (
                self.session is not None
                and self.session.user == user
                and hmac.compare_digest(named, self.session.id.encode())
            )
        if not belongs:
            raise RefusalError(454)

    def check_legality(self, request: Request, stream: str, *, may_watch: bool) -> None:
        publishes, announced = self._is_published(stream), self.announced is not None
        if request.method in PUBLISHING_METHODS and not publishes:
            raise RefusalError(405, [("Allow", ", ".join(METHODS))])
        watches = request.method in ("DESCRIBE", "PLAY") or (request.method == "SETUP" and not announced)
        if watches and not may_watch:
            raise RefusalError(403, reason="this user may publish, and not watch")
        table = transitions(publishes=publishes, announced=announced)
        if request.method not in STATELESS and self.state not in table.get(request.method, ()):
            raise RefusalError(455, [("Allow", ", ".join(legal_methods(self.state, table)))])

    def question(self, request: Request, path: StreamPath, stream: str) -> Question | Fields:
        """What the caller has to decide; or there is nothing to decide, and these are the headers of the answer."""
        match request.method:
            case "DESCRIBE":
                if not accepts_sdp(request.headers):
                    raise RefusalError(406)
                return Describe(stream, Parameters.parse(path.query))
            case "ANNOUNCE":
                return _announce(request, path, stream)
            case "SETUP":
                return self._setup(request, path, stream)
        if self.session is None:  # TEARDOWN of nothing
            self.announced = None
            return ()
        if self.session.stream != stream:
            raise RefusalError(454)
        match request.method:
            case "PLAY":
                return _play(request, self.session)
            case "RECORD":
                return self._record()
            case "PAUSE":
                return Pause(stream)
        return Teardown(stream)

    def _setup(self, request: Request, path: StreamPath, stream: str) -> Setup:
        if self.session is not None and self.session.stream != stream:
            raise RefusalError(459)
        value = request.headers.get_list("Transport")
        if value is None:
            raise RefusalError(400)
        transport = choose_transport(value, records=self.announced is not None)
        if transport is None:
            raise RefusalError(461)
        if self.announced is not None:
            return self._setup_announced(self.announced, path, stream, transport)
        parameters = Parameters.parse(path.query)
        if not parameters and self.described[0] == stream:
            # Our Content-Base has no query, as clients disagree on its place: who follows it means what was described.
            parameters = self.described[1]
        return Setup(stream, 0, transport, parameters)

    def _setup_announced(self, announced: Announcement, path: StreamPath, stream: str, transport: Transport) -> Setup:
        if stream != announced.stream:
            raise RefusalError(459)
        track = int(path.track or 0)
        taken = self.session.channels if self.session else {}
        others = [channels for number, channels in taken.items() if number != track]
        channels = free_channels(transport.channels, others)
        if channels is None:
            raise RefusalError(461)
        return Setup(stream, track, replace(transport, channels=channels))

    def _record(self) -> Record | Fields:
        if self.state is State.RECORDING:
            return ()
        if self.announced is None or self.video_channels is None:
            raise RefusalError(455, reason="the video has not been set up")
        return Record(self.announced.stream)


def playback(request: Request) -> list[tuple[str, str]]:
    """Speed and Scale are answered with what is used."""
    return [(name, "1.0") for name in ("Scale", "Speed") if name in request.headers]


def _announce(request: Request, path: StreamPath, stream: str) -> Announce:
    kind = request.headers.get("Content-Type")
    if kind is not None and kind.partition(";")[0].strip().lower() != "application/sdp":
        raise RefusalError(415)
    if len(request.body) > MAX_DESCRIPTION_SIZE:
        raise RefusalError(413)
    try:
        return Announce(Announcement.read(stream, path.url, request.body))
    except DescriptionError as error:
        raise RefusalError(415, reason=f"the description {error}") from None


def _play(request: Request, session: Session) -> Play | Fields:
    value = request.headers.get("Range")
    wanted = None if value is None else parse_range(value)
    if value is not None and wanted is None:
        raise RefusalError(457)
    if session.state is State.PLAYING:  # a keep-alive for a live stream
        return [("Range", session.range), *playback(request)]
    return Play(session.stream, wanted)
