"""What readers get while the source has no picture, and when it has one again. Thread and slate are real."""

import time
from collections.abc import Iterator

import pytest
from camfleet.core.wire import FileLive, StreamSpec, TestLive, VideoSpec
from camfleet.workers import pipeline as module
from camfleet.workers import standby
from camfleet.workers.codecs import H264, AccessUnit
from camfleet.workers.feed import StillFeed
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.sources import Place, SourceError

from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.clips import decode
from tests.kit.played_feed import DESCRIPTION, NEVER_NS, Stage
from tests.kit.wait import wait_for

TIMEOUT_S = 5.0
KEY = {7, 8, 5}
EMPTY = SourceError("/clip.mp4 is empty", shown="the file is empty")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(monkeypatch)
    yield stage
    for pipeline in stage.pipelines:
        pipeline.stop()
        assert pipeline.join(TIMEOUT_S)


def running(stage: Stage) -> StreamPipeline:
    """A pass-through with its picture."""
    stage.first_units = [AccessUnit(key_access_unit(0), time.monotonic_ns(), True)]
    stage.once = True
    pipeline = stage.pipeline(source=FileLive("/clip.mp4"), standby=True)
    pipeline.want()
    wait_for(lambda: pipeline.state == "running")
    wait_for(lambda: stage.sink.pushed)
    stage.once = False
    return pipeline


def slate_units(stage: Stage, since: int, count: int) -> list[bytes]:
    """The next units after the first `since`, all of the slate: decodable from the first on."""
    wait_for(lambda: len(stage.sink.pushed) >= since + count)
    units = [unit for unit, _, _ in stage.sink.pushed[since : since + count]]
    assert H264.leading_types(units[0]) >= KEY
    assert len(decode(units)) == count
    return units


def times_grow(stage: Stage) -> bool:
    times = [capture_ns for _, capture_ns, _ in stage.sink.pushed]
    return times == sorted(set(times))


def test_a_source_that_has_never_been_seen_is_stood_in_for_at_once(stage: Stage) -> None:
    stage.refusals = [EMPTY] * 100
    pipeline = stage.pipeline(source=FileLive("/clip.mp4"), standby=True)
    began = time.monotonic()
    pipeline.want()
    slate_units(stage, 0, 3)
    assert time.monotonic() - began < 2
    assert pipeline.state == "standby: /clip.mp4 is empty"
    description = pipeline.description
    assert description
    assert (description.codec, description.width, description.height) == ("h264", 1280, 720)
    assert [unit[0] & 0x1F for unit in description.parameter_sets] == [7, 8]


def test_who_comes_after_a_failure_is_not_told_of_it(stage: Stage) -> None:
    """The news of it may come late, and a PLAY that waits would be refused."""
    stage.refusals = [EMPTY] * 100
    pipeline = stage.pipeline(source=FileLive("/clip.mp4"), standby=True, linger_s=5.0)
    pipeline.want()
    pipeline.unwant()
    wait_for(lambda: pipeline.state == "failed: /clip.mp4 is empty")
    with pipeline._condition:  # the thread cannot begin yet
        pipeline.want()
        assert pipeline.state == "starting"
    wait_for(lambda: pipeline.state == "standby: /clip.mp4 is empty")


def test_an_encoded_stream_has_a_slate_of_its_own_size(stage: Stage) -> None:
    stage.refusals = [EMPTY] * 100
    pipeline = stage.pipeline(standby=True)
    pipeline.reconfigure(StreamSpec(id="stream1", source=TestLive(), video=VideoSpec(width=320, height=180)), "Lobby")
    pipeline.want()
    wait_for(lambda: pipeline.description)
    assert pipeline.description
    assert (pipeline.description.width, pipeline.description.height) == (320, 180)


