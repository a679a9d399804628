"""When the slate is shown, in virtual time, and what it is."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from camfleet.core.wire import VideoSpec
from camfleet.workers import standby as module
from camfleet.workers.codecs import CODECS, Codec
from camfleet.workers.feed import StillFeed
from camfleet.workers.sources import Place, slate
from camfleet.workers.sources.still import StillPicture
from camfleet.workers.standby import NEVER_NS, SILENCE_NS, START_NS, Absence, Shape, Standby, open_slate

from tests.kit.clips import decode

NS_PER_S = 1_000_000_000
NOW_NS = 5_000 * NS_PER_S
PLACE = Place("ipc1-stream1", "Lobby", unix_offset_ns=0, wake=lambda: None)
ABSENCE = Absence("/clip.mp4 is empty", "the file is empty", NOW_NS)


def test_a_first_picture_is_expected_within_a_second_and_not_again_after_a_failure() -> None:
    standby = Standby("ipc1-stream1", enabled=True)
    assert standby.due_ns == NEVER_NS
    standby.expect(NOW_NS)
    assert standby.due_ns == NOW_NS + START_NS
    standby.miss("gone", "gone", NOW_NS + 1)
    assert standby.due_ns == NOW_NS + 1
    standby.expect(NOW_NS + 2)
    assert standby.due_ns == NOW_NS + 2
    standby.forget()
    standby.expect(NOW_NS + 3)
    assert standby.due_ns == NOW_NS + 3 + START_NS


@pytest.mark.parametrize(
    ("rhythm_ns", "ahead_ns", "patience_ns"),
    [
        (NS_PER_S // 30, NS_PER_S // 30, NS_PER_S // 30 + SILENCE_NS),
        (NS_PER_S // 30, NEVER_NS, SILENCE_NS),  # a camera on the network: who knows when it sends
        (NS_PER_S // 30, -NS_PER_S, SILENCE_NS),  # late
        (2 * NS_PER_S, NEVER_NS, 4 * NS_PER_S),  # one picture every two seconds
        (60 * NS_PER_S, NEVER_NS, SILENCE_NS),  # no rhythm, but the end of a failure
        (NS_PER_S // 30, 5 * NS_PER_S, 5 * NS_PER_S + SILENCE_NS),  # a film of slides
    ],
)
def test_silence_is_judged_by_what_the_source_does_and_plans(rhythm_ns: int, ahead_ns: int, patience_ns: int) -> None:
    standby = Standby("ipc1-stream1", enabled=True)
    standby.arrived(NOW_NS, NOW_NS, visible=True)
    now_ns = NOW_NS + rhythm_ns
    standby.arrived(now_ns, now_ns + ahead_ns, visible=True)
    assert standby.due_ns == now_ns + patience_ns


def test_a_source_that_has_repeated_itself_in_vain_is_not_waited_for_again() -> None:
    standby = Standby("ipc1-stream1", enabled=True)
    standby.arrived(NOW_NS, NOW_NS + NS_PER_S // 30, visible=True)
    standby.exhausted(NOW_NS + 1)
    assert standby.due_ns == NOW_NS + 1
    standby.arrived(NOW_NS + 2, NEVER_NS, visible=True)
    assert standby.due_ns == NOW_NS + 2 + SILENCE_NS


def test_what_nobody_can_decode_is_no_picture() -> None:
    standby = Standby("ipc1-stream1", enabled=True)
    standby.expect(NOW_NS)
    standby.arrived(NOW_NS + 1, NEVER_NS, visible=False)
    assert standby.due_ns == NOW_NS + START_NS


def test_it_is_missing_since_the_last_picture_until_the_next() -> None:
    standby = Standby("ipc1-stream1", enabled=True)
    standby.arrived(NOW_NS, NOW_NS, visible=True)
    assert standby.miss("gone", "gone", NOW_NS + 7).since_ns == NOW_NS
    assert standby.miss("refused", "refused", NOW_NS + 9).since_ns == NOW_NS
    standby.back(NOW_NS + 10)
    assert standby.absence is None
    standby.forget()
    assert standby.miss("gone", "gone", NOW_NS + 11).since_ns == NOW_NS + 11


def test_a_stream_without_it_shows_nothing() -> None:
    standby = Standby("ipc1-stream1", enabled=False)
    standby.expect(NOW_NS)
    standby.arrived(NOW_NS, NOW_NS, visible=True)
    standby.exhausted(NOW_NS)
    standby.miss("gone", "gone", NOW_NS)
    assert standby.due_ns == NEVER_NS


def test_another_slate_is_made_only_when_it_says_something_else() -> None:
    standby = Standby("ipc1-stream1", enabled=True)
    shape = Shape(width=160, height=90)
    first = standby.make(PLACE, ABSENCE, shape, NOW_NS)
    assert first
    assert standby.is_shown
    assert standby.make(PLACE, ABSENCE, shape, NOW_NS) is None
    assert standby.make(PLACE, ABSENCE._replace(shown="the file is missing"), shape, NOW_NS)
    assert standby.make(PLACE, ABSENCE, Shape(width=320, height=180), NOW_NS)
    assert standby.make(replace(PLACE, camera_name="Hall"), ABSENCE, Shape(width=320, height=180), NOW_NS)
    standby.expect(NOW_NS)
    standby.close()
    assert not standby.is_shown
    assert standby.due_ns == NEVER_NS


def test_its_pictures_come_when_they_are_due_and_end_with_the_stream_s_own() -> None:
    standby = Standby("ipc1-stream1", enabled=True)
    absence = standby.miss("gone", "gone", NOW_NS)
    assert standby.make(PLACE, absence, Shape(width=160, height=90), NOW_NS)
    assert [len(standby.read(NOW_NS + late_ns, False)) for late_ns in (-1, 0, 1)] == [0, 1, 0]
    standby.back(NOW_NS + 2)
    assert not standby.is_shown
    assert standby.due_ns == NEVER_NS
    assert standby.read(NOW_NS + NS_PER_S, False) == ()


def test_it_tells_everybody_since_when_and_nobody_where(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = list[str]()

    def tapped(width: int, height: int, told: Sequence[tuple[str, float]]) -> StillPicture:
        lines.extend(text for text, _ in told)
        return slate(width, height, told)

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(module, "slate", tapped)
    place = replace(PLACE, unix_offset_ns=1_780_056_000 * NS_PER_S - NOW_NS)
    open_slate(place, ABSENCE, Shape(width=160, height=90), NOW_NS)
    assert lines == ["Lobby", "NO SIGNAL", "since 2026-05-29 12:00:00", "the file is empty"]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (Shape(), (1280, 720)),
        (Shape(width=1920, height=1080), (1920, 1080)),
        (Shape(width=853, height=481), (852, 480)),
        (Shape(width=32, height=24), (64, 64)),
        (Shape(width=16384, height=8192), (1280, 720)),
        (Shape("h265", width=640, height=360), (640, 360)),
    ],
)
def test_the_slate_has_the_size_of_the_stream_if_it_can_be_had(shape: Shape, size: tuple[int, int]) -> None:
    feed = open_slate(PLACE, ABSENCE, shape, NOW_NS)
    assert (feed.description.width, feed.description.height) == size
    assert feed.description.codec == shape.codec
    (first,) = feed.read(NOW_NS, False)
    assert CODECS[shape.codec].leading_types(bytes(first.data)).issuperset(CODECS[shape.codec].parameter_types)
    (picture,) = decode([bytes(first.data)], codec=shape.codec)
    assert (picture.width, picture.height) == size
    assert picture.to_ndarray()[: size[1]].std() > 5  # there is something on it


@pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.name)
def test_it_keeps_its_time_in_key_frames(codec: Codec) -> None:
    feed = open_slate(PLACE, ABSENCE, Shape(codec.name, width=320, height=180), NOW_NS)
    units = [unit for number in range(27) for unit in feed.read(feed.due_ns, number in (12, 13))]
    assert [unit.capture_ns for unit in units] == [NOW_NS + number * NS_PER_S // 5 for number in range(27)]
    assert all(unit.key_frame and codec.leading_types(bytes(unit.data)) & codec.key_frames for unit in units)
    pictures = decode([bytes(unit.data) for unit in units], codec=codec.name)
    assert len(pictures) == 27
    first = pictures[0].to_ndarray().astype(int)
    assert all(abs(picture.to_ndarray().astype(int) - first).mean() < 1 for picture in pictures)


def test_it_costs_a_fraction_of_the_pictures_of_two_seconds() -> None:
    """Readers wait for it, in 4K and H.265 for as long as they may."""

    def cpu_s(make: Callable[[], object]) -> float:
        start = time.process_time()
        make()
        return time.process_time() - start

    picture = slate(1920, 1080, [("NO SIGNAL", 1 / 6)])
    video = VideoSpec(codec="h265", width=1920, height=1080, fps=5, gop=10, bitrate_bps=1_000_000, encoder="x265")
    two_seconds = cpu_s(lambda: StillFeed(picture, video, NOW_NS))
    assert cpu_s(lambda: open_slate(PLACE, ABSENCE, Shape("h265", 1920, 1080), NOW_NS)) < 0.6 * two_seconds
