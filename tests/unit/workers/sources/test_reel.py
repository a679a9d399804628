"""Streams of a camera that show one film, driven by hand: it is read once, and they show the same moment of it."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from camfleet.core.wire import FileLive, StreamSpec, VideoSpec
from camfleet.workers.codecs import BLA_W_LP, H265, AccessUnit, nal_starts
from camfleet.workers.sources import SourceError, arrivals
from camfleet.workers.sources.arrivals import Arrivals
from camfleet.workers.sources.decoded import UnitDecoder
from camfleet.workers.sources.filelive import FilePassThrough
from camfleet.workers.sources.filepictures import FilePictures, _films
from camfleet.workers.sources.lineup import Lineup
from camfleet.workers.sources.mediafile import MediaFile
from camfleet.workers.sources.playlist import open_file_pass_through, open_file_pictures
from camfleet.workers.sources.reel import MAX_AT_ONCE, PAUSE_NS, ReelPassThrough, _reels

from tests.kit.clips import decode, number_of, write_clip
from tests.kit.descriptors import times_open

START_NS = 7_000_000_000
MS, S = 10**6, 10**9
GROUP_S = 10
Unit = tuple[int, bytes]


class Camera:
    """Some streams with the same source, and the time."""

    def __init__(self, source: FileLive, *videos: VideoSpec | None) -> None:
        self.now_ns = START_NS
        self.source = source
        self.lineup = Lineup()
        self.lineup.streams = tuple(
            StreamSpec(id=f"stream{n}", source=source, video=video) for n, video in enumerate(videos)
        )
        self._open: dict[ReelPassThrough, list[AccessUnit]] = {}
        self._pictures: list[FilePictures] = []

    def pass_through(self, start_ns: int = 0) -> ReelPassThrough:
        feed = open_file_pass_through(self.source, self.lineup, start_ns or self.now_ns)
        self._open[feed] = []
        return feed

    def pictures(self, width: int = 160, height: int = 96) -> FilePictures:
        self._pictures.append(open_file_pictures(self.source, self.lineup, width, height, self.now_ns))
        return self._pictures[-1]

    def run(self, seconds: float, *, without: ReelPassThrough | None = None, step_ns: int = 10 * MS) -> None:
        """Each feed is read when it is due."""
        end_ns = self.now_ns + round(seconds * S)
        while self.now_ns < end_ns:
            self.now_ns += step_ns
            for feed, units in self._open.items():
                while feed is not without and feed.due_ns <= self.now_ns:
                    units += feed.read(self.now_ns, False)

    def units(self, feed: ReelPassThrough) -> list[AccessUnit]:
        return self._open[feed]

    def shown(self, feed: ReelPassThrough, codec: str = "h264") -> dict[int, int]:
        """What number a player shows from which time on; damage raises."""
        units = self._open[feed]
        assert units[0].key_frame
        pictures = decode([bytes(unit.data) for unit in units], [unit.capture_ns for unit in units], codec=codec)
        return {picture.pts or 0: number_of(picture) for picture in pictures}

    def leave(self, feed: ReelPassThrough) -> None:
        del self._open[feed]
        feed.close()

    def close(self) -> None:
        for feed in self._open:
            feed.close()
        for pictures in self._pictures:
            pictures.close()
        self._open, self._pictures = {}, []


@pytest.fixture
def camera() -> Iterator[Callable[..., Camera]]:
    cameras: list[Camera] = []

    def make(source: FileLive | Path, *videos: VideoSpec | None) -> Camera:
        cameras.append(Camera(source if isinstance(source, FileLive) else FileLive(str(source)), *videos))
        return cameras[-1]

    yield make
    for each in cameras:
        each.close()
    assert _reels == {}
    assert _films == {}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files, as often as they are opened."""
    names: list[str] = []
    open_file = MediaFile.__init__

    def counted(self: MediaFile, path: str) -> None:
        names.append(Path(path).name)
        open_file(self, path)

    monkeypatch.setattr(MediaFile, "__init__", counted)
    return names


CLIPS: dict[str, dict[str, Any]] = {
    "film.mp4": {},
    "film.mkv": {"b_frames": 3},
    "film.ts": {"codec": "libx265", "b_frames": 2},
}


@pytest.fixture(params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_clip(tmp_path / request.param, **CLIPS[request.param])


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "long.mp4", pictures=30 * GROUP_S, gop=30 * GROUP_S, b_frames=2)


def number_at(shown: dict[int, int], capture_ns: int) -> int:
    return shown[max(time_ns for time_ns in shown if time_ns <= capture_ns)]


