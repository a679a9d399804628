"""From a stream's settings to its access units: a source that has them, or a source of pictures and an encoder."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from camfleet.core.wire import Image, OverlaySpec, StreamSpec, VideoSpec
from msgspec import structs

from .codecs import H264, AccessUnit, Description
from .encoders import AUTO, SOFTWARE, EncoderError, OpeningEncoder, VideoEncoder, needs_card, open_encoder
from .malloc import keep_large_blocks
from .sources import Feed, FrameClock, ImageFile, Overlay, PictureSource, Place, open_pass_through, open_pictures

MAX_STILL_GROUP = 60  # pictures: one or two such groups are coded before the first is seen
OPENING = "the driver of the graphics card has not answered yet"


def encodes(stream: StreamSpec) -> bool:
    """Whether an encoder of ours makes the stream, and so a key frame for every joiner."""
    return stream.video is not None or not stream.source.passes_through


def open_feed(place: Place, stream: StreamSpec, start_ns: int, before: Feed | None = None) -> Feed:
    """The stream's feed, its first access unit due at `start_ns`.

    `before`, of the same source, is closed in any case: after the source has been opened once more, so that what they
    share stays open, as the connection to a camera; and before the encoder, as a graphics card may have only one.
    """
    video = stream.video or VideoSpec()
    file: ImageFile | None = None
    try:
        if not encodes(stream):
            return open_pass_through(stream.source, place, start_ns)
        keep_large_blocks()
        if isinstance(stream.source, Image) and not stream.overlays and not needs_card(video):
            file = ImageFile(stream.source.path, video.width, video.height)
        pictures = file.open() if file else open_pictures(stream.source, place, video, start_ns)
    finally:
        if before is not None:
            before.close()
    if file is not None:
        return StillFeed(pictures, _for_a_still(video), start_ns, file.replaced)
    return EncodedFeed(pictures, video, start_ns, place, stream.overlays)


def _for_a_still(video: VideoSpec) -> VideoSpec:
    """What is coded once is nothing to wait for a graphics card for."""
    encoder = SOFTWARE[video.codec].name if video.encoder == AUTO else video.encoder
    return structs.replace(video, gop=min(video.gop, MAX_STILL_GROUP), encoder=encoder)


def adapt(feed: Feed, place: Place, before: StreamSpec, after: StreamSpec) -> bool:
    """Whether the feed, opened for `before`, now does what `after` says; if not, another one must be opened.

    Raises EncoderError when it should, and no encoder does.
    """
    if before.source != after.source:
        return False
    if isinstance(feed, EncodedFeed):
        return feed.adapt(after.video or VideoSpec(), place, after.overlays)
    return (before.video, before.overlays) == (after.video, after.overlays)


class EncodedFeed:
    """Asks the source for a picture at each frame's time and encodes it.

    As long as the encoder of a graphics card opens, it goes on with the one before it, or gives nothing.
    """

    encoder = ""
    description: Description | None = None
    _encoder: VideoEncoder

    def __init__(
        self,
        source: PictureSource,
        video: VideoSpec,
        start_ns: int,
        place: Place | None = None,
        overlays: tuple[OverlaySpec, ...] = (),
    ) -> None:
        """With `overlays` the place is needed: they may tell the camera's name and the time."""
        self._source = source
        self._video = video
        try:
            self._lay_over(place, overlays)
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
        is_missed = isinstance(self._encoder, OpeningEncoder) and self._encoder.is_missed
        return self._source.absence or (OPENING if is_missed else "")

    def read(self, now_ns: int, force_key: bool) -> Sequence[AccessUnit]:
        number = self._clock.tick(now_ns)
        capture_ns = self._clock.time_ns(number)
        if isinstance(self._encoder, OpeningEncoder):
            opening, self._encoder = self._encoder, self._encoder.opened(capture_ns)
            if self._encoder is not opening or self._encoder.name != self.encoder:
                self._describe()
        picture = self._source.picture(number, capture_ns)
        if picture is None:
            return []
        if self._overlay is not None:
            picture = self._overlay.paint(picture, capture_ns, self._source.shared)
        units = self._encoder.encode(picture, number, capture_ns, force_key)
        if self._overlay is not None:
            self._overlay.restore()
        if self._encoder.name != self.encoder:
            self._describe()
        return units

    def adapt(self, video: VideoSpec, place: Place, overlays: tuple[OverlaySpec, ...]) -> bool:
        """Whether the source's pictures will do for these settings. The encoder is another one, if it has to be."""
        before = self._video
        if (before.width, before.height, before.fps) != (video.width, video.height, video.fps):
            return False
        if (place.camera_name if overlays else "", overlays) != self._laid_over:
            self._lay_over(place, overlays)
        if before == video:
            return True
        self._video = video
        only_bitrate = before == structs.replace(video, bitrate_bps=before.bitrate_bps)
        if only_bitrate and self._encoder.set_bitrate(video.bitrate_bps):
            return True
        self._open_encoder(self._encoder)
        return True

    def close(self) -> None:
        self._source.close()
        self._encoder.close()

    def _lay_over(self, place: Place | None, overlays: tuple[OverlaySpec, ...]) -> None:
        self._laid_over, self._overlay = ("", overlays), None
        if overlays and place is not None:
            video = self._video
            self._overlay = Overlay(overlays, video.width, video.height, place.camera_name, place.unix_offset_ns)
            self._laid_over = place.camera_name, overlays

    def _open_encoder(self, before: VideoEncoder | None = None) -> None:
        self._encoder = open_encoder(self._video, self._source.colours, before=before)
        if not isinstance(self._encoder, OpeningEncoder):
            self._describe()

    def _describe(self) -> None:
        video, encoder = self._video, self._encoder
        if encoder.parameter_sets:
            self.encoder = encoder.name
            self.description = Description(video.width, video.height, video.fps, encoder.parameter_sets, video.codec)


