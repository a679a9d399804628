"""The thread is real, the feed is played. Streams with a standby picture: test_pipeline_standby.py."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from camfleet.core.ring.stream import MediaStream
from camfleet.core.wire import FileLive, StreamSpec, TestLive, VideoSpec
from camfleet.workers import pipeline as module
from camfleet.workers.codecs import AccessUnit, Description
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.sources import SourceError

from tests.kit.clips import decode
from tests.kit.played_feed import DESCRIPTION, NEVER_NS, Sink, Stage
from tests.kit.wait import wait_for as until

TIMEOUT_S = 5.0


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(monkeypatch)
    yield stage
    for pipeline in stage.pipelines:
        pipeline.stop()
        assert pipeline.join(TIMEOUT_S)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pipeline")]


def test_nothing_happens_before_it_is_wanted(stage: Stage) -> None:
    pipeline = stage.pipeline()
    assert (pipeline.state, pipeline.description, pipeline.encoder) == ("idle", None, "")
    assert not threads()
    assert not stage.feeds


def test_wanted_it_runs_and_unwanted_it_ends(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: stage.sink.pushed)
    assert (pipeline.state, pipeline.description, pipeline.encoder) == ("running", DESCRIPTION, "played")
    assert threads() == ["pipeline ipc1-stream1"]
    pipeline.unwant()
    until(lambda: not threads())
    assert pipeline.state == "idle"
    assert stage.feeds[0].closed.is_set()
    assert stage.changes == ["starting", "running", "idle"]


@pytest.mark.parametrize(("source", "known"), [(TestLive(), DESCRIPTION), (FileLive("/clip.mp4"), None)])
def test_what_our_encoder_told_stays_known_but_a_file_may_be_another_next_time(
    source: TestLive | FileLive, known: Description | None, stage: Stage
) -> None:
    pipeline = stage.pipeline(source=source)
    pipeline.want()
    until(lambda: pipeline.state == "running")
    assert pipeline.description == DESCRIPTION
    pipeline.unwant()
    until(lambda: pipeline.state == "idle")
    assert pipeline.description == known


def test_it_runs_for_as_long_as_one_wants_it(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    pipeline.want()
    until(lambda: stage.sink.pushed)
    pipeline.unwant()
    pushed = len(stage.sink.pushed)
    until(lambda: len(stage.sink.pushed) > pushed + 5)
    assert len(stage.feeds) == 1
    pipeline.unwant()
    until(lambda: pipeline.state == "idle")


def test_it_lingers_so_that_a_reconnect_finds_it_running(stage: Stage) -> None:
    pipeline = stage.pipeline(linger_s=0.15)
    pipeline.want()
    until(lambda: stage.sink.pushed)
    left_ns = time.monotonic_ns()
    pipeline.unwant()
    assert pipeline.state == "running"
    pipeline.want()
    pipeline.unwant()
    until(lambda: pipeline.state == "idle")
    assert time.monotonic_ns() - left_ns >= 150_000_000
    assert len(stage.feeds) == 1


def test_wanted_again_after_the_end_it_starts_again_and_times_only_grow(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: stage.feeds)
    ahead_ns = stage.feeds[0].start_ns + 100_000_000  # as B-frames are
    stage.feeds[0].units = [AccessUnit(b"x", ahead_ns, True)]
    until(lambda: stage.sink.pushed[-1:] and stage.sink.pushed[-1][1] == ahead_ns)
    pipeline.unwant()
    until(lambda: not threads())
    pipeline.want()
    until(lambda: len(stage.feeds) == 2)
    assert stage.feeds[1].start_ns > ahead_ns


def test_want_and_unwant_from_many_threads_leave_it_in_order(stage: Stage) -> None:
    pipeline = stage.pipeline()

    def visit() -> None:
        for _ in range(100):
            pipeline.want()
            assert len(threads()) <= 2  # one that has just let go, and its successor
            pipeline.unwant()

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(TIMEOUT_S)
    until(lambda: not threads())
    assert pipeline.state == "idle"
    pipeline.want()
    until(lambda: pipeline.state == "running")
    assert all(feed.closed.is_set() for feed in stage.feeds[:-1])


def test_a_key_frame_wish_reaches_the_feed_once(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: stage.feeds and len(stage.feeds[0].forced) > 3)
    stage.sink.key_frame_wanted = True
    until(lambda: any(stage.feeds[0].forced))
    read = len(stage.feeds[0].forced)
    until(lambda: len(stage.feeds[0].forced) > read + 3)
    assert sum(stage.feeds[0].forced) == 1


def test_a_source_that_knows_itself_later_wakes_the_thread_and_is_told(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    feed = stage.feeds[0]
    feed.description, feed.silent = None, True
    until(lambda: feed.due_ns == NEVER_NS)
    assert pipeline.description is None
    feed.description, feed.silent, feed.due_ns = dataclasses.replace(DESCRIPTION, codec="h265"), False, 0
    feed.wake()
    until(lambda: pipeline.description == feed.description)
    assert stage.sink.codec == "h265"  # who hears of the description finds the stream ready for it
    assert stage.changes == ["starting", "running", "running", "running"]


def test_other_settings_open_another_feed_whose_first_unit_is_a_key_frame(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    old = stage.feeds[0]
    ahead_ns = time.monotonic_ns() + 100_000_000
    old.units = [AccessUnit(b"old", ahead_ns, False)]
    until(lambda: stage.sink.pushed[-1][0] == b"old")
    spec = StreamSpec(id="stream1", source=TestLive(), video=VideoSpec(width=320))
    stage.first_units = [AccessUnit(b"early", ahead_ns + 10_000_000, False)]
    pipeline.reconfigure(spec, "Lobby")
    until(lambda: len(stage.feeds) == 2 and len(stage.feeds[1].forced) > 3)
    assert old.closed.is_set()
    assert stage.tried[1] is spec
    assert stage.feeds[1].start_ns > ahead_ns
    assert stage.sink.pushed[-1][0] == b"old"
    stage.feeds[1].units = [AccessUnit(b"key", ahead_ns + 20_000_000, True)]
    until(lambda: stage.sink.pushed[-1][0] == b"key")
    assert b"early" not in {unit for unit, _, _ in stage.sink.pushed}
    assert pipeline.state == "running"


def test_settings_that_concern_no_feed_leave_it_alone(stage: Stage) -> None:
    pipeline = stage.pipeline(linger_s=3600)
    pipeline.want()
    until(lambda: pipeline.state == "running")
    pipeline.reconfigure(StreamSpec(id="stream1", source=TestLive(), linger_s=0.0), "Lobby")
    pipeline.unwant()
    until(lambda: pipeline.state == "idle")
    assert len(stage.feeds) == 1


def test_settings_that_fail_are_told_and_better_ones_are_tried_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 3600 * 10**9)
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    stage.refusals = [SourceError("/clip.mp4 is empty")]
    pipeline.reconfigure(StreamSpec(id="stream1", source=FileLive("/clip.mp4"), standby=False), "Lobby")
    until(lambda: pipeline.state == "failed: /clip.mp4 is empty")
    pipeline.reconfigure(StreamSpec(id="stream1", source=FileLive("/other.mp4"), standby=False), "Lobby")
    until(lambda: pipeline.state == "running")


def test_an_idle_stream_with_other_settings_is_described_anew(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    pipeline.unwant()
    until(lambda: pipeline.state == "idle" and not threads())
    pipeline.reconfigure(StreamSpec(id="stream1", source=TestLive(), linger_s=1.0), "Lobby")
    assert pipeline.encoder == "played"
    pipeline.reconfigure(StreamSpec(id="stream1", source=TestLive(), video=VideoSpec(width=320), linger_s=1.0), "Lobby")
    assert (pipeline.description, pipeline.encoder) == (None, "")


def test_reconfigured_by_many_it_ends_with_the_last_settings(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    for width in range(64, 164, 2):
        pipeline.reconfigure(
            StreamSpec(id="stream1", source=TestLive(), video=VideoSpec(width=width), linger_s=0.0), "Lobby"
        )
    until(lambda: stage.tried[-1].video == VideoSpec(width=162) and not stage.feeds[-1].closed.is_set())
    assert all(feed.closed.is_set() for feed in stage.feeds[:-1])


def test_nobody_is_told_after_stop(stage: Stage) -> None:
    """The event loop that `changed` speaks to may be gone by then."""
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    told = len(stage.changes)
    pipeline.stop()
    assert pipeline.join(TIMEOUT_S)
    assert len(stage.changes) == told


def test_stop_does_not_wait_for_the_next_frame(stage: Stage) -> None:
    pipeline = stage.pipeline(linger_s=3600)
    pipeline.want()
    until(lambda: stage.feeds and stage.feeds[0].forced)
    stage.feeds[0].silent = True
    until(lambda: stage.feeds[0].due_ns == NEVER_NS)
    began = time.monotonic()
    pipeline.stop()
    assert pipeline.join(TIMEOUT_S)
    assert time.monotonic() - began < 0.5
    assert stage.feeds[0].closed.is_set()
    pipeline.want()
    assert not threads()


def test_waiting_costs_nothing(stage: Stage) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    stage.feeds[0].silent = True
    until(lambda: stage.feeds[0].due_ns == NEVER_NS)
    began_ns = time.process_time_ns()
    time.sleep(0.2)  # what is measured
    assert time.process_time_ns() - began_ns < 20_000_000


def test_a_source_that_cannot_be_opened_is_tried_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 20_000_000)
    stage.refusals = [SourceError("/clip.mp4 is empty"), SourceError("/clip.mp4 is empty")]
    pipeline = stage.pipeline()
    began_ns = time.monotonic_ns()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    assert time.monotonic_ns() - began_ns >= 60_000_000  # 20 ms, then twice as much
    assert stage.changes == ["failed: /clip.mp4 is empty"] * 2 + ["starting", "running"]
    assert pipeline.description == DESCRIPTION


def test_a_source_that_fails_while_it_runs_is_opened_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 20_000_000)
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    stage.feeds[0].broken = SourceError("gone")
    until(lambda: pipeline.state == "failed: gone")
    assert pipeline.description is None
    assert stage.feeds[0].closed.is_set()
    until(lambda: pipeline.state == "running")
    assert len(stage.feeds) == 2


def test_a_defect_of_ours_does_not_end_the_thread(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 1_000_000)
    stage.refusals = [ZeroDivisionError()]
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    assert stage.changes[0] == "failed: internal error, see the log"
    assert "ZeroDivisionError" in caplog.text


def test_nobody_wants_a_failed_stream_for_long(stage: Stage) -> None:
    """No attempt after the back-off when the reader has left; the reason stays to be seen, and a new reader waits."""
    stage.refusals = [SourceError("gone")]
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "failed: gone")
    failed_ns = time.monotonic_ns()
    pipeline.unwant()
    until(lambda: not threads())
    assert pipeline.state == "failed: gone"
    pipeline.want()
    until(lambda: pipeline.state == "running")
    assert time.monotonic_ns() - failed_ns >= module.FIRST_RETRY_NS - 50_000_000


def test_what_fails_while_it_lingers_ends(stage: Stage) -> None:
    pipeline = stage.pipeline(linger_s=3600)
    pipeline.want()
    until(lambda: pipeline.state == "running")
    pipeline.unwant()
    stage.feeds[0].broken = SourceError("gone")
    until(lambda: not threads())
    assert pipeline.state == "failed: gone"


def test_the_back_off_grows_to_its_limit_and_begins_again_after_a_good_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 40_000_000)
    monkeypatch.setattr(module, "LAST_RETRY_NS", 400_000_000)
    monkeypatch.setattr(module, "PROVEN_NS", 50_000_000)
    stage.refusals = [SourceError("gone")] * 5
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    until(lambda: len(stage.sink.pushed) > 40)
    stage.feeds[0].broken = SourceError("gone")
    until(lambda: stage.feeds[0].closed.is_set())
    closed_ns = time.monotonic_ns()
    until(lambda: len(stage.feeds) == 2)
    for wait_ms, (before_ns, after_ns) in zip((40, 80, 160, 320, 400), pairwise(stage.tried_ns), strict=False):
        assert after_ns - before_ns >= wait_ms * 750_000  # a turn may begin some time before its attempt
    assert time.monotonic_ns() - closed_ns < 400_000_000
    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["no_picture", "no_picture"]  # and not for every attempt


def test_the_back_off_counts_from_the_beginning_of_an_attempt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was in vain for as long, as to a camera that is away, is not waited for once more."""
    monkeypatch.setattr(module, "FIRST_RETRY_NS", 10_000_000)
    monkeypatch.setattr(module, "LAST_RETRY_NS", 640_000_000)
    stage.refusals = [SourceError("gone")] * 6
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: pipeline.state == "running")
    until(lambda: time.monotonic_ns() - stage.tried_ns[-1] > 650_000_000)
    stage.feeds[0].broken = SourceError("gone")
    until(lambda: stage.feeds[0].closed.is_set())
    closed_ns = time.monotonic_ns()
    until(lambda: len(stage.feeds) == 2)
    assert stage.tried_ns[-1] - closed_ns < 300_000_000


