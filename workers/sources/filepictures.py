"""The pictures of a media file, in an endless loop at its own pace: decoded once for all streams that show them."""

from __future__ import annotations  # av.Packet is generic in its stubs only

import threading
from collections.abc import Callable, Generator
from fractions import Fraction
from typing import Protocol

from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from camfleet.core.wire import FileLive

from ..codecs import Colours
from ..encoders.errors import PYAV_ERRORS
from .base import SourceError
from .filelive import MAX_LATE_NS, MAX_SEARCH, colours_of
from .letterbox import Letterbox
from .mediafile import MAX_PIXELS, MediaFile
from .planes import new_picture, planes
from .timeline import Timeline

NEVER_NS = 1 << 62


class Film(Protocol):
    """Pictures as they are decoded. Belongs to one thread at a time."""

    colours: Colours

    @property
    def skipped(self) -> int: ...
    @property
    def pixel_aspect(self) -> Fraction: ...

    def newest(self, capture_ns: int, /) -> VideoFrame | None:
        """The one that is not later; the same object as long as it is the same picture. None: none yet."""

    def close(self) -> None: ...


class FileFilm:
    """The film of one file of any codec."""

    def __init__(self, path: str, start_ns: int, *, once: bool = False, offset_s: float = 0.0) -> None:
        """`once`: no second pass; after the last picture `ended` is set."""
        self.ended = False
        self.skipped = 0
        self._once = once
        self._file = MediaFile(path)
        if offset_s:
            self._file.skip(offset_s)
        track = self._file.track
        self._decoder = track.codec_context
        self._decoder.thread_count = 1
        self._decoder.options = {"max_pixels": str(MAX_PIXELS)}
        self.colours = colours_of(track)
        self.pixel_aspect = track.sample_aspect_ratio or self._decoder.sample_aspect_ratio or Fraction(1)
        self._timeline = Timeline(start_ns, self._file.time_base, self._file.frame)
        self._schedule = self._scheduled()
        _, self._shown = next(self._schedule)
        self._advance()

    def newest(self, capture_ns: int) -> VideoFrame:
        late_ns = capture_ns - self._next_ns
        if late_ns > MAX_LATE_NS:
            self._timeline.delay(late_ns)
            self._next_ns += late_ns
        while self._next_ns <= capture_ns:
            self._shown = self._next
            self._advance()
        return self._shown

    @property
    def end_ns(self) -> int:
        return self._timeline.end_ns

    def close(self) -> None:
        self._schedule.close()
        self._file.close()

    def _advance(self) -> None:
        try:
            self._next_ns, self._next = next(self._schedule)
        except StopIteration:
            self.ended, self._next_ns = True, NEVER_NS

    def _scheduled(self) -> Generator[tuple[int, VideoFrame], None, None]:
        """(when to show, what), in the order of showing."""
        since_picture = of_pass = 0
        for packet in self._file.packets():
            try:
                frames = self._decoder.decode(packet)  # None at the end of a pass: gives what is left
            except PYAV_ERRORS:
                self.skipped += 1
                frames = []
            since_picture = 0 if frames else since_picture + 1
            of_pass += len(frames)
            if since_picture > MAX_SEARCH:
                raise SourceError(f"{self._file.path}: {MAX_SEARCH} packets without a picture; the file is damaged")
            for frame in frames:
                yield self._timeline.place(frame.pts, frame.duration), frame
            if packet is None:
                if not of_pass:
                    raise SourceError(f"{self._file.path}: no picture could be decoded; the file is damaged")
                if self._once:
                    return
                of_pass = 0
                self._timeline.new_pass()


class _Shared:
    """A film and who shows it. PyAV writes into frames that it scales (shared.py), so only one at a time may."""

    def __init__(self, film: Film) -> None:
        self.film = film
        self.lock = threading.Lock()
        self.users = 0
        self.failed = False


_films: dict[FileLive, _Shared] = {}
_guard = threading.Lock()


class FilePictures:
    """A PictureSource. Streams of a camera with the same source read and decode it once, whoever asks first."""

    absence = ""
    shared = None

    def __init__(
        self, source: FileLive, open_film: Callable[[], Film], width: int, height: int, matrix: Colorspace | None = None
    ) -> None:
        """`matrix` as of a Letterbox."""
        with _guard:
            shared = _films.get(source)
            if shared is None or shared.failed:
                shared = _films[source] = _Shared(open_film())
            shared.users += 1
        self.colours = shared.film.colours
        self._source = source
        self._shared = shared
        self._letterbox = Letterbox(width, height, matrix=matrix)
        self._own, self._own_planes = new_picture(width, height)
        self._raw: VideoFrame | None = None
        self._fitted: VideoFrame | None = None

    @property
    def skipped(self) -> int:
        return self._shared.film.skipped

    def picture(self, _number: int, capture_ns: int) -> VideoFrame | None:
        shared = self._shared
        with shared.lock:
            try:
                raw = shared.film.newest(capture_ns)
            except BaseException:
                shared.failed = True  # who comes next opens it anew
                raise
            if raw is not None and raw is not self._raw:
                fitted = self._letterbox.fit(raw, shared.film.pixel_aspect)
                if fitted is raw:  # the encoder writes into what it gets, and another stream may scale it meanwhile
                    for own, plane in zip(self._own_planes, planes(raw), strict=True):
                        own[:] = plane
                    fitted = self._own
                self._raw, self._fitted = raw, fitted
        return self._fitted

    def close(self) -> None:
        with _guard:
            self._shared.users -= 1
            if self._shared.users:
                return
            if _films.get(self._source) is self._shared:
                del _films[self._source]
        with self._shared.lock:
            self._shared.film.close()
