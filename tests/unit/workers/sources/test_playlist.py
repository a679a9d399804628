"""Several files as one film: their order, their seams, and those that cannot be played."""

import errno
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from camfleet.core.wire import FileLive
from camfleet.workers.codecs import CODECS, AccessUnit
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.filepictures import FileFilm, _films
from camfleet.workers.sources.lineup import Lineup
from camfleet.workers.sources.playlist import (
    MAX_LOGGED,
    ListPassThrough,
    PlayList,
    is_list,
    open_file_feed,
    open_file_pictures,
    rounds,
)

from tests.kit.clips import decode, number_of, write_clip

START_NS = 7_000_000_000
FRAME_NS = 1_000_000_000 // 30
PICTURES = 15


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two of one shape, one of another, and what is no film."""
    write_clip(tmp_path / "a.mp4", pictures=PICTURES, gop=5)
    write_clip(tmp_path / "b.mkv", pictures=PICTURES, gop=5, b_frames=2)
    write_clip(tmp_path / "c.ts", pictures=PICTURES, gop=5, size=(320, 180))
    (tmp_path / "notes.txt").write_text("no film")
    return tmp_path


def played(source: FileLive, count: int) -> tuple[list[AccessUnit], list[str]]:
    """Units, and the size and codec that the stream is said to have with each."""
    feed = open_file_feed(source, START_NS)
    units: list[AccessUnit] = []
    shapes: list[str] = []
    while len(units) < count:
        got = list(feed.read(feed.due_ns, False))
        units += got
        shapes += [f"{feed.description.codec} {feed.description.width}"] * len(got)
    feed.close()
    return units[:count], shapes[:count]


def test_files_follow_each_other_without_a_gap_and_each_with_its_own_parameter_sets(folder: Path) -> None:
    units, shapes = played(FileLive(str(folder)), 4 * PICTURES)
    assert shapes == ["h264 160"] * 2 * PICTURES + ["h264 320"] * PICTURES + ["h264 160"] * PICTURES
    pictures = decode([bytes(unit.data) for unit in units])
    assert [number_of(picture) for picture in pictures] == 4 * list(range(PICTURES))
    assert [picture.width for picture in pictures] == [160] * 30 + [320] * 15 + [160] * 15
    steps = [later - earlier for earlier, later in pairwise(sorted(unit.capture_ns for unit in units))]
    assert all(FRAME_NS - 2_000_000 < step < 4 * FRAME_NS for step in steps)
    assert all(units[n * PICTURES].key_frame for n in range(4))


def test_another_codec_in_the_middle(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "a.mp4", pictures=PICTURES, gop=5)
    second = write_clip(tmp_path / "b.mp4", codec="libx265", pictures=PICTURES, gop=5)
    units, shapes = played(FileLive(paths=(str(first), str(second))), 3 * PICTURES)
    assert shapes == ["h264 160"] * PICTURES + ["h265 160"] * PICTURES + ["h264 160"] * PICTURES
    assert not CODECS["h265"].key_frames.isdisjoint(CODECS["h265"].leading_types(bytes(units[PICTURES].data)))


def test_pictures_of_all_in_the_shape_of_the_stream(folder: Path) -> None:
    source = open_file_pictures(FileLive(str(folder)), Lineup(), 160, 96, START_NS - 1)
    shown = [source.picture(n, START_NS + n * FRAME_NS + 2_000_000) for n in range(4 * PICTURES)]
    assert all(picture is not None and (picture.width, picture.height) == (160, 96) for picture in shown)
    numbers = []
    for n in range(4 * PICTURES, 8 * PICTURES):
        picture = source.picture(n, START_NS + n * FRAME_NS + 2_000_000)
        assert picture is not None
        numbers.append(picture.to_ndarray()[48, 80])
    assert len({round((int(value) - 20) / 4) for value in numbers}) == PICTURES
    source.close()


def test_the_order_of_a_list_and_of_a_folder_inside_it(folder: Path) -> None:
    last = write_clip(folder.parent / "z.mp4", pictures=2)
    (first,) = islice(rounds(FileLive(paths=(str(last), str(folder)))), 1)
    assert [Path(file).name for file in first] == ["z.mp4", "a.mp4", "b.mkv", "c.ts"]
    last.unlink()


def test_shuffled_each_round_is_another_and_none_comes_twice_in_a_row(folder: Path) -> None:
    turns = list(islice(rounds(FileLive(str(folder), shuffle=True)), 60))
    assert all(sorted(Path(file).name for file in turn) == ["a.mp4", "b.mkv", "c.ts"] for turn in turns)
    assert len({tuple(turn) for turn in turns}) == 6
    assert all(before[-1] != after[0] for before, after in pairwise(turns))


def test_a_folder_that_changes_is_looked_at_in_each_round(folder: Path) -> None:
    source = rounds(FileLive(str(folder)))
    assert len(next(source)) == 3
    (folder / "b.mkv").unlink()
    assert [Path(file).name for file in next(source)] == ["a.mp4", "c.ts"]


def test_what_cannot_be_played_is_passed_over(folder: Path) -> None:
    (folder / "b.mkv").write_bytes(b"no film")
    units, shapes = played(FileLive(str(folder)), 3 * PICTURES)
    assert shapes == ["h264 160"] * PICTURES + ["h264 320"] * PICTURES + ["h264 160"] * PICTURES
    assert len(units) == 3 * PICTURES


def test_a_film_without_one_picture_that_can_be_decoded_is_passed_over(folder: Path) -> None:
    """It opens, and has packets: that nothing comes of them is seen at its end."""
    (folder / "b.mkv").unlink()
    damaged = write_clip(folder / "b.mp4", pictures=PICTURES)
    head, samples, tail = re.split(b"(mdat.*)(?=....moov)", damaged.read_bytes(), flags=re.DOTALL)
    damaged.write_bytes(head + b"mdat" + bytes(len(samples) - 4) + tail)
    with closing(open_file_pictures(FileLive(str(folder)), Lineup(), 160, 96, START_NS)) as source:
        seen = [source.picture(n, START_NS + n * FRAME_NS) for n in range(5 * PICTURES)]
        assert all(seen)
    for whole in (folder / "a.mp4", folder / "c.ts"):
        whole.unlink()
    with pytest.raises(SourceError, match=r"b\.mp4: no picture could be decoded"):
        open_file_pictures(FileLive(str(folder)), Lineup(), 160, 96, START_NS)


def test_a_folder_that_cannot_be_read_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    locked, listed = folder.parent / "locked", Path.iterdir
    locked.mkdir()

    def iterdir(path: Path) -> Iterator[Path]:
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert len(next(rounds(FileLive(paths=(str(locked), str(folder)))))) == 3
    playlist = PlayList(FileLive(paths=(str(locked),)))
    for _ in range(2):  # each stream that asks is told
        with pytest.raises(SourceError, match="locked cannot be read: Permission denied"):
            playlist.next_part(str)
    assert list(map(len, islice(rounds(FileLive(paths=(str(locked), str(folder)))), 3))) == [3, 3, 3]
    assert [record.message for record in caplog.records].count("folder_passed_over") == 4


def test_of_many_files_that_cannot_be_played_only_some_are_logged(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(40):
        (folder / f"x{number}.mp4").write_bytes(b"no film")
    played(FileLive(str(folder)), 4 * PICTURES)
    assert [record.message for record in caplog.records].count("file_passed_over") == MAX_LOGGED


def test_when_nothing_can_be_played_the_first_says_why(folder: Path) -> None:
    for file in folder.iterdir():
        file.write_bytes(b"no film")
    with pytest.raises(SourceError, match=r"a\.mp4 cannot be read"):
        open_file_feed(FileLive(str(folder)), 0)
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(SourceError, match="has no MP4, MKV or TS file"):
        open_file_pictures(FileLive(str(folder)), Lineup(), 64, 64, 0)
    with pytest.raises(SourceError, match=r"gone\.mp4 cannot be opened"):
        open_file_feed(FileLive(paths=(str(folder / "gone.mp4"),)), 0)


@pytest.mark.parametrize(("offset_s", "first"), [(0.7, 20), (0.0, 0), (1.2, 35), (1.5 + 0.7, 20)])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_an_offset_begins_at_a_key_frame_near_it_in_the_first_round_only(
    name: str, offset_s: float, first: int, tmp_path: Path
) -> None:
    """45 pictures, a key frame every five, are a second and a half."""
    path = write_clip(tmp_path / name, pictures=45, gop=5)
    source = FileLive(str(path), start_offset_s=offset_s)
    units, _ = played(source, 45 - first + 45)
    numbers = [number_of(picture) for picture in decode([bytes(unit.data) for unit in units])]
    begins = numbers[0]
    rest = numbers[45 - begins :]
    assert begins % 5 == 0
    assert first - 5 <= begins <= first + 5 * (name == "clip.ts")  # which has no index
    assert rest == [n % 45 for n in range(len(rest))]


def test_one_file_from_its_beginning_is_no_list(folder: Path) -> None:
    assert not is_list(FileLive(str(folder / "a.mp4")))
    assert is_list(FileLive(str(folder)))
    feed = open_file_feed(FileLive(str(folder / "a.mp4")), 0)
    assert not isinstance(feed, ListPassThrough)
    feed.close()


# ------------------------------------------------------------ streams with the same file


def test_streams_with_the_same_file_decode_it_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    open_film = FileFilm.__init__

    def counted(self: FileFilm, path: str, *arguments: Any, **more: Any) -> None:
        opened.append(path)
        open_film(self, path, *arguments, **more)

    monkeypatch.setattr(FileFilm, "__init__", counted)
    source = FileLive(str(folder / "a.mp4"))
    main, sub = (open_file_pictures(source, Lineup(), *size, START_NS - 1) for size in ((160, 96), (320, 192)))
    for n in range(2 * PICTURES):
        for stream in (main, sub):
            picture = stream.picture(n, START_NS + n * 10**9 // 30)
            assert picture is not None
            assert number_of(picture) == n % PICTURES
    assert opened == [str(folder / "a.mp4")]
    main.close()
    assert sub.picture(0, START_NS + 60 * FRAME_NS) is not None
    sub.close()
    assert _films == {}


def test_no_stream_gets_a_frame_that_another_one_may_write_into(folder: Path) -> None:
    source = FileLive(str(folder / "a.mp4"))
    streams = [open_file_pictures(source, Lineup(), 160, 96, START_NS - 1) for _ in range(2)]
    first, second = (stream.picture(0, START_NS) for stream in streams)
    assert first is not None
    assert second is not None
    assert first.planes[0].buffer_ptr != second.planes[0].buffer_ptr
    for stream in streams:
        stream.close()


def fail(_film: FileFilm, _capture_ns: int) -> None:
    raise SourceError("damaged")


def test_after_a_failure_the_next_stream_opens_it_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FileLive(str(folder / "a.mp4"))
    first = open_file_pictures(source, Lineup(), 160, 96, START_NS)
    with monkeypatch.context() as damage:
        damage.setattr(FileFilm, "newest", fail)
        with pytest.raises(SourceError, match="damaged"):
            first.picture(0, START_NS)
    second = open_file_pictures(source, Lineup(), 160, 96, START_NS)
    assert second.picture(0, START_NS) is not None
    first.close()
    second.close()
    assert _films == {}
