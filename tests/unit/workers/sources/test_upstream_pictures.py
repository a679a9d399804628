"""An upstream that is decoded: too much of it for the decoder, and too little for a rhythm."""

import contextlib
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import pytest
from av.video.frame import VideoFrame
from camfleet.core.wire import NetLive, VideoSpec
from camfleet.workers.codecs import AccessUnit, Description
from camfleet.workers.sources import Place, arrivals, kinds, open_pictures
from camfleet.workers.sources.shared import Absence, Picture
from camfleet.workers.sources.upstream import Arrival, Interrupt, Listener, UpstreamCapture, pictures, subscription

from tests.kit.access_units import h265_key_access_unit
from tests.kit.wait import wait_for

MS = 1_000_000
S = 1000 * MS
SOURCE = NetLive(url="http://192.0.2.1/")


class Visit:
    """A Session that sends what the test gives it."""

    absence = ""
    skipped = 0
    refused = False

    def __init__(self, interrupt: Interrupt, listener: Listener) -> None:
        self._interrupt = interrupt
        self._listener = listener

    def run(self) -> None:
        while True:
            self._interrupt.wait_until(time.monotonic_ns() + S)

    def send(self, capture_ns: int, *, key_frame: bool = True, codec: str = "mjpeg", data: bytes = b"picture") -> None:
        unit = AccessUnit(data, capture_ns, key_frame)
        self._listener.arrived(Arrival(unit, Description(64, 48, 30.0, (), codec)))


class Decoder:
    pixel_aspect = Fraction(1)
    takes_s = 0.0

    def __init__(self, _codec: str) -> None:
        pass

    def decode(self, unit: AccessUnit) -> list[VideoFrame]:
        time.sleep(self.takes_s)  # the decoder's work
        frame = VideoFrame(64, 48, "yuv420p")
        frame.pts = unit.capture_ns
        return [frame]


@pytest.fixture(autouse=True)
def visits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Visit]]:
    monkeypatch.setattr(pictures, "UnitDecoder", Decoder)
    yield []
    wait_for(lambda: not any(thread.name in ("upstream", "capture") for thread in threading.enumerate()))
    assert not subscription._upstreams


@pytest.fixture
def capture(visits: list[Visit]) -> Iterator[UpstreamCapture]:
    with contextlib.closing(UpstreamCapture(SOURCE, opener(visits))) as opened:
        yield opened


def opener(visits: list[Visit]) -> subscription.OpenSession:
    def open_session(interrupt: Interrupt, listener: Listener) -> Visit:
        visits.append(Visit(interrupt, listener))
        return visits[-1]

    return open_session


def read(capture: UpstreamCapture) -> Picture:
    found = capture.read()
    assert isinstance(found, Picture)
    return found


def test_a_decoder_that_is_too_slow_shows_what_it_has(
    visits: list[Visit], capture: UpstreamCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decoder, "takes_s", 0.03)
    began_ns = time.monotonic_ns()
    for n in range(100):
        visits[0].send(began_ns + 10 * S + n, key_frame=not n)  # of the future: none of them is late
    first = read(capture)
    assert capture._subscription
    assert read(capture).capture_ns > first.capture_ns


def test_what_is_late_is_left_out_where_a_key_frame_waits(visits: list[Visit], capture: UpstreamCapture) -> None:
    waiting, now_ns = capture._subscription, time.monotonic_ns()
    for n in range(25):
        visits[0].send(now_ns + n * MS, key_frame=n % 10 == 0)
    waiting.catch_up(now_ns)
    assert len(waiting) == 25
    waiting.catch_up(now_ns + 1)
    found = waiting.take()
    assert found is not None
    assert (found.unit.capture_ns, found.unit.key_frame, len(waiting)) == (now_ns + 20 * MS, True, 4)
    assert waiting.skipped == 20
    waiting.catch_up(now_ns + S)  # no key frame
    assert len(waiting) == 4


def test_a_capture_catches_up(visits: list[Visit], capture: UpstreamCapture) -> None:
    late_ns = time.monotonic_ns() - S
    for n in range(25):
        visits[0].send(late_ns + n * MS, key_frame=n % 10 == 0)
    assert read(capture).capture_ns == late_ns + 24 * MS
    assert capture._subscription.skipped == 20


def test_many_small_units_that_nobody_takes_are_no_more_memory_than_large_ones(
    visits: list[Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "MAX_WAITING_SIZE", 100_000)
    stream = subscription.subscribe(SOURCE, opener(visits), lambda: None)
    largest = 0
    for number in range(1000):
        visits[0].send(number * MS, data=b"tiny")
        largest = max(largest, len(stream))
    stream.close()
    assert 200 < largest < 500
    assert stream.skipped


def test_h265_begins_anew_behind_what_is_left_out(visits: list[Visit], capture: UpstreamCapture) -> None:
    """Leading pictures of a CRA picture refer to what was left out; a decoder is told that nothing came before."""
    waiting, now_ns = capture._subscription, time.monotonic_ns()
    cra = h265_key_access_unit(1).replace(b"\0\0\0\1\x26\x01", b"\0\0\0\1\x2a\x01")
    for n in range(3):
        visits[0].send(now_ns + n, codec="h265", data=cra)
    waiting.catch_up(now_ns + 1)
    found = waiting.take()
    assert found is not None
    assert b"\0\0\0\1\x2a\x01" not in bytes(found.unit.data)


def test_the_last_picture_stands_for_twice_its_rhythm(
    visits: list[Visit], capture: UpstreamCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_WAIT_NS", 100 * MS)
    assert capture.read() == Absence("")
    absence = Absence("no picture from the upstream any more")
    now_ns = time.monotonic_ns()
    visits[0].send(now_ns - 36 * S)
    read(capture)
    assert capture.read() == absence  # a rhythm is not known yet
    visits[0].send(now_ns - 26 * S)
    read(capture)
    visits[0].send(now_ns - 16 * S)
    read(capture)
    assert capture.read() == absence  # twice ten seconds are not over, but five and a half
    visits[0].send(now_ns - 1000 * MS)
    read(capture)
    visits[0].send(now_ns - 960 * MS)
    last = read(capture)
    assert capture.read() is last  # a second and a half, whatever its rhythm
    for capture_ns in (now_ns, now_ns + 1900 * MS):
        visits[0].send(capture_ns)
        last = read(capture)
        assert capture.read() is last
        assert capture.read() is last
    visits[0].absence = "nobody publishes"
    assert capture.read() == Absence("nobody publishes")


def test_a_picture_every_four_seconds_is_enough(visits: list[Visit], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_session", lambda _source: opener(visits))
    now_ns = time.monotonic_ns()
    place = Place("ipc1-stream1", "Lobby", 0, lambda: None)
    with contextlib.closing(open_pictures(SOURCE, place, VideoSpec(width=64, height=48, fps=5), now_ns)) as shown:
        wait_for(lambda: (upstream := subscription._upstreams.get(SOURCE)) and upstream._users)
        visits[0].send(now_ns)
        wait_for(lambda: shown.picture(0, now_ns) is not None)
        later_ns = now_ns + 60 * S
        visits[0].send(later_ns)
        wait_for(lambda: shown.picture(1, later_ns) is not None)
        assert shown.picture(2, later_ns + 5400 * MS) is not None
        assert shown.picture(3, later_ns + 5600 * MS) is None
        assert shown.absence == "no picture for 5.5 seconds"
