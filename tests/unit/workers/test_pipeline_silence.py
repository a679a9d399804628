"""Sources that hang without a word, through the whole of a stream: capture, encoder, pipeline, slate."""

import contextlib
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from camfleet.core.wire import RTSPLive, ScreenLive, Source, StreamSpec, VideoSpec
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.sources import x11
from camfleet.workers.sources.shared import Picture, WaitUntilDue

from tests.kit import upstream as kit
from tests.kit.clips import units_of, write_clip
from tests.kit.played_feed import Sink
from tests.kit.upstream import Peer, Upstream
from tests.kit.wait import wait_for

TIMEOUT_S = 10.0
VIDEO = VideoSpec(width=160, height=96, fps=25, encoder="x264")
FRAME_S = 1 / 25


class Hanging:
    """A Capture that hangs in `read` while `moves` is not set."""

    moves = threading.Event()

    def __init__(self, wait_until_due: WaitUntilDue) -> None:
        self._wait_until_due = wait_until_due

    def read(self) -> Picture:
        now_ns = self._wait_until_due(0)
        self.moves.wait(TIMEOUT_S)
        return Picture(np.full((144, 160), 128, np.uint8), now_ns)

    def close(self) -> None:
        pass


@contextlib.contextmanager
def encoded(source: Source) -> Iterator[tuple[StreamPipeline, Sink]]:
    """Running, with its picture."""
    sink = Sink()
    spec = StreamSpec(id="stream1", source=source, video=VIDEO, linger_s=0, standby=True)
    pipeline: StreamPipeline = StreamPipeline(spec, sink, title="ipc1-stream1", unix_offset_ns=0)
    pipeline.want()
    try:
        wait_for(lambda: pipeline.state == "running" and len(sink.pushed) > 5, TIMEOUT_S, lambda: pipeline.state)
        yield pipeline, sink
    finally:
        pipeline.stop()
        Hanging.moves.set()
        assert pipeline.join(TIMEOUT_S)
        wait_for(lambda: not any(thread.name in ("upstream", "capture") for thread in threading.enumerate()), TIMEOUT_S)


def hangs_and_goes_on(pipeline: StreamPipeline, sink: Sink, moves: threading.Event) -> None:
    moves.clear()
    hung_ns = time.monotonic_ns()
    wait_for(lambda: pipeline.state.startswith("standby: no picture "), 2.5, lambda: pipeline.state)
    shown = len(sink.pushed)
    wait_for(lambda: len(sink.pushed) > shown)
    _, _, slate_ns = sink.pushed[shown]
    assert 1.3 < (slate_ns - hung_ns) / 1e9 < 2.0
    times = [due_ns for _, _, due_ns in sink.pushed]
    assert max(later - earlier for earlier, later in pairwise(times)) < 10**9  # until then the last picture stands
    moves.set()
    wait_for(lambda: pipeline.state == "running", 2.0, lambda: pipeline.state)


def test_a_capture_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent camera, or an X server that does not answer."""
    monkeypatch.setattr(x11, "opener", lambda _source: Hanging)
    Hanging.moves.set()
    with encoded(ScreenLive(display=":0")) as (pipeline, sink):
        hangs_and_goes_on(pipeline, sink, Hanging.moves)


def test_an_upstream_that_falls_silent(tmp_path: Path) -> None:
    """Its connection stands."""
    units = units_of(write_clip(tmp_path / "film.mp4", pictures=100, gop=5))
    sends = threading.Event()
    sends.set()

    def script(peer: Peer) -> None:
        kit.play(peer)
        for unit in kit.packets(units * 10):
            peer.send(b"".join(map(kit.framed, unit)))
            peer.wait(FRAME_S)
            while not sends.is_set():
                peer.wait(FRAME_S)

    with Upstream(script) as server, encoded(RTSPLive(url=server.url)) as (pipeline, sink):
        hangs_and_goes_on(pipeline, sink, sends)
