"""Publications as a stream shows them: one after the other, whatever the clients send."""

import contextlib
import gc
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from camfleet.core.net.inlet import Inlet
from camfleet.core.rtp import rtcp
from camfleet.core.sdp.parse import VideoTrack, parse_video
from camfleet.core.wire import Publish
from camfleet.workers.sources.publish import Publication, PublishingPoint, PublishSession, point, publishing_point
from camfleet.workers.sources.publish import session as publish_session
from camfleet.workers.sources.upstream import Arrival, Interrupt, LeftError, Listener, receiver, reports
from camfleet.workers.sources.upstream import subscription as upstream

from tests.kit.access_units import access_unit
from tests.kit.descriptors import descriptors
from tests.kit.publishing import DESCRIPTION
from tests.kit.source_reader import Reader
from tests.kit.upstream import film, packets
from tests.kit.wait import wait_for

NS_PER_S = 1_000_000_000
SOURCE = Publish(user="encoder", stream="stream1")
TRACK = parse_video(DESCRIPTION)
SSRC = 0x11223344  # of `packets`


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread, descriptor or upstream; and time-outs that a test can wait for."""
    monkeypatch.setattr(receiver, "SILENCE_TIMEOUT_NS", NS_PER_S)
    monkeypatch.setattr(receiver, "PICTURE_TIMEOUT_NS", NS_PER_S)
    gc.collect()
    before = descriptors()
    yield
    wait_for(lambda: not any(thread.name == "upstream" for thread in threading.enumerate()))
    gc.collect()  # an upstream and its session know each other
    assert descriptors() - before == set()
    assert upstream._upstreams == {}
    assert not point._points


class Publisher:
    """A client's session without its connection."""

    def __init__(self, track: VideoTrack = TRACK, inlet: Inlet | None = None) -> None:
        self.heard: list[bytes] = []
        self.ended = threading.Event()
        self.point: PublishingPoint = publishing_point(SOURCE)
        self.publication = Publication(
            track, (0, 1), "192.0.2.9:40000", self.heard.append, self.ended.set, inlet or Inlet()
        )
        assert self.point.take(self.publication, time.monotonic_ns())

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.point.leave(self.publication)

    def send(self, units: Iterable[bytes], *, sequence: int = 65_530, timestamp: int = 0) -> None:
        for unit in packets(units, sequence=sequence, timestamp=timestamp):
            for packet in unit:
                self.put(packet)

    def put(self, payload: bytes, channel: int = 0) -> None:
        self.publication.inlet.put(channel, payload, time.monotonic_ns())


class EventfulInlet(Inlet):
    """Each time that the stream has taken what was there, the next thing happens."""

    def __init__(self) -> None:
        self.events: list[Callable[[], object]] = []

    def take(self) -> bytes:
        taken = super().take()
        if self.events:
            self.events.pop(0)()
        return taken


def test_its_units_as_they_are() -> None:
    with Reader(SOURCE) as reader:
        wait_for(lambda: reader.feed.absence == "nobody publishes")
        with Publisher() as publisher:
            publisher.send(film(30))
            units = reader.units(30)
        assert [unit.data for unit in units] == film()[:30]
        assert [unit.key_frame for unit in units] == [n % 5 == 0 for n in range(30)]
        assert reader.feed.description is not None
        assert reader.feed.description.width == 1280


def test_the_description_is_known_before_the_first_picture() -> None:
    with Reader(SOURCE) as reader, Publisher():
        wait_for(lambda: reader.feed.due_ns == 0)
        reader.feed.read(0, False)
        assert reader.feed.description is not None
        assert reader.feed.description.parameter_sets[0][0] & 0x1F == 7


def test_who_publishes_before_anybody_watches_is_seen_from_a_key_frame_on() -> None:
    with Publisher() as publisher:
        publisher.send(film(12)[7:])
        with Reader(SOURCE) as reader:
            assert reader.units(2)[0].data == film()[10]