def pairs(units: list[AccessUnit]) -> list[tuple[bytes, int, int, bool]]:
    return [(bytes(unit.data), unit.capture_ns, unit.due_ns, unit.key_frame) for unit in units]


# ---------------------------------------------------------------- in step


def test_a_film_is_read_once_and_all_streams_show_the_same_moment(
    clip: Path, camera: Callable[..., Camera], opened: list[str]
) -> None:
    live = camera(clip, None, None, VideoSpec())
    main, sub, encoded = live.pass_through(), live.pass_through(), live.pictures()
    seen: dict[int, int] = {}
    while live.now_ns < START_NS + 4 * S:  # nearly three passes
        live.run(0.05)
        picture = encoded.picture(0, live.now_ns)
        assert picture is not None
        seen[live.now_ns] = number_of(picture)
    assert pairs(live.units(main)) == pairs(live.units(sub))
    shown = live.shown(main, main.description.codec)
    assert {time_ns: number for time_ns, number in seen.items() if time_ns > START_NS + 200 * MS} == {
        time_ns: number_at(shown, time_ns) for time_ns in seen if time_ns > START_NS + 200 * MS
    }
    assert opened == [clip.name]


def test_whoever_asks_reads_for_all(clip: Path, camera: Callable[..., Camera]) -> None:
    """Each of the two gives up in the middle of what there is to read, and the other goes on from there."""
    live = camera(clip, None, None)
    first, second = live.pass_through(), live.pass_through()
    got: dict[ReelPassThrough, list[AccessUnit]] = {first: [], second: []}
    for turn in range(60):
        for feed in (first, second):
            units = feed.read(START_NS + turn * S // 20, False)
            got[feed] += [unit for unit, _ in zip(units, range(1 + turn % 3), strict=False)]
    assert pairs(got[first])[:50] == pairs(got[second])[:50]
    assert len(got[first]) > 50


def test_two_that_come_before_the_first_unit_share_it_in_any_case(clip: Path, camera: Callable[..., Camera]) -> None:
    """The lineup may have changed since they were told to open it."""
    live = camera(clip, None)
    first, second = live.pass_through(), live.pass_through()
    live.run(1)
    assert pairs(live.units(first)) == pairs(live.units(second))
    assert len(live.units(first)) > 30


def test_a_shuffled_list_is_the_same_for_all(tmp_path: Path, camera: Callable[..., Camera], opened: list[str]) -> None:
    for n in range(5):
        write_clip(tmp_path / f"{n}.mp4", pictures=9, gop=3, size=(160 + 32 * n, 96))
    live = camera(FileLive(str(tmp_path), shuffle=True), None, None, VideoSpec())
    main, sub, encoded = live.pass_through(), live.pass_through(), live.pictures()
    widths: list[tuple[int, int]] = []
    for _ in range(300):
        live.run(0.01)
        widths.append((main.description.width, sub.description.width))
        picture = encoded.picture(0, live.now_ns)
        assert picture is not None
    assert all(main_width == sub_width for main_width, sub_width in widths)
    assert len(set(widths)) == 5
    assert pairs(live.units(main)) == pairs(live.units(sub))
    assert len(opened) <= 3.5 * 30 / 9 + 1
    numbers = [number_of(picture) for picture in decode([bytes(unit.data) for unit in live.units(sub)])]
    assert numbers == [n % 9 for n in range(len(numbers))]


def test_units_of_two_files_are_not_given_at_once(tmp_path: Path, camera: Callable[..., Camera]) -> None:
    """What a stream is, is known before its units are: readers of another codec are told first."""
    first = write_clip(tmp_path / "a.mp4", pictures=9, gop=3)
    second = write_clip(tmp_path / "b.mp4", codec="libx265", pictures=9, gop=3)
    live = camera(FileLive(paths=(str(first), str(second))), None, None)
    quick, slow = live.pass_through(), live.pass_through()
    live.run(3, without=slow)
    codecs = []
    while slow.due_ns <= live.now_ns:
        units = slow.read(live.now_ns, False)
        codecs += [(slow.description.codec, len(list(units)))]
    assert codecs[:4] == [("h264", 9), ("h265", 9), ("h264", 9), ("h265", 9)]
    assert quick.description is slow.description


# ---------------------------------------------------------------- who comes later


def test_a_second_stream_has_its_picture_at_once_and_is_in_step_soon(
    long_clip: Path, camera: Callable[..., Camera], opened: list[str]
) -> None:
    live = camera(long_clip, None, None)
    main = live.pass_through()
    live.run(7)
    began_ns = live.now_ns
    sub = live.pass_through()
    assert sub.due_ns <= began_ns
    first = next(iter(sub.read(began_ns, False)))
    assert first.key_frame
    assert began_ns <= first.capture_ns <= began_ns + 10 * MS
    assert first.due_ns <= began_ns
    live.leave(sub)

    sub = live.pass_through()
    live.run(5)
    units = live.units(sub)
    assert [unit.due_ns for unit in units] == sorted(unit.due_ns for unit in units)
    shown, life = live.shown(sub), live.shown(main)
    assert list(shown.values())[:200] == [n % 50 for n in range(200)]  # nothing is left out
    assert min(shown) >= began_ns
    assert len(shown) == len({time_ns * 90 // MS for time_ns in shown})  # RTP's ticks
    in_step_ns = began_ns + 250 * MS
    assert [each for each in shown.items() if each[0] > in_step_ns] == [
        each for each in life.items() if each[0] > in_step_ns
    ]
    assert opened == ["long.mp4"]


def test_what_has_been_kept_comes_a_few_at_a_time(long_clip: Path, camera: Callable[..., Camera]) -> None:
    """The readers' thread is handed so much, and no more, before it has woken up. The other one may leave meanwhile."""
    live = camera(long_clip, None, None)
    main = live.pass_through()
    live.run(9)
    sub = live.pass_through()
    units = live.units(sub)
    units += sub.read(live.now_ns, False)
    assert len(units) == MAX_AT_ONCE
    assert sub.due_ns == live.now_ns + PAUSE_NS
    live.leave(main)
    live.run(5)
    assert list(live.shown(sub).values())[:400] == [n % 50 for n in range(300)] + [n % 50 for n in range(100)]


def test_pictures_of_a_film_that_is_passed_through_are_there_at_once_and_in_step_soon(
    long_clip: Path, camera: Callable[..., Camera], opened: list[str]
) -> None:
    live = camera(long_clip, None, VideoSpec())
    main = live.pass_through()
    live.run(7.3)
    encoded = live.pictures()
    seen: dict[int, int] = {}
    for _ in range(20):
        picture = encoded.picture(0, live.now_ns)
        assert picture is not None
        seen[live.now_ns] = number_of(picture)
        live.run(0.04)
    life = live.shown(main)
    assert [number == number_at(life, time_ns) for time_ns, number in seen.items()] == 3 * [False] + 17 * [True]
    assert opened == ["long.mp4"]


def test_a_second_stream_of_open_groups_begins_with_a_cut(tmp_path: Path, camera: Callable[..., Camera]) -> None:
    clip = write_clip(tmp_path / "film.mp4", codec="libx265", pictures=45, gop=15, b_frames=3)
    live = camera(clip, None, None)
    main = live.pass_through()
    live.run(0.8)
    sub = live.pass_through()
    live.run(2)
    first = bytes(live.units(sub)[0].data)
    assert BLA_W_LP in {H265.kind(first[start]) for start in nal_starts(first)}
    same = next(unit for unit in live.units(main) if unit.due_ns == live.units(sub)[0].due_ns)
    assert bytes(same.data) != first  # it stays whole for the other
    assert live.shown(sub, "h265")


def test_a_stream_alone_keeps_nothing(
    long_clip: Path, camera: Callable[..., Camera], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = camera(long_clip, None)
    main = live.pass_through()
    with monkeypatch.context() as refused:
        refused.setattr(Arrivals, "put", None)
        live.run(1)
    assert len(live.units(main)) > 30
    reel = _reels[live.source]
    assert not reel._newest
    assert not any(user.arrivals for user in reel._users)

    # Another one cannot begin in the middle: it reads for itself, and is who others come to.
    live.lineup.streams *= 2
    second = live.pass_through()
    live.run(1)
    assert live.units(second)[0].key_frame
    third = live.pass_through()
    live.run(1)
    assert live.shown(third)
    assert opened == 2 * ["long.mp4"]
    live.lineup.streams = live.lineup.streams[:1]
    live.run(1)
    assert not _reels[live.source]._newest
    numbers = list(live.shown(main).values())
    assert numbers == [n % 50 for n in range(len(numbers))]  # nothing of all this was seen


def test_what_is_kept_begins_with_the_newest_key_frame_that_is_due(
    tmp_path: Path, camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = camera(write_clip(tmp_path / "film.mp4", gop=9), None, None)
    live.pass_through()
    for _ in range(50):
        live.run(0.1)
        sub = live.pass_through()
        (first, *others) = list(sub.read(live.now_ns, False))
        assert live.now_ns - 800 * MS < first.due_ns <= live.now_ns  # a group, and what has been read ahead
        assert len([unit for unit in others if unit.key_frame]) <= 2
        live.leave(sub)
    monkeypatch.setattr("camfleet.workers.sources.reel.MAX_WAITING_SIZE", 200)
    live.run(1)
    assert not _reels[live.source]._newest  # too large to be kept


def test_one_that_comes_between_two_files_is_told_of_the_first(tmp_path: Path, camera: Callable[..., Camera]) -> None:
    for n in range(2):
        write_clip(tmp_path / f"{n}.mp4", pictures=30, gop=30, size=(160 + 32 * n, 96))
    live = camera(FileLive(str(tmp_path)), None, None)
    main = live.pass_through()
    live.run(0.98)
    assert main.description.width == 192  # has been read ahead
    sub = live.pass_through()
    assert sub.description.width == 160
    assert len(list(sub.read(live.now_ns, False))) == 30


# ---------------------------------------------------------------- slow, gone, damaged


def test_a_slow_stream_is_bounded_and_goes_on_with_a_key_frame(
    clip: Path, camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "MAX_WAITING_SIZE", 20_000)
    live = camera(clip, None, None)
    quick, slow = live.pass_through(), live.pass_through()
    live.run(1)
    before = len(live.units(slow))
    live.run(60, without=slow)
    (waiting,) = [user.arrivals for user in _reels[live.source]._users if user is slow._cursor]
    assert sum(arrival.size for arrival in waiting._waiting) <= 20_000
    assert slow.skipped > 0
    live.run(5)
    codec = slow.description.codec
    late = live.units(slow)[before:]
    assert late[0].key_frame
    assert decode([bytes(unit.data) for unit in late], codec=codec)
    assert pairs(late)[-10:] == pairs(live.units(quick))[-10:]
    assert quick.skipped == 0


def test_pictures_that_are_asked_for_too_late_go_on_with_the_newest_key_frame(
    tmp_path: Path, camera: Callable[..., Camera]
) -> None:
    live = camera(write_clip(tmp_path / "film.mp4", pictures=50, gop=10), None, VideoSpec())
    main, encoded = live.pass_through(), live.pictures()
    live.run(0.5)
    assert encoded.picture(0, live.now_ns)
    live.run(30)
    picture = encoded.picture(0, live.now_ns)
    assert picture is not None
    assert number_of(picture) == number_at(live.shown(main), live.now_ns)
    assert encoded.skipped > 800


def test_one_that_leaves_leaves_the_others(clip: Path, camera: Callable[..., Camera]) -> None:
    live = camera(clip, None, None, VideoSpec())
    first, second, encoded = live.pass_through(), live.pass_through(), live.pictures()
    live.run(1)
    next(iter(first.read(first.due_ns, False)))  # in the middle of what there is to read
    live.leave(first)
    live.run(2)
    assert live.shown(second, second.description.codec)
    live.leave(second)
    shown = set()
    for _ in range(30):
        live.run(0.05)
        picture = encoded.picture(0, live.now_ns)
        assert picture is not None
        shown.add(number_of(picture))
    assert len(shown) > 25
    assert times_open(clip) == 1
    live.close()
    assert times_open(clip) == 0


@pytest.mark.parametrize("seconds", [0.01, 0.25, 0.5, 0.75])
def test_who_remains_alone_misses_nothing(tmp_path: Path, camera: Callable[..., Camera], seconds: float) -> None:
    """Neither what waits for it, nor what the other was about to read, nor the beginning of the next file."""
    for n in range(2):
        write_clip(tmp_path / f"{n}.mp4", pictures=9, gop=3, size=(160 + 32 * n, 96))
    live = camera(FileLive(str(tmp_path)), None, None)
    first, second = live.pass_through(), live.pass_through()
    live.run(0.5)
    live.run(0.5, without=second)
    live.units(second).extend(second.read(live.now_ns, False))
    live.lineup.streams = live.lineup.streams[:1]
    live.run(seconds)
    live.units(second).extend(second.read(live.now_ns, False))
    live.run(0.5, without=second)
    for _ in zip(first.read(first.due_ns, False), range(2), strict=False):
        pass
    live.leave(first)
    live.run(2)
    numbers = [number_of(picture) for picture in decode([bytes(unit.data) for unit in live.units(second)])]
    assert numbers == [n % 9 for n in range(len(numbers))]
    assert len(numbers) > 90


def test_one_that_has_shown_later_pictures_waits_in_a_hurry(long_clip: Path, camera: Callable[..., Camera]) -> None:
    """As after a succession: what the worker before it had read ahead."""
    live = camera(long_clip, None, None)
    first = live.pass_through()
    live.run(3)
    start_ns = live.now_ns + S
    second = live.pass_through(start_ns)
    list(second.read(live.now_ns, False))
    live.lineup.streams = live.lineup.streams[:1]
    live.leave(first)
    live.run(3)
    shown = sorted(unit.capture_ns for unit in live.units(second))
    assert shown[0] >= start_ns
    assert len(shown) == len(set(shown)) > 60
    assert live.units(second)[-1].capture_ns < live.now_ns + S


@pytest.mark.parametrize("error", [SourceError("damaged", shown="a film"), ZeroDivisionError()])
def test_a_failure_reaches_all_and_who_comes_next_opens_it_anew(
    clip: Path, camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_feed: FilePassThrough, _now_ns: int, _force_key: bool) -> None:
        raise error

    live = camera(clip, None, None, VideoSpec())
    first, second, encoded = live.pass_through(), live.pass_through(), live.pictures()
    live.run(1)
    assert encoded.picture(0, live.now_ns)
    late_ns = live.now_ns + S // 2
    with monkeypatch.context() as damage:
        damage.setattr(FilePassThrough, "read", fail)
        with pytest.raises(type(error)):
            list(first.read(late_ns, False))
    assert second.due_ns <= late_ns
    told = "damaged" if isinstance(error, SourceError) else "internal error"
    with pytest.raises(SourceError, match=told) as heard:
        list(second.read(late_ns, False))
    assert heard.value.shown == ("a film" if isinstance(error, SourceError) else "internal error")
    encoded.picture(0, late_ns)  # what has been read
    with pytest.raises(SourceError, match=told):
        encoded.picture(0, late_ns + S)
    third = live.pass_through()
    live.leave(first)
    live.leave(second)
    live.run(1)
    assert live.shown(third, third.description.codec)


def test_who_comes_after_the_failure_of_one_alone_opens_it_anew(
    clip: Path, camera: Callable[..., Camera], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_feed: FilePassThrough, _now_ns: int, _force_key: bool) -> None:
        raise SourceError("damaged")

    live = camera(clip, None)
    first = live.pass_through()
    with monkeypatch.context() as damage:
        damage.setattr(FilePassThrough, "read", fail)
        with pytest.raises(SourceError, match="damaged"):
            first.read(live.now_ns, False)
    second = live.pass_through()
    live.leave(first)
    live.run(1)
    assert live.shown(second, second.description.codec)
    assert opened == 2 * [clip.name]


# ---------------------------------------------------------------- what cannot be passed through


def test_pictures_of_a_file_that_cannot_be_passed_through_are_as_ever(
    tmp_path: Path, camera: Callable[..., Camera]
) -> None:
    live = camera(write_clip(tmp_path / "film.mp4", codec="mpeg4"), None, VideoSpec())
    with pytest.raises(SourceError, match=r"not H\.264 or H\.265"):
        live.pass_through()
    encoded = live.pictures()
    live.run(1)
    assert encoded.picture(0, live.now_ns) is not None


def test_in_a_list_it_is_passed_over_for_all(tmp_path: Path, camera: Callable[..., Camera]) -> None:
    good = write_clip(tmp_path / "a.mp4", pictures=9, gop=9, b_frames=3)
    bad = write_clip(tmp_path / "b.mp4", codec="mpeg4", pictures=9, size=(320, 96))
    live = camera(FileLive(paths=(str(bad), str(good))), None, VideoSpec())
    main, encoded = live.pass_through(), live.pictures()
    for _ in range(50):
        live.run(0.05)
        picture = encoded.picture(0, live.now_ns)
        assert picture is not None
        if live.now_ns > START_NS + 200 * MS:
            assert number_of(picture) == number_at(live.shown(main), live.now_ns)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_pictures_have_the_shape_that_the_container_says(
    name: str, tmp_path: Path, camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as wide as they are coded: nothing is black in a picture of that shape."""
    monkeypatch.setattr(UnitDecoder, "pixel_aspect", Fraction(1))  # it says nothing
    live = camera(write_clip(tmp_path / name, pixel_aspect=2), None, VideoSpec())
    encoded = live.pictures(320, 96)
    live.run(0.2)
    picture = encoded.picture(0, live.now_ns)
    assert picture is not None
    assert picture.to_ndarray()[:96].min() >= 20 - 2
