"""A pipeline with a real thread and a played feed: it is always due, or never, and fails when told to."""

import threading
import time
from collections.abc import Sequence

import pytest
from camfleet.core.wire import FileLive, StreamSpec, TestLive
from camfleet.workers import pipeline as module
from camfleet.workers.codecs import AccessUnit, Description
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.sources import Feed, Place

from tests.kit.access_units import PPS, SPS, access_unit

NEVER_NS = 2**62
DESCRIPTION = Description(640, 360, 25.0, (SPS, PPS))


class Sink:
    """Takes all access units but those that begin with b"bad"."""

    def __init__(self) -> None:
        self.pushed: list[tuple[bytes, int, int]] = []
        self.codec = "h264"
        self.key_frame_wanted = False

    def push(self, unit: bytes | memoryview, capture_ns: int, now_ns: int, /) -> int:
        if bytes(unit).startswith(b"bad"):
            raise ValueError("malformed")
        self.pushed.append((bytes(unit), capture_ns, now_ns))
        return len(unit)

    def take_key_frame_request(self) -> bool:
        wanted, self.key_frame_wanted = self.key_frame_wanted, False
        return wanted


class PlayedFeed:
    """Its `due_ns` and what it gives are the test's to change."""

    encoder = "played"
    description: Description | None = DESCRIPTION
    skipped = 0
    absence = ""

    def __init__(self, place: Place, start_ns: int) -> None:
        self.wake = place.wake
        self.start_ns = start_ns
        self.due_ns = start_ns
        self.units = [AccessUnit(access_unit(0, 100), start_ns, True)]
        self.forced: list[bool] = []
        self.broken: Exception | None = None
        self.silent = False
        self.once = False  # each of `units` is given once
        self.closed = threading.Event()

    def read(self, now_ns: int, force_key: bool, /) -> Sequence[AccessUnit]:
        if self.broken:
            raise self.broken
        self.due_ns = NEVER_NS if self.silent else now_ns + 2_000_000
        self.forced.append(force_key)
        units = self.units
        if self.once:
            self.units = []
        return units

    def close(self) -> None:
        self.closed.set()


class Stage:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.feeds: list[PlayedFeed] = []
        self.tried: list[StreamSpec] = []
        self.tried_ns: list[int] = []
        self.refusals: list[Exception] = []
        self.first_units: list[AccessUnit] = []  # of the next feeds
        self.once = False
        self.sink = Sink()
        self.changes: list[str] = []
        self.pipelines: list[StreamPipeline] = []
        monkeypatch.setattr(module, "open_feed", self._open)

    def _open(self, place: Place, stream: StreamSpec, start_ns: int, before: Feed | None) -> Feed:
        if before is not None:
            before.close()
        self.tried.append(stream)
        self.tried_ns.append(time.monotonic_ns())
        if self.refusals:
            raise self.refusals.pop(0)
        self.feeds.append(PlayedFeed(place, start_ns))
        self.feeds[-1].once = self.once
        if self.first_units:
            self.feeds[-1].units = self.first_units
        return self.feeds[-1]

    def pipeline(
        self, *, linger_s: float = 0.0, source: TestLive | FileLive | None = None, standby: bool = False
    ) -> StreamPipeline:
        spec = StreamSpec(id="stream1", source=source or TestLive(), linger_s=linger_s, standby=standby)
        made: StreamPipeline = StreamPipeline(
            spec,
            self.sink,
            title="ipc1-stream1",
            unix_offset_ns=0,
            changed=lambda: self.changes.append(made.state),
        )
        self.pipelines.append(made)
        return made