def test_one_after_the_other_in_growing_time() -> None:
    """Stamps and numbers begin anywhere; no key frame is missed, and what the last one said is shown."""
    with Reader(SOURCE) as reader:
        times: list[int] = []
        for begin in (0, 2**32 - 5 * 3600, 4_000_000):
            with Publisher() as publisher:
                wait_for(lambda: not reader.feed.absence)
                publisher.send(film(10), sequence=begin % 1000, timestamp=begin)
            units = reader.units(10)
            assert [unit.data for unit in units] == film()[:10]
            times += [unit.capture_ns for unit in units]
            wait_for(lambda: reader.feed.absence == "nobody publishes")
        assert times == sorted(set(times))


def test_what_comes_with_the_end_is_shown() -> None:
    inlet = EventfulInlet()
    with Reader(SOURCE) as reader, Publisher(inlet=inlet) as publisher:

        def say_all_and_leave() -> None:
            publisher.send(film(3))
            publisher.point.leave(publisher.publication)

        inlet.events.append(say_all_and_leave)
        assert [unit.data for unit in reader.units(3)] == film()[:3]


def test_who_has_left_is_not_ended_for_what_is_missing_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """His connection may go on: PAUSE."""
    inlet = EventfulInlet()
    with Reader(SOURCE) as reader, Publisher(inlet=inlet) as publisher:
        inlet.events += [
            lambda: publisher.point.leave(publisher.publication),
            lambda: monkeypatch.setattr(receiver, "SILENCE_TIMEOUT_NS", -1),
        ]
        publisher.send(film(1))
        wait_for(lambda: not inlet.events)
        wait_for(lambda: reader.feed.absence == "nobody publishes")
        assert not publisher.ended.is_set()


def test_what_was_lost_is_counted_over_all_publications() -> None:
    lost = [0]
    with Reader(SOURCE) as reader:
        for _ in range(2):
            with Publisher() as publisher:
                wait_for(lambda: not reader.feed.absence)
                publisher.send(film(3))
                publisher.send([access_unit(n) for n in range(3)], sequence=200, timestamp=20_000)
            wait_for(lambda: reader.feed.absence == "nobody publishes")
            lost.append(reader.feed.skipped)
    assert lost == sorted(set(lost))


def test_stamps_that_jump_do_not_move_time() -> None:
    with Reader(SOURCE) as reader, Publisher() as publisher:
        dice, sequence = random.Random(7), 0
        for unit in film(40):
            for packet in next(packets([unit], sequence=sequence, timestamp=dice.randrange(2**32))):
                publisher.put(packet)
                sequence += 1
        times = [unit.capture_ns for unit in reader.units(40)]
        assert times == sorted(set(times))
        assert times[-1] <= time.monotonic_ns() + NS_PER_S // 10


def test_a_gap_costs_until_the_next_key_frame_which_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "KEY_FRAME_INTERVAL_NS", NS_PER_S // 20)
    with Reader(SOURCE) as reader, Publisher() as publisher:
        publisher.send(film(3))
        publisher.send([access_unit(n) for n in range(3)], sequence=200, timestamp=20_000)
        wait_for(lambda: any(rtcp.parse(each[4:], SSRC).key_frame_wanted for each in publisher.heard))
        assert publisher.heard[0][:2] == b"$\1"
        publisher.send(film(3), sequence=300, timestamp=40_000)
        assert [unit.data for unit in reader.units(6)] == film()[:3] * 2
        assert reader.feed.skipped > 0


def test_a_key_frame_that_a_stream_wants_is_asked_for() -> None:
    with Reader(SOURCE) as reader, Publisher() as publisher:
        *first, last = packets(film(3))
        for packet in itertools.chain(*first):
            publisher.put(packet)
        reader.units(1)
        wait_for(lambda: reader.feed.due_ns == 0)
        reader.feed.read(0, True)
        for packet in last:
            publisher.put(packet)
        wait_for(lambda: any(rtcp.parse(each[4:], SSRC).key_frame_wanted for each in publisher.heard))