def test_malformed_access_units_are_left_out_and_reported_ever_more_rarely(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = stage.pipeline()
    pipeline.want()
    until(lambda: stage.feeds)
    stage.feeds[0].units = [AccessUnit(b"bad", 1, True), AccessUnit(b"good", 2, False)]
    until(lambda: len(stage.sink.pushed) > 30)
    assert pipeline.state == "running"
    reports = [record for record in caplog.records if record.getMessage() == "access_units_skipped"]
    counts = [vars(record)["fields"]["count"] for record in reports]
    assert counts == [1, 10]


def test_a_real_stream_is_on_time_and_ends_quickly() -> None:
    sink = Sink()
    spec = StreamSpec(id="stream1", source=TestLive(), video=VideoSpec(width=160, height=90, fps=50, encoder="x264"))
    pipeline = StreamPipeline(spec, sink, title="ipc1-stream1", unix_offset_ns=0)
    pipeline.want()
    until(lambda: len(sink.pushed) > 25)
    began = time.monotonic()
    pipeline.stop()
    assert pipeline.join(1.0)
    assert time.monotonic() - began < 1.0
    first_ns = sink.pushed[0][1]
    for _, capture_ns, now_ns in sink.pushed:
        assert (capture_ns - first_ns) % 20_000_000 == 0
        assert now_ns >= capture_ns  # never before its time


def test_a_real_stream_goes_on_with_another_size_and_decodes_throughout() -> None:
    sink = Sink()
    video = VideoSpec(width=160, height=90, fps=50, encoder="x264")
    pipeline = StreamPipeline(
        StreamSpec(id="stream1", source=TestLive(), video=video), sink, title="ipc1-stream1", unix_offset_ns=0
    )
    pipeline.want()
    until(lambda: len(sink.pushed) > 5)
    larger = VideoSpec(width=320, height=180, fps=25, encoder="x264")
    pipeline.reconfigure(StreamSpec(id="stream1", source=TestLive(), video=larger), "Lobby")
    until(lambda: pipeline.description and pipeline.description.width == 320)
    count = len(sink.pushed)
    until(lambda: len(sink.pushed) > count + 5)
    pipeline.stop()
    assert pipeline.join(1.0)
    times = [capture_ns for _, capture_ns, _ in sink.pushed]
    assert times == sorted(set(times))
    sizes = [(picture.width, picture.height) for picture in decode([unit for unit, _, _ in sink.pushed])]
    assert sizes == sorted(sizes)
    assert set(sizes) == {(160, 90), (320, 180)}


def test_the_real_stream_takes_what_the_pipeline_gives() -> None:
    media = MediaStream(ntp_offset_ns=0, cname=b"ipc1")
    spec = StreamSpec(id="stream1", source=TestLive(), video=VideoSpec(width=160, height=90, fps=50, encoder="x264"))
    pipeline = StreamPipeline(spec, media, title="ipc1-stream1", unix_offset_ns=0)
    pipeline.want()
    until(lambda: media.counters().frames > 3)
    assert media.counters().key_frames == 1
    media.request_key_frame()
    until(lambda: media.counters().key_frames == 2)
    pipeline.stop()
    assert pipeline.join(1.0)