def test_readers_see_source_slate_source_in_one_stream(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 400_000_000)
    pipeline = running(stage)
    stage.first_units = [AccessUnit(access_unit(7), time.monotonic_ns(), False)]
    live = len(stage.sink.pushed)
    stage.feeds[0].broken = EMPTY
    wait_for(lambda: stage.feeds[0].closed.is_set())
    died_ns, live = time.monotonic_ns(), len(stage.sink.pushed)
    slate_units(stage, live, 3)
    assert stage.sink.pushed[live][2] - died_ns < 2 * 10**9
    assert pipeline.state == "standby: /clip.mp4 is empty"
    assert pipeline.description
    assert (pipeline.description.width, pipeline.description.height) == (DESCRIPTION.width, DESCRIPTION.height)

    wait_for(lambda: len(stage.feeds) == 2 and len(stage.feeds[1].forced) > 10)
    assert all(stage.feeds[1].forced)  # an encoder of ours would have begun with a key frame at once
    assert pipeline.state == "standby: /clip.mp4 is empty"  # there are pictures, but no reader can decode them
    back_ns = stage.sink.pushed[-1][1]
    stage.feeds[1].once, stage.feeds[1].units = True, [AccessUnit(key_access_unit(8), back_ns - 3_000_000, True)]
    wait_for(lambda: pipeline.state == "running")
    assert pipeline.description == DESCRIPTION
    assert access_unit(7) not in [unit for unit, _, _ in stage.sink.pushed]
    stage.feeds[1].units = [AccessUnit(access_unit(9), back_ns + 30_000_000, False)]
    wait_for(lambda: stage.sink.pushed[-1][0] == access_unit(9))
    assert [unit for unit, _, _ in stage.sink.pushed[-2:]] == [key_access_unit(8), access_unit(9)]
    assert stage.sink.pushed[-1][1] - stage.sink.pushed[-2][1] == 33_000_000
    assert times_grow(stage)
    states = [state for state, before in zip(stage.changes, ["", *stage.changes], strict=False) if state != before]
    assert states == ["starting", "running", "standby: /clip.mp4 is empty", "running"]


def test_a_silent_source_is_stood_in_for_until_its_next_key_frame(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "SILENCE_NS", 100_000_000)
    pipeline = running(stage)
    feed = stage.feeds[0]
    feed.silent = True
    wait_for(lambda: feed.due_ns == NEVER_NS)
    slate_units(stage, len(stage.sink.pushed), 2)
    assert pipeline.state == "standby: no picture from the source"
    feed.absence = "there is no window 0x42"
    wait_for(lambda: pipeline.state == "standby: there is no window 0x42")
    feed.absence = ""
    feed.units, feed.silent, feed.due_ns = [AccessUnit(access_unit(9), 0, False)], False, 0
    feed.wake()
    wait_for(lambda: any(feed.forced))
    assert pipeline.state.startswith("standby")
    feed.units = [AccessUnit(key_access_unit(9), 0, True)]
    wait_for(lambda: pipeline.state == "running")
    assert len(stage.feeds) == 1
    assert access_unit(9) not in [unit for unit, _, _ in stage.sink.pushed]