def test_an_rtcp_bye_is_not_the_end() -> None:
    with Reader(SOURCE) as reader, Publisher() as publisher:
        publisher.send(film(3))
        reader.units(3)
        publisher.put(rtcp.bye(ssrc=SSRC, channel=1, cname=b"x")[4:], channel=1)
        for number in (100, 200):  # the first may be taken together with the BYE
            publisher.send(film(3), sequence=number, timestamp=number * 900)
            assert [unit.data for unit in reader.units(3)] == film()[:3]
        assert not publisher.ended.is_set()


def test_a_flood_of_reports_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one costs Python some microseconds: 8 MB of them would be seconds."""
    monkeypatch.setattr(receiver, "SILENCE_TIMEOUT_NS", 60 * NS_PER_S)
    with Reader(SOURCE) as reader, Publisher() as publisher:
        publisher.send(film(1))
        for _ in range(reports.MAX_HEARD + 1):
            publisher.put(bytes(8), channel=1)
        wait_for(publisher.ended.is_set)
        wait_for(lambda: "the last one sends more than 500 reports (RTCP) a second" in reader.feed.absence)


def test_as_many_reports_over_some_seconds_are_no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_HEARD", 5)
    monkeypatch.setattr(reports, "NS_PER_S", NS_PER_S // 20)
    with Reader(SOURCE) as reader, Publisher() as publisher:
        wait_for(lambda: not reader.feed.absence)
        for _ in range(10):
            publisher.put(bytes(8), channel=1)
            time.sleep(0.02)
        publisher.send(film(1))
        reader.units(1)
        assert not publisher.ended.is_set()


def test_the_last_reader_s_end_does_not_wait_for_all_that_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_session, "PART_SIZE", 10_000)
    seen: list[Arrival] = []
    with contextlib.closing(Interrupt()) as interrupt, Publisher() as publisher:

        def arrived(arrival: Arrival) -> None:
            seen.append(arrival)
            interrupt.set()

        publisher.send(film(100))
        session = PublishSession(SOURCE, interrupt, Listener(lambda _: None, arrived, lambda: False))
        with pytest.raises(LeftError):
            session.run()
    assert 0 < len(seen) < 20


def noise() -> list[bytes]:
    dice = random.Random(3)
    return [dice.randbytes(dice.choice((0, 1, 11, 12, 13, 40, 1400, 65_535))) for _ in range(300)]


def headers_and_noise() -> list[bytes]:
    """RTP in form, nothing in content."""
    dice = random.Random(4)
    head = bytes((0x80, 96))
    return [head + n.to_bytes(2) + bytes(4) + SSRC.to_bytes(4) + dice.randbytes(dice.randrange(50)) for n in range(300)]


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([], "has sent no media for 1 s"),
        (noise(), "has sent no "),
        (headers_and_noise(), "has sent no "),
        ([packet for unit in packets([access_unit(n) for n in range(50)]) for packet in unit], "has sent no "),
    ],
    ids=["nothing", "noise", "headers and noise", "no key frame"],
)
def test_a_publication_that_is_no_good_is_ended_and_the_next_one_is_shown(payloads: list[bytes], reason: str) -> None:
    with Reader(SOURCE) as reader:
        with Publisher() as publisher:
            for payload in payloads:
                publisher.put(payload)
                publisher.put(payload, channel=1)
            wait_for(publisher.ended.is_set)
            wait_for(lambda: reader.feed.absence.startswith(f"nobody publishes: the last one {reason}"))
        with Publisher() as good:
            good.send(film(5))
            assert [unit.data for unit in reader.units(5)] == film()[:5]
            assert reader.feed.absence == ""


def test_pictures_that_nobody_can_want_end_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camfleet.workers.sources.upstream.units.MAX_PIXELS", 1000)
    with Reader(SOURCE) as reader, Publisher() as publisher:
        wait_for(publisher.ended.is_set)
        wait_for(lambda: "1280x720, over the limit of 1000 pixels" in reader.feed.absence)


def test_time_is_not_pushed_far_ahead() -> None:
    """Each picture has a time of its own, so too many of them would take the stream's into the future for good."""
    with Reader(SOURCE) as reader, Publisher() as publisher:
        for number, unit in enumerate((film()[0], *(access_unit(n, 20) for n in range(1, 3000)))):
            for packet in next(packets([unit], sequence=number, timestamp=number * 90_000)):
                publisher.put(packet)
        wait_for(publisher.ended.is_set)
        wait_for(lambda: "sends pictures faster than they can be shown; `ffmpeg -re`" in reader.feed.absence)


