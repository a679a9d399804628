"""One client of the camera: decides what core.rtsp leaves open, and keeps the engine and the pipeline in step with it.

    Received ---> ServerConnection ---> Describe   the pipeline's parameter sets, when they are known
       ^                 |              Setup      a seat, the channels
       |                 v              Play       prepare ... Ready: the answer, then media
     engine <--- text, commands         Announce, Record   whether the client may publish
                                        Pause, Teardown, OtherCamera

An event that must wait (Describe, Play) is kept in `_waiting` with its deadline; ServerConnection gives no other one
until it is answered. Nothing here blocks or reads a clock.
"""

from collections.abc import Iterator
from typing import assert_never

from camfleet.core.log import Log
from camfleet.core.net.fanout import Moved, Ready
from camfleet.core.rtsp import (
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
    ServerConnection,
    Setup,
    Teardown,
    export_connection,
)
from camfleet.core.rtsp.errors import NOT_ENOUGH_BANDWIDTH, SERVICE_UNAVAILABLE, SESSION_NOT_FOUND, RefusalError
from camfleet.core.rtsp.parameters import NO_PARAMETERS
from camfleet.core.rtsp.state import State
from camfleet.core.wire.control import Connection
from camfleet.core.wire.succession import MovingClient

from .camera import Camera
from .publishing import OwnPublication, check_publisher
from .stream import LiveStream

log = Log("session")

# An encoder opens within a second; a client that waits for longer than this has given up by itself.
DESCRIBE_TIMEOUT_NS = 5_000_000_000
# A pass-through joiner may wait for the next key frame of its source (join = "live").
PLAY_TIMEOUT_NS = 10_000_000_000


