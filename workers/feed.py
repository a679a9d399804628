"""From a stream's settings to its access units: a source that has them, or a source of pictures and an encoder."""

from collections.abc import Sequence
from typing import Protocol

from camfleet.core.wire.camera import FileLive, StreamSpec, TestLive, VideoSpec

from .encoders import open_encoder
from .h264 import AccessUnit, Description
from .sources import FilePassThrough, FilePictures, FrameClock, PictureSource, TestPattern


class Feed(Protocol):
    """Belongs to one thread. Its methods raise SourceError and EncoderError, after which it can only be closed."""

    encoder: str  # for status
    description: Description

    @property
    def due_ns(self) -> int:
        """When to call `read` next, on the monotonic clock."""

    @property
    def skipped(self) -> int:
        """Damaged access units or pictures left out so far."""

    def read(self, now_ns: int, force_key: bool, /) -> Sequence[AccessUnit]:
        """What is due now, possibly nothing. `force_key` is a wish: only an encoder of ours can fulfil it."""

    def close(self) -> None: ...


def encodes(stream: StreamSpec) -> bool:
    """Whether an encoder of ours makes the stream, and so a key frame for every joiner."""
    return stream.video is not None or not isinstance(stream.source, FileLive)


def open_feed(title: str, stream: StreamSpec, start_ns: int, unix_offset_ns: int) -> Feed:
    """The stream's feed, its first access unit due at `start_ns`. `title` is for pictures that show one."""
    match stream.source, stream.video:
        case FileLive(path), None:
            return FilePassThrough(path, start_ns)
        case FileLive(path), VideoSpec() as video:
            return EncodedFeed(FilePictures(path, video.width, video.height, start_ns), video, start_ns)
        case TestLive(), video:
            video = video or VideoSpec()
            return EncodedFeed(TestPattern(title, video.width, video.height, unix_offset_ns), video, start_ns)
    raise AssertionError(stream.source)


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
        return self._encoder.encode(self._source.picture(number, capture_ns), number, capture_ns, force_key)

    def close(self) -> None:
        self._source.close()