class StillFeed:
    """A picture that seldom changes: coded once and repeated, at the price of a file that passes through.

    One group of pictures, or two in H.264, where neighbouring IDR pictures have different numbers (idr_pic_id, 7.4.3).
    """

    skipped = 0
    absence = ""

    def __init__(
        self,
        source: PictureSource,
        video: VideoSpec,
        start_ns: int,
        replaced: Callable[[int], PictureSource | None] = lambda _now_ns: None,
    ) -> None:
        """`replaced` is asked for each picture whether there is another source now."""
        self._video = video
        self._replaced = replaced
        self._clock = FrameClock(start_ns, video.fps)
        self._next = 0
        self._code(source)

    @property
    def due_ns(self) -> int:
        return self._clock.due_ns

    def read(self, now_ns: int, force_key: bool) -> Sequence[AccessUnit]:
        capture_ns = self._clock.time_ns(self._clock.tick(now_ns))
        if source := self._replaced(now_ns):
            self._code(source)
            force_key = True
        if force_key:
            self._next += -self._next % self._video.gop
        unit = self._units[self._next % len(self._units)]
        self._next += 1
        return [replace(unit, capture_ns=capture_ns)]

    def close(self) -> None:
        self._units.clear()

    def _code(self, source: PictureSource) -> None:
        group, groups = self._video.gop, 2 if self._video.codec == H264.name else 1
        coded = EncodedFeed(source, self._video, 0)
        try:
            units = [unit for _ in range(groups * group) for unit in coded.read(coded.due_ns, False)]
        finally:
            coded.close()
        assert coded.description is not None  # an encoder that is there at once
        self.encoder, self.description = coded.encoder, coded.description
        self._units = [replace(unit, data=bytes(unit.data)) for unit in units]
        if [unit.key_frame for unit in self._units] != groups * ([True] + (group - 1) * [False]):
            raise EncoderError(f"{self.encoder}: does not give a picture for each that it gets, and key frames in time")