class RTSPSession:
    __slots__ = (
        "_bound",
        "_camera",
        "_deadline_ns",
        "_described",
        "_describing",
        "_input_ended",
        "_is_stranger",
        "_preparations",
        "_publication",
        "_received_before",
        "_rtp_channel",
        "_rtsp",
        "_told_boundary",
        "_told_consumed",
        "_waiting",
        "_watching",
        "client",
        "closing",
        "connection",
        "moving",
        "paused",
        "since_ns",
    )

    def __init__(
        self, camera: Camera, client: int, connection: Connection, rtsp: ServerConnection, now_ns: int
    ) -> None:
        self.connection = connection
        self.client = client
        self.since_ns = now_ns
        self.paused = False
        self.closing = False
        self.moving = False  # to another worker, which answers from now on
        self._camera = camera
        self._rtsp = rtsp
        self._received_before = 0  # bytes that the engine has never seen
        self._input_ended = False
        self._is_stranger = True
        self._told_consumed = -1  # where the engine believes our parser to be
        self._told_boundary = False
        self._waiting: Describe | Play | OtherCamera | None = None
        self._deadline_ns: int | None = None
        self._rtp_channel = 0
        self._preparations = 0
        self._described = ("", "")  # a stream's name, and the codec that we have told
        self._describing: LiveStream | None = None  # the two reasons to keep a pipeline running
        self._watching: LiveStream | None = None
        self._publication: OwnPublication | None = None
        self._bound: LiveStream | None = None  # of the session; before there is one, of which the client was told

    # ---------------------------------------------------------------- input

    def begin(self, received: bytes, now_ns: int) -> None:
        """The bytes that the last owner of the connection has read."""
        self._received_before = len(received)
        self._rtsp.receive_data(received, now_ns)
        self._advance(now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Empty: the client has said its last word, and may still wait for answers."""
        if self.closing:
            return
        self._input_ended |= not data
        self._rtsp.receive_data(data, now_ns)
        if not self.moving:
            self._advance(now_ns)

    def ready(self, ready: Ready, now_ns: int) -> None:
        """The engine knows the first frame: answer PLAY, the media follows on its heels."""
        if self.closing or self.moving or not isinstance(self._waiting, Play):
            return
        if ready.preparation != self._preparations:
            return  # too late: that PLAY has been given up
        self._answered()
        self._rtsp.accept_play(ready.sequence, ready.rtp_timestamp, "npt=now-")
        self.paused = False
        self._camera.fanout.play(self.client, self._rtsp.data_to_send())
        tls = self.connection.tls
        stream = self._bound.name if self._bound else ""
        log.info("playing", **self._who(), stream=stream, certificate=tls.certificate if tls else "")
        self._advance(now_ns)

    def stream_changed(self, now_ns: int) -> None:
        """A pipeline knows more: perhaps what a DESCRIBE waits for, or that there will be no picture."""
        stream = self._describing or self._watching
        if stream is None or self._waiting is None or self.moving:
            return
        if isinstance(self._waiting, Play) and self._was_told_another(stream):
            self._end_session()
        elif not self._describe() and stream.pipeline.state.startswith("failed"):
            self._give_up()
        self._advance(now_ns)

    def settings_changed(self) -> None:
        """Who publishes what is not to be published so any more leaves."""
        if self._publication is not None and self._publication.is_outdated:
            self.close()

    def stream_gone(self, stream: LiveStream, now_ns: int) -> None:
        """It is taken away: who has been told of it leaves, who has just asked for it may look for another."""
        if stream is self._bound:
            self.close()
        elif stream is self._describing and not self.closing:
            self._give_up()
            self._advance(now_ns)

    @property
    def deadline_ns(self) -> int | None:
        """When `timeout` wants to be called."""
        if self.moving:
            return None
        deadlines = [at for at in (self._deadline_ns, self._rtsp.next_deadline()) if at is not None]
        return min(deadlines, default=None)

    def alive(self, last_received_ns: int) -> None:
        """The engine has seen bytes of this client, or their acknowledgement."""
        self._rtsp.alive(last_received_ns)

    def timeout(self, now_ns: int) -> None:
        if self._deadline_ns is not None and self._deadline_ns <= now_ns:
            self._give_up()
        deadline_ns = self._rtsp.next_deadline()
        if deadline_ns is not None and deadline_ns <= now_ns:
            self._rtsp.handle_timeout(now_ns)
        self._advance(now_ns)

    def close(self) -> None:
        """An orderly end from our side; Closed follows."""
        self.closing = True
        self._camera.fanout.close(self.client, self._rtsp.data_to_send())

    def closed(self) -> None:
        """The connection has gone, one way or another."""
        self._unwatch()
        self._answered()
        if self.has_seat:
            self._camera.leave_seat()

    # ---------------------------------------------------------------- to another worker and from one

    def begin_move(self) -> bool:
        """Answer nothing more; Moved follows, or Closed. False: it is leaving already."""
        if self.closing or isinstance(self._waiting, OtherCamera):
            return False
        self.moving = True
        self._camera.fanout.move(self.client)
        return True

    def export(self, moved: Moved) -> MovingClient:
        return MovingClient(
            connection=self.connection,
            session=moved.session,
            unread=moved.unread,
            unsent=moved.unsent,
            engine=moved.state,
            rtsp=export_connection(self._rtsp),
            bound=self._bound.name if self._bound is not None else "",
            described=self._described,
            rtp_channel=self._rtp_channel,
            paused=self.paused,
            since_ns=self.since_ns,
        )

    def resume(self, client: MovingClient, waiting: Event | None, sequence: int, now_ns: int) -> None:
        """Go on as the other one did, its media with the packet of this number; `waiting` has no answer yet.

        Raises RefusalError when he may not publish here any more.
        """
        self.paused, self.since_ns = client.paused, client.since_ns
        self._rtp_channel = client.rtp_channel
        self._bound = self._camera.named(client.bound) if client.bound else None
        self._described = client.described
        self._is_stranger = self._rtsp.user is None
        self._received_before = len(client.rtsp.received)
        if self._rtsp.state is State.PLAYING and self._bound is not None:
            self._watching = self._bound
            self._watching.pipeline.want()
            channels = self._rtp_channel, self._rtp_channel + 1
            self._camera.fanout.go_on(self.client, self._watching.media, *channels, sequence)
        if self._rtsp.state is State.RECORDING:
            self._record(now_ns)
        if waiting is not None:
            self._decide(waiting, now_ns)
        self._advance(now_ns)

    # ---------------------------------------------------------------- what others see

    @property
    def leftover(self) -> bytes:
        """What the next owner of the connection must parse."""
        return self._rtsp.leftover

    @property
    def stream(self) -> LiveStream | None:
        """Of the session, once it is set up."""
        return self._bound if self._rtsp.session_id is not None else None

    @property
    def has_seat(self) -> bool:
        """It counts as a reader. Who publishes does not: readers cannot keep him out."""
        return self._rtsp.session_id is not None and self._rtsp.announced is None

    @property
    def uses(self) -> Iterator[LiveStream]:
        """Streams that must not end now."""
        return (stream for stream in (self._describing, self._bound) if stream is not None)

    @property
    def user(self) -> str:
        return self._rtsp.user or ""

    @property
    def state(self) -> str:
        """As in control.ReaderStatus."""
        return "paused" if self.paused else self._rtsp.state.value

    # ---------------------------------------------------------------- decisions

    def _advance(self, now_ns: int) -> None:
        while not self.closing and (event := self._rtsp.next_event(now_ns)) is not None:
            self._decide(event, now_ns)
        if self._is_stranger and self._rtsp.user is not None:
            self._is_stranger = False
            self._camera.logged_in(self.connection)
        self._flush()

    def _flush(self) -> None:
        """Replies to the engine, and where our parser stands."""
        if self.closing:
            return
        if self._rtsp.should_close or (self._input_ended and self._waiting is None):
            self.close()
            return
        data, consumed = self._rtsp.data_to_send(), self._rtsp.consumed
        at_boundary = self._rtsp.at_boundary and self._waiting is None
        if (consumed, at_boundary) != (self._told_consumed, self._told_boundary):
            self._told_consumed, self._told_boundary = consumed, at_boundary
            # What was read before the adoption is not the engine's; while that is being parsed, nothing of it is.
            self._camera.fanout.consumed(self.client, max(0, consumed - self._received_before), at_boundary, data)
        elif data:
            self._camera.fanout.send(self.client, data)

    def _decide(self, event: Event, now_ns: int) -> None:
        match event:
            case Describe():
                if (stream := self._find(event)) is not None:
                    self._wait(event, now_ns + DESCRIBE_TIMEOUT_NS)
                    self._describing = stream
                    self._describing.pipeline.want()  # even if all is known: its linger keeps it warm for the PLAY
                    self._describe()
            case Setup():
                if (stream := self._find(event)) is not None:
                    self._set_up(event, stream)
            case Play():
                self._play(event, now_ns)
            case Announce() | Record():
                self._publish(event, now_ns)
            case Media():
                if self._publication is not None:
                    self._publication.put(event, now_ns)
            case Pause():
                self._camera.fanout.pause(self.client)
                self._unwatch()
                self.paused = True
                self._rtsp.accept()
            case Teardown():
                self._camera.fanout.end(self.client)
                self._unwatch()
                if self.has_seat:
                    self._camera.leave_seat()
                self._bound = None
                self.paused = False
                self._rtsp.accept()
            case OtherCamera():
                self._flush()  # answers to what came before leave with us
                self._wait(event, None)
                self._camera.fanout.release(self.client)
            case LoginFailed():
                self._camera.login_failed(self.connection, event.user, now_ns)
            case Refused():
                log.warning("refused", **self._who(), url=event.url, reason=event.reason)
            case _:
                assert_never(event)

    def _describe(self) -> bool:
        """Answer the DESCRIBE that waits, if one does and its stream is known."""
        stream = self._describing
        sdp = stream.session_description() if stream else None
        if stream is None or sdp is None:
            return False
        if self._rtsp.session_id is None:
            self._bound = stream
        self._described = (stream.name, stream.described_codec)
        self._answered()
        self._rtsp.describe(sdp)
        return True

    def _find(self, event: Describe | Setup) -> LiveStream | None:
        """The stream that is asked for; None: it has been refused."""
        try:
            return self._camera.stream(event.stream, event.parameters)
        except RefusalError as refusal:
            self._refuse(event.stream, refusal)
            return None

    def _refuse(self, stream: str, refusal: RefusalError) -> None:
        log.warning("refused", **self._who(), stream=stream, reason=refusal.reason)
        self._rtsp.refuse(refusal.status, refusal.reason)

    def _set_up(self, event: Setup, stream: LiveStream) -> None:
        if self._rtsp.announced is not None:
            self._bound = stream
            self._rtsp.accept_setup(event.transport.channels)
            return
        if self._rtsp.session_id is None and not self._camera.take_seat():
            self._refuse(event.stream, RefusalError(NOT_ENOUGH_BANDWIDTH, reason="the camera has all its readers"))
            return
        self._rtp_channel = event.transport.channels[0]
        self._bound = stream
        self._rtsp.accept_setup(event.transport.channels, stream.media.ssrc)

    def _publish(self, event: Announce | Record, now_ns: int) -> None:
        try:
            if isinstance(event, Announce):
                check_publisher(self._camera.stream(event.stream, NO_PARAMETERS), self.user, now_ns)
            else:
                self._record(now_ns)
            self._rtsp.accept()
        except RefusalError as refusal:
            self._refuse(event.stream, refusal)

    def _record(self, now_ns: int) -> None:
        """Raises RefusalError."""
        assert self._bound is not None
        fanout, peer = self._camera.fanout, str(self.connection.peer)
        self._publication = OwnPublication.begin(self._bound, self._rtsp, fanout, self.client, peer, now_ns)
        self.paused = False

    def _play(self, event: Play, now_ns: int) -> None:
        stream = self._bound
        assert stream is not None
        if self._was_told_another(stream):
            self._end_session()
            return
        self._wait(event, now_ns + PLAY_TIMEOUT_NS)
        self._watching = stream
        self._watching.pipeline.want()
        self._preparations += 1
        codec = self._told_codec(stream)
        self._camera.fanout.prepare(self.client, stream.media, self._rtp_channel, self._rtp_channel + 1, codec)

    def _told_codec(self, stream: LiveStream) -> str:
        """By DESCRIBE; empty when the client has not asked."""
        described, codec = self._described
        return codec if described == stream.name else ""

    def _was_told_another(self, stream: LiveStream) -> bool:
        """The stream's codec has changed since, before the engine has had this client as a reader of it."""
        return self._told_codec(stream) not in ("", stream.media.codec)

    def _end_session(self) -> None:
        """Answer PLAY: the client has to begin anew, with DESCRIBE."""
        log.info("session_ended", **self._who(), reason="its stream has another codec now")
        self._rtsp.refuse(SESSION_NOT_FOUND)
        self.close()

    def _wait(self, event: Describe | Play | OtherCamera, deadline_ns: int | None) -> None:
        self._waiting = event
        self._deadline_ns = deadline_ns

    def _answered(self) -> None:
        self._waiting = self._deadline_ns = None
        if self._describing is not None:
            self._describing.pipeline.unwant()
            self._describing = None

    def _give_up(self) -> None:
        """The stream does not come: say so now, the client may try again."""
        waiting, stream = self._waiting, self._describing or self._watching
        self._answered()
        if isinstance(waiting, Play):
            self._camera.fanout.pause(self.client)
            self._unwatch()
        if isinstance(waiting, Describe | Play) and stream is not None:
            log.warning("refused", **self._who(), stream=waiting.stream, reason=f"no picture: {stream.pipeline.state}")
            self._rtsp.refuse(SERVICE_UNAVAILABLE)

    def _unwatch(self) -> None:
        if self._watching is not None:
            self._watching.pipeline.unwant()
            self._watching = None
        if self._publication is not None:
            self._publication.end()
            self._publication = None

    def _who(self) -> dict[str, object]:
        return {"peer": self.connection.peer, "user": self.user}
