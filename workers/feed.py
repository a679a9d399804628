"""From a stream's settings to its access units: a source that has them, or a source of pictures and an encoder."""

from collections.abc import Sequence

from camfleet.core.wire import StreamSpec, VideoSpec

from .encoders import open_encoder
from .h264 import AccessUnit, Description
from .sources import Feed, FrameClock, PictureSource, Place, open_pass_through, open_pictures


def encodes(stream: StreamSpec) -> bool:
    """Whether an encoder of ours makes the stream, and so a key frame for every joiner."""
    return stream.video is not None or not stream.source.passes_through


def open_feed(place: Place, stream: StreamSpec, start_ns: int) -> Feed:
    """The stream's feed, its first access unit due at `start_ns`."""
    if not encodes(stream):
        return open_pass_through(stream.source, place, start_ns)
    video = stream.video or VideoSpec()
    return EncodedFeed(open_pictures(stream.source, place, video, start_ns), video, start_ns)


class EncodedFeed:
    """Asks the source for a picture at each frame's time and encodes it."""

    def __init__(self, source: PictureSource, video: VideoSpec, start_ns: int) -> None:
        self._source = source
        try:
            self._encoder = open_encoder(video, source.colours)
        except Exception:
            source.close()
            raise
        self.encoder = self._encoder.backend.name
        self.description = Description(video.width, video.height, video.fps, self._encoder.parameter_sets)
        self._clock = FrameClock(start_ns, video.fps)

    @property
    def due_ns(self) -> int:
        return self._clock.due_ns

    @property
    def skipped(self) -> int:
        return self._source.skipped

    def read(self, now_ns: int, force_key: bool) -> Sequence[AccessUnit]:
        number = self._clock.tick(now_ns)
        capture_ns = self._clock.time_ns(number)
        picture = self._source.picture(number, capture_ns)
        return self._encoder.encode(picture, number, capture_ns, force_key) if picture is not None else []

    def close(self) -> None:
        self._source.close()
