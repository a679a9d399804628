"""From a stream's settings to its access units: a source that has them, or a source of pictures and an encoder."""

from collections.abc import Sequence
from dataclasses import replace

from camfleet.core.wire import StreamSpec, VideoSpec
from msgspec import structs

from .codecs import AccessUnit, Description
from .encoders import EncoderError, open_encoder
from .malloc import keep_large_blocks
from .sources import Feed, FrameClock, PictureSource, Place, open_pass_through, open_pictures


def encodes(stream: StreamSpec) -> bool:
    """Whether an encoder of ours makes the stream, and so a key frame for every joiner."""
    return stream.video is not None or not stream.source.passes_through


def open_feed(place: Place, stream: StreamSpec, start_ns: int) -> Feed:
    """The stream's feed, its first access unit due at `start_ns`."""
    if not encodes(stream):
        return open_pass_through(stream.source, place, start_ns)
    keep_large_blocks()
    video = stream.video or VideoSpec()
    return EncodedFeed(open_pictures(stream.source, place, video, start_ns), video, start_ns)


def adapt(feed: Feed, before: StreamSpec, after: StreamSpec) -> bool:
    """Whether the feed, opened for `before`, now does what `after` says; if not, another one must be opened.

    Raises EncoderError when it should, and no encoder does.
    """
    if (before.source, before.video) == (after.source, after.video):
        return True
    if before.source != after.source or not isinstance(feed, EncodedFeed):
        return False
    return feed.adapt(after.video or VideoSpec())


class EncodedFeed:
    """Asks the source for a picture at each frame's time and encodes it."""

    def __init__(self, source: PictureSource, video: VideoSpec, start_ns: int) -> None:
        self._source = source
        self._video = video
        try:
            self._open_encoder()
        except Exception:
            source.close()
            raise
        self._clock = FrameClock(start_ns, video.fps)

    @property
    def due_ns(self) -> int:
        return self._clock.due_ns

    @property
    def skipped(self) -> int:
        return self._source.skipped

    @property
    def absence(self) -> str:
        return self._source.absence

    def read(self, now_ns: int, force_key: bool) -> Sequence[AccessUnit]:
        number = self._clock.tick(now_ns)
        capture_ns = self._clock.time_ns(number)
        picture = self._source.picture(number, capture_ns)
        if picture is None:
            return []
        units = self._encoder.encode(picture, number, capture_ns, force_key)
        if self._encoder.name != self.encoder:
            self._describe()
        return units

    def adapt(self, video: VideoSpec) -> bool:
        """Whether the source's pictures will do for these settings. The encoder is another one, if it has to be."""
        before = self._video
        if (before.width, before.height, before.fps) != (video.width, video.height, video.fps):
            return False
        self._video = video
        only_bitrate = before == structs.replace(video, bitrate_bps=before.bitrate_bps)
        if only_bitrate and self._encoder.set_bitrate(video.bitrate_bps):
            return True
        self._encoder.close()  # before the next one: a graphics card may have only one to give
        self._open_encoder()
        return True

    def close(self) -> None:
        self._source.close()
        self._encoder.close()

    def _open_encoder(self) -> None:
        self._encoder = open_encoder(self._video, self._source.colours)
        self._describe()

    def _describe(self) -> None:
        video, encoder = self._video, self._encoder
        self.encoder = encoder.name
        self.description = Description(video.width, video.height, video.fps, encoder.parameter_sets, video.codec)


class StillFeed:
    """A picture that does not change: coded once and repeated for ever, at the price of a file that passes through.

    Two groups of pictures, as neighbouring IDR pictures have different numbers (idr_pic_id, H.264 7.4.3).
    """

    skipped = 0
    absence = ""

    def __init__(self, source: PictureSource, video: VideoSpec, start_ns: int) -> None:
        self._group = video.gop
        self._clock = FrameClock(start_ns, video.fps)
        self._next = 0
        coded = EncodedFeed(source, video, start_ns)
        try:
            units = [unit for _ in range(2 * self._group) for unit in coded.read(coded.due_ns, False)]
        finally:
            coded.close()
        self.encoder, self.description = coded.encoder, coded.description
        self._units = [replace(unit, data=bytes(unit.data)) for unit in units]
        if [unit.key_frame for unit in self._units] != 2 * ([True] + (self._group - 1) * [False]):
            raise EncoderError(f"{self.encoder}: does not give a picture for each that it gets, and key frames in time")

    @property
    def due_ns(self) -> int:
        return self._clock.due_ns

    def read(self, now_ns: int, force_key: bool) -> Sequence[AccessUnit]:
        capture_ns = self._clock.time_ns(self._clock.tick(now_ns))
        if force_key:
            self._next += -self._next % self._group
        unit = self._units[self._next % len(self._units)]
        self._next += 1
        return [replace(unit, capture_ns=capture_ns)]

    def close(self) -> None:
        self._units.clear()
