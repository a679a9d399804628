"""When an upstream camera is asked for a key frame though nothing was lost."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from camfleet.core.wire import RTSPLive
from camfleet.workers.sources.upstream import reports

from tests.kit import upstream as kit
from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.source_reader import Reader
from tests.kit.upstream import Peer, Upstream
from tests.kit.wait import wait_for

INTERVAL_S = 0.3


@pytest.fixture(autouse=True)
def _short_interval(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reports, "KEY_FRAME_INTERVAL_NS", round(INTERVAL_S * 1e9))
    yield
    wait_for(lambda: not any(thread.name == "upstream" for thread in threading.enumerate()))


class Camera:
    """Has a key frame to begin with, and when the test says."""

    def __init__(self) -> None:
        self.key_frame_is_due = threading.Event()
        self.asked_at: list[float] = []

    def __call__(self, peer: Peer) -> None:
        kit.play(peer)
        for unit in kit.packets(self._units()):
            peer.send(b"".join(map(kit.framed, unit)))
            peer.wait(0.01)
            self.asked_at += [time.monotonic()] * peer.key_frames_wanted()

    def _units(self) -> Iterator[bytes]:
        yield key_access_unit(0)
        while True:
            if self.key_frame_is_due.is_set():
                self.key_frame_is_due.clear()
                yield key_access_unit(0)
            yield access_unit(1)


def read_for(reader: Reader, seconds: float, *, force_key: bool) -> bool:
    """Whether there was a key frame."""
    found, end = False, time.monotonic() + seconds
    while time.monotonic() < end:
        found |= any(unit.key_frame for unit in reader.feed.read(time.monotonic_ns(), force_key))
        time.sleep(0.002)
    return found


def test_once_in_a_while_until_it_comes() -> None:
    camera = Camera()
    with Upstream(camera) as server, Reader(RTSPLive(url=server.url)) as reader:
        reader.units(5)
        read_for(reader, 2 * INTERVAL_S, force_key=False)
        assert camera.asked_at == []
        read_for(reader, 5 * INTERVAL_S, force_key=True)
        assert 3 <= len(camera.asked_at) <= 6
        assert all(after - before > INTERVAL_S / 2 for before, after in pairwise(camera.asked_at))
        camera.key_frame_is_due.set()
        assert read_for(reader, INTERVAL_S, force_key=False)
        asked = len(camera.asked_at)
        read_for(reader, 3 * INTERVAL_S, force_key=False)
        assert len(camera.asked_at) == asked


def test_for_a_stream_that_begins_while_another_runs() -> None:
    camera = Camera()
    with Upstream(camera) as server, Reader(RTSPLive(url=server.url)) as first:
        first.units(5)
        with Reader(RTSPLive(url=server.url)) as second:
            wait_for(lambda: camera.asked_at)
            camera.key_frame_is_due.set()
            assert second.units(1)[0].key_frame
