"""Streams of a camera that show one film, each in its thread, in real time."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from camfleet.core.wire import FileLive, StreamSpec, VideoSpec
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.sources import Lineup

from tests.kit.clips import decode, number_of, write_clip
from tests.kit.descriptors import times_open
from tests.kit.played_feed import Sink
from tests.kit.wait import wait_for

TIMEOUT_S = 20.0
GROUP_S, FPS = 10, 25
VIDEO = VideoSpec(width=320, height=192, fps=FPS, gop=FPS, encoder="x264")


class Stage:
    def __init__(self, film: Path, *videos: VideoSpec | None) -> None:
        self.film = film
        self.lineup = Lineup()
        self.lineup.streams = tuple(
            StreamSpec(id=f"stream{n}", source=FileLive(str(film)), video=video, linger_s=0)
            for n, video in enumerate(videos)
        )
        self.sinks = [Sink() for _ in videos]
        self.pipelines = [
            StreamPipeline(spec, sink, title=spec.id, unix_offset_ns=0, lineup=self.lineup)
            for spec, sink in zip(self.lineup.streams, self.sinks, strict=True)
        ]

    def until(self, condition: Callable[[], object], why: str) -> None:
        wait_for(condition, TIMEOUT_S, lambda: f"not {why}; {[pipeline.state for pipeline in self.pipelines]}")

    def want(self, number: int) -> float:
        """Seconds until it is seen."""
        began = time.monotonic()
        self.pipelines[number].want()
        self.until(lambda: self.sinks[number].pushed, "seen")
        return time.monotonic() - began

    def leave(self, number: int) -> None:
        self.pipelines[number].unwant()
        self.until(lambda: self.pipelines[number].state == "idle", "idle")

    def until_more(self, number: int) -> None:
        before = len(self.sinks[number].pushed)
        self.until(lambda: len(self.sinks[number].pushed) > before + FPS, "going on")

    def shown(self, number: int) -> dict[int, int]:
        """The number of the picture that is shown from a time on."""
        pushed = list(self.sinks[number].pushed)
        pictures = decode([unit for unit, _, _ in pushed], [capture_ns for _, capture_ns, _ in pushed])
        return {picture.pts or 0: number_of(picture) for picture in pictures}

    def opened(self) -> int:
        return times_open(self.film)

    def stop(self) -> None:
        for pipeline in self.pipelines:
            pipeline.stop()
        assert all(pipeline.join(TIMEOUT_S) for pipeline in self.pipelines)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    film = write_clip(tmp_path / "film.mp4", pictures=GROUP_S * FPS, gop=GROUP_S * FPS, b_frames=2, fps=FPS)
    stages: list[Stage] = []

    def make(*videos: VideoSpec | None) -> Stage:
        stages.append(Stage(film, *videos))
        return stages[-1]

    yield make
    for each in stages:
        each.stop()
        assert each.opened() == 0


def test_they_show_the_same_moment_though_they_begin_one_after_the_other(stage: Callable[..., Stage]) -> None:
    """In the middle of a group of pictures: nobody waits for the next."""
    live = stage(None, None, VIDEO)
    live.want(0)
    time.sleep(1.3)
    assert max(live.want(1), live.want(2)) < 0.9  # an encoder is opened too; the slate would be there after a second
    time.sleep(2.0)
    assert live.opened() == 1
    live.stop()
    main, sub, encoded = live.shown(0), live.shown(1), live.shown(2)
    since_ns = max(min(sub), min(encoded)) + 10**9
    assert {time_ns: number for time_ns, number in sub.items() if time_ns > since_ns} == {
        time_ns: number for time_ns, number in main.items() if time_ns > since_ns
    }
    compared = {time_ns: number for time_ns, number in encoded.items() if since_ns < time_ns < max(main)}
    assert len(compared) > FPS // 2
    expected = {time_ns: main[max(shown_ns for shown_ns in main if shown_ns <= time_ns)] for time_ns in compared}
    assert sum(compared[time_ns] == number for time_ns, number in expected.items()) > 0.9 * len(compared)
    assert all((number - compared[time_ns]) % 50 <= 2 for time_ns, number in expected.items())  # a busy machine


def test_one_that_stops_leaves_the_others(stage: Callable[..., Stage]) -> None:
    live = stage(None, None, VIDEO)
    for number in range(3):
        live.want(number)
    for number in range(2):
        live.leave(number)
        live.until_more(2)
        assert live.opened() == 1
    live.want(0)
    assert live.opened() == 1