@pytest.mark.parametrize(("source", "waits"), [(TestLive(), False), (FileLive("/clip.mp4"), True)])
def test_what_is_encoded_is_not_waited_for_when_it_says_that_there_is_no_picture(
    source: TestLive | FileLive, waits: bool, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last one has been repeated until then; what is passed through may send the next at any time."""
    monkeypatch.setattr(standby, "SILENCE_NS", 1_500_000_000)
    pipeline = stage.pipeline(source=source, standby=True)
    pipeline.want()
    wait_for(lambda: pipeline.state == "running")
    stage.feeds[0].units, stage.feeds[0].absence = [], "it is minimised"
    assert (wait_for(lambda: pipeline.state == "standby: it is minimised") > 1.4) == waits


def test_a_source_that_does_not_start_is_stood_in_for_after_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "START_NS", 100_000_000)
    stage.first_units = [AccessUnit(access_unit(1), 0, False)]  # no reader can begin with that
    pipeline = stage.pipeline(standby=True)
    pipeline.want()
    wait_for(lambda: pipeline.state == "standby: no picture from the source")
    slate_units(stage, 0, 2)


def test_a_joiner_gets_a_key_frame_of_the_slate(stage: Stage) -> None:
    stage.refusals = [EMPTY] * 100
    stage.pipeline(standby=True).want()
    wait_for(lambda: len(stage.sink.pushed) == 2)
    stage.sink.key_frame_wanted = True
    wait_for(lambda: len(stage.sink.pushed) == 3)
    assert H264.leading_types(stage.sink.pushed[2][0]) >= KEY


def test_a_failed_stream_has_its_slate_at_once_when_it_is_wanted_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 3600 * 10**9)
    stage.refusals = [EMPTY]
    pipeline = stage.pipeline(standby=True)
    pipeline.want()
    wait_for(lambda: pipeline.state.startswith("standby"))
    pipeline.unwant()
    wait_for(lambda: pipeline.state == "failed: /clip.mp4 is empty")
    assert pipeline.description is None
    shown = len(stage.sink.pushed)
    pipeline.want()
    slate_units(stage, shown, 2)
    assert len(stage.tried) == 1


def test_it_is_logged_once_and_told_when_the_reason_is_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 10_000_000)
    monkeypatch.setattr(module, "LAST_RETRY_NS", 10_000_000)
    stage.refusals += [EMPTY] * 30 + [SourceError("/clip.mp4 is a folder")] * 1000
    pipeline = stage.pipeline(standby=True)
    pipeline.want()
    wait_for(lambda: pipeline.state == "standby: /clip.mp4 is a folder")
    reasons = [vars(record)["fields"]["reason"] for record in caplog.records]
    assert reasons == ["/clip.mp4 is empty", "/clip.mp4 is a folder"]
    assert len(stage.changes) == 2


def test_without_a_slate_readers_are_told_that_there_is_none(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(standby, "open_slate", fail)
    stage.refusals = [EMPTY]
    pipeline = stage.pipeline(standby=True)
    pipeline.want()
    wait_for(lambda: pipeline.state == "failed: /clip.mp4 is empty")
    wait_for(lambda: pipeline.state == "running")


def test_it_can_be_switched_off_and_on_while_it_is_shown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 10_000_000)
    stage.refusals = [EMPTY] * 10_000
    pipeline = stage.pipeline(standby=True)
    pipeline.want()
    wait_for(lambda: pipeline.state == "standby: /clip.mp4 is empty")
    pipeline.reconfigure(StreamSpec(id="stream1", source=TestLive(), standby=False), "Lobby")
    wait_for(lambda: pipeline.state == "failed: /clip.mp4 is empty")
    pipeline.reconfigure(StreamSpec(id="stream1", source=TestLive(), standby=True), "Lobby")
    wait_for(lambda: pipeline.state == "standby: /clip.mp4 is empty")


def test_better_settings_bring_the_picture_back_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 3600 * 10**9)
    stage.refusals = [EMPTY]
    pipeline = stage.pipeline(source=FileLive("/clip.mp4"), standby=True)
    pipeline.want()
    wait_for(lambda: len(stage.sink.pushed) > 1)
    pipeline.reconfigure(StreamSpec(id="stream1", source=FileLive("/other.mp4")), "Lobby")
    wait_for(lambda: pipeline.state == "running")
    assert stage.feeds[0].start_ns > stage.sink.pushed[1][1]


def test_the_slate_has_the_name_that_the_camera_has_now(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    make = standby.open_slate

    def open_slate(place: Place, absence: standby.Absence, shape: standby.Shape, start_ns: int) -> StillFeed:
        names.append(place.camera_name)
        return make(place, absence, shape, start_ns)

    monkeypatch.setattr(standby, "open_slate", open_slate)
    stage.refusals = [EMPTY] * 100
    pipeline = stage.pipeline(standby=True)
    pipeline.want()
    wait_for(lambda: names)
    pipeline.reconfigure(StreamSpec(id="stream1", source=TestLive()), "Foyer")
    wait_for(lambda: names == ["", "Foyer"])
