"""A client's publication as its session sees it: who may begin one, and what it keeps in motion."""

from functools import partial
from typing import Self

from camfleet.core.log import Log
from camfleet.core.net.fanout import FanOut
from camfleet.core.net.inlet import Inlet
from camfleet.core.rtsp import Media, ServerConnection
from camfleet.core.rtsp.errors import FORBIDDEN, METHOD_NOT_ALLOWED, SERVICE_UNAVAILABLE, RefusalError
from camfleet.core.wire import Publish
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.descriptors import why_not
from camfleet.workers.sources.publish import Publication, PublishingPoint, publishing_point

from .stream import LiveStream

log = Log("session")


def check_publisher(stream: LiveStream, user: str, now_ns: int) -> tuple[Publish, PublishingPoint]:
    """Raises RefusalError when he may not publish there, or not now."""
    source = stream.spec.source
    if not isinstance(source, Publish):
        raise RefusalError(METHOD_NOT_ALLOWED, reason="the stream has another source now")
    if user != source.user:
        raise RefusalError(FORBIDDEN, reason="this user may not publish here")
    try:
        point = publishing_point(source)
    except SourceError as error:
        raise RefusalError(SERVICE_UNAVAILABLE, reason=str(error)) from None
    if not point.is_free(now_ns):
        raise _taken()
    return source, point


class OwnPublication:
    """From RECORD to its end. All that time the stream runs, watched or not: readers begin at its newest key frame."""

    __slots__ = ("_point", "_publication", "_source", "_stream")

    def __init__(self, stream: LiveStream, source: Publish, point: PublishingPoint, publication: Publication) -> None:
        self._stream = stream
        self._source = source
        self._point = point
        self._publication = publication
        stream.pipeline.want()

    @classmethod
    def begin(
        cls, stream: LiveStream, rtsp: ServerConnection, fanout: FanOut, client: int, peer: str, now_ns: int
    ) -> Self:
        """Of what is set up on the connection. Raises RefusalError."""
        announced, channels = rtsp.announced, rtsp.video_channels
        assert announced is not None
        assert channels is not None
        source, point = check_publisher(stream, rtsp.user or "", now_ns)
        try:
            inlet = Inlet()
        except OSError as error:
            raise RefusalError(SERVICE_UNAVAILABLE, reason=why_not(error)) from None
        send, end = partial(fanout.send, client), partial(fanout.close, client)
        publication = Publication(announced.video, channels, peer, send, end, inlet)
        if not point.take(publication, now_ns):
            raise _taken()
        fanout.record(client, publication.inlet, *channels)
        log.info("publishing", peer=peer, user=rtsp.user, stream=stream.name, codec=announced.video.codec)
        return cls(stream, source, point, publication)

    @property
    def is_outdated(self) -> bool:
        """The settings are others than those it began with."""
        return self._stream.spec.source != self._source

    def put(self, media: Media, now_ns: int) -> None:
        """What has come among requests."""
        if media.channel in self._publication.channels:
            self._publication.inlet.put(media.channel, media.payload, now_ns)

    def end(self) -> None:
        self._point.leave(self._publication)
        self._stream.pipeline.unwant()


def _taken() -> RefusalError:
    return RefusalError(SERVICE_UNAVAILABLE, reason="somebody publishes here already")
