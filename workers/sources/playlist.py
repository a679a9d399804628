"""Several files, one after the other, as one endless film."""

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from camfleet.core.log import Log
from camfleet.core.wire import FileLive

from ..clockmap import NS_PER_S
from ..codecs import BT709, AccessUnit, Description
from .base import SourceError
from .filelive import MAX_LATE_NS, FilePassThrough
from .filepictures import FileFilm, FilePictures, Film
from .lineup import Lineup
from .reel import ReelPassThrough, join
from .reelfilm import ReelFilm

log = Log("sources")

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".mts", ".m2ts"})
MAX_FILES = 10_000  # of a folder
MAX_LOGGED = 10  # of files that cannot be played, one after the other


PartT = TypeVar("PartT")


def is_list(source: FileLive) -> bool:
    """Whether there is more to it than one file from its beginning."""
    return bool(source.paths or source.start_offset_s) or Path(source.path).is_dir()


def rounds(source: FileLive) -> Iterator[list[str]]:
    """The files in the order of playing, for each round anew: folders may have changed, and shuffling is no rhythm."""
    last = ""
    told: set[str] = set()
    while True:
        files: list[str] = []
        failure = SourceError(f"{source.path or source.paths[0]} has no MP4, MKV or TS file")
        for path in source.paths or (source.path,):
            try:
                files += _files(path)
            except SourceError as error:
                if str(error) not in told:
                    log.warning("folder_passed_over", reason=str(error))
                    told.add(str(error))
                failure = error
        if not files:
            raise failure
        if source.shuffle:
            random.shuffle(files)
            if files[0] == last:  # one twice, over the seam
                files.append(files.pop(0))
        last = files[-1]
        yield files


class PlayList:
    """Opens one file after the other. One that cannot be played is passed over; when none can, the first says why."""

    def __init__(self, source: FileLive) -> None:
        self._source = source
        self._rounds = rounds(source)
        self._round_size = 0
        self._files: list[str] = []

    def next_part(self, open_part: Callable[[str], PartT]) -> PartT:
        first: SourceError | None = None
        failed = 0
        while True:
            if not self._files:
                self._files = self._next_round()
                self._round_size = len(self._files)
            try:
                return open_part(self._files.pop(0))
            except SourceError as error:
                first, failed = first or error, failed + 1
                if failed <= MAX_LOGGED:
                    log.warning("file_passed_over", reason=str(error))
            if failed > self._round_size:  # each has been tried
                raise first

    def _next_round(self) -> list[str]:
        try:
            return next(self._rounds)
        except SourceError:
            self._rounds = rounds(self._source)  # a generator that has raised gives no more
            raise


class ListPassThrough:
    """A Feed. Parameter sets, sizes and codecs change with the files, each of which begins with a key frame."""

    encoder = "pass-through"
    absence = ""
    colours = BT709  # after the conversion of all that is encoded anew, as of a ListFilm

    def __init__(self, source: FileLive, start_ns: int) -> None:
        self._list = PlayList(source)
        self._skipped = 0
        self._shown_until_ns = start_ns
        self._part = self._open(start_ns, source.start_offset_s)

    @property
    def description(self) -> Description:
        return self._part.description

    @property
    def pixel_aspect(self) -> Fraction | None:
        return self._part.pixel_aspect

    @property
    def due_ns(self) -> int:
        return self._part.due_ns

    @property
    def skipped(self) -> int:
        return self._skipped + self._part.skipped

    def read(self, now_ns: int, force_key: bool, /) -> list[AccessUnit]:
        try:
            units = list(self._part.read(now_ns, force_key))
        except SourceError as error:
            log.warning("file_passed_over", reason=str(error))
            units, self._part.ended = [], True
        if self._part.ended:
            before = self._part
            self._skipped += before.skipped
            self._part = self._open(max(before.end_ns, self._shown_until_ns), 0.0)
            before.close()
            units = list(self._part.read(now_ns, force_key))
        if units:
            # Reordered pictures are shown after they are sent: those of the next file must not come between them.
            newest_ns = max(unit.capture_ns for unit in units)
            self._shown_until_ns = max(self._shown_until_ns, newest_ns + round(NS_PER_S / self.description.fps))
        return units

    def close(self) -> None:
        self._part.close()

    def _open(self, start_ns: int, offset_s: float) -> FilePassThrough:
        return self._list.next_part(lambda path: FilePassThrough(path, start_ns, once=True, offset_s=offset_s))


class ListFilm:
    """A Film. Files may differ in their colours, so all are converted (`matrix` of FilePictures)."""

    colours = BT709

    def __init__(self, source: FileLive, start_ns: int) -> None:
        self._list = PlayList(source)
        self._skipped = 0
        self._part = self._open(start_ns, source.start_offset_s)

    @property
    def skipped(self) -> int:
        return self._skipped + self._part.skipped

    @property
    def pixel_aspect(self) -> Fraction:
        return self._part.pixel_aspect

    def newest(self, capture_ns: int) -> VideoFrame:
        try:
            picture = self._part.newest(capture_ns)
        except SourceError as error:
            log.warning("file_passed_over", reason=str(error))
        else:
            if not self._part.ended or capture_ns < self._part.end_ns:
                return picture
        before = self._part
        self._skipped += before.skipped
        # A machine that slept does not hurry through the files of that time.
        start_ns = before.end_ns if capture_ns - before.end_ns < MAX_LATE_NS else capture_ns
        self._part = self._open(start_ns, 0.0)
        before.close()
        return self._part.newest(capture_ns)

    def close(self) -> None:
        self._part.close()

    def _open(self, start_ns: int, offset_s: float) -> FileFilm:
        return self._list.next_part(lambda path: FileFilm(path, start_ns, once=True, offset_s=offset_s))


def open_file_pictures(source: FileLive, lineup: Lineup, width: int, height: int, start_ns: int) -> FilePictures:
    matrix = Colorspace.ITU709 if is_list(source) else None
    return FilePictures(source, lambda: _open_film(source, lineup, start_ns), width, height, matrix)


def _open_film(source: FileLive, lineup: Lineup, start_ns: int) -> Film:
    if lineup.passes_through(source):
        try:
            return ReelFilm(join(source, lineup, lambda: open_file_feed(source, start_ns), start_ns))
        except SourceError as error:  # perhaps no decoder of ours minds
            log.warning("not_passed_through", reason=str(error))
    return ListFilm(source, start_ns) if is_list(source) else FileFilm(source.path, start_ns)


def open_file_pass_through(source: FileLive, lineup: Lineup, start_ns: int) -> ReelPassThrough:
    return ReelPassThrough(source, lineup, lambda: open_file_feed(source, start_ns), start_ns)


def open_file_feed(source: FileLive, start_ns: int) -> ListPassThrough | FilePassThrough:
    return ListPassThrough(source, start_ns) if is_list(source) else FilePassThrough(source.path, start_ns)


def _files(path: str) -> list[str]:
    if not Path(path).is_dir():
        return [path]
    try:
        found = sorted(str(each) for each in Path(path).iterdir() if each.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    return found[:MAX_FILES]