def test_what_its_inlet_drops_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with Publisher() as publisher:
        for _ in range(300):  # 19 MB, of a channel that nobody knows
            publisher.put(bytes(65_000), channel=7)
        assert publisher.publication.inlet.overflows == 2
        with Reader(SOURCE) as reader:
            publisher.send(film(3))
            reader.units(3)
            (line,) = [line for line in caplog.records if line.getMessage() == "media_dropped"]
            fields = getattr(line, "fields", {})
            assert (fields["peer"], fields["times"]) == ("192.0.2.9:40000", 2)


@pytest.mark.parametrize(
    ("pictures_s", "gives_way_s"),
    [
        ((), 2),  # readers lose nothing
        ((0,), 8),
        ((0, 1 / 25), 2),
        ((0, 1), 2),
        ((0, 3), 6),  # time lapse
        ((0, 3, 6, 9), 6),
        ((0, 9, 9 + 1 / 25), 2),  # the network was away
    ],
)
def test_who_sends_pictures_seldom_is_not_silent_between_them(pictures_s: Iterable[float], gives_way_s: int) -> None:
    with Publisher() as publisher:
        for at_s in pictures_s:
            publisher.publication.shown(round(at_s * NS_PER_S))
        silent_ns = publisher.publication.inlet.newest_ns + gives_way_s * NS_PER_S
        assert not publisher.point.is_free(silent_ns)
        assert publisher.point.is_free(silent_ns + 1)


def test_his_pictures_tell_when_he_is_silent() -> None:
    with Reader(SOURCE) as reader, Publisher() as publisher:
        publisher.send(film(5))
        reader.units(5)
        wait_for(lambda: publisher.point.is_free(publisher.publication.inlet.newest_ns + 7 * NS_PER_S))
    with Reader(SOURCE) as reader, Publisher() as publisher:
        publisher.send(film(1))
        reader.units(1)
        assert not publisher.point.is_free(publisher.publication.inlet.newest_ns + 7 * NS_PER_S)


def test_a_second_publisher_has_to_wait_unless_the_first_is_silent() -> None:
    with Publisher() as first:
        place = first.point
        other = Publication(TRACK, (0, 1), "192.0.2.10:40000", first.heard.append, first.ended.set)
        assert not place.is_free(time.monotonic_ns())
        assert not place.take(other, time.monotonic_ns())
        first.put(b"x")
        silent_ns = first.publication.inlet.newest_ns + point.GIVES_WAY_NS
        assert not place.is_free(silent_ns)
        assert place.is_free(silent_ns + 1)
        assert not first.ended.is_set()
        assert place.take(other, silent_ns + 1)
        assert first.ended.is_set()
        place.leave(first.publication)  # late: the place is the other's
        assert place.current is other
        place.leave(other)
        assert place.current is None


def test_its_stream_is_woken_by_each_change_and_by_nothing_else() -> None:
    """It looks once a second by itself."""
    place = publishing_point(SOURCE)

    def is_woken() -> bool:
        try:
            return os.eventfd_read(place.fd) > 0
        except BlockingIOError:
            return False

    with Publisher() as first:
        assert is_woken()
        other = Publication(TRACK, (0, 1), "192.0.2.10:40000", first.heard.append, first.ended.set)
        assert not place.take(other, time.monotonic_ns())
        place.leave(other)
        assert not is_woken()
    assert is_woken()
