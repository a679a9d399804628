"""What readers get of a stream whose encoder is a graphics card's: threads, slates and encoders are real."""

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from camfleet.core.wire import StreamSpec, TestLive, VideoSpec
from camfleet.workers import feed
from camfleet.workers.codecs import H264
from camfleet.workers.encoders import AUTO, fallback, open_encoder
from camfleet.workers.pipeline import StreamPipeline
from msgspec.structs import replace

from tests.kit.clips import decode
from tests.kit.faulty_encoder import Faults, driver_threads, faults, small_video
from tests.kit.played_feed import Sink
from tests.kit.wait import wait_for

pytestmark = pytest.mark.usefixtures("card")

LIMIT_S = 2.0  # without a unit
KEY = {7, 8, 5}


def spec(video: VideoSpec) -> StreamSpec:
    return StreamSpec(id="stream1", source=TestLive(), video=video)


class Watched:
    """A stream, and what became of it."""

    def __init__(self, video: VideoSpec) -> None:
        self.sink = Sink()
        self.shown: list[tuple[str, str, int]] = []  # encoder, state, and the units before it
        self.pipeline = StreamPipeline(
            spec(video), self.sink, title="ipc1-stream1", unix_offset_ns=0, changed=self._changed
        )
        self.began_ns = time.monotonic_ns()
        self.pipeline.want()

    def _changed(self) -> None:
        self.shown.append((self.pipeline.encoder, self.pipeline.state, len(self.sink.pushed)))

    def longest_wait_s(self) -> float:
        """For a unit, until now."""
        times = [self.began_ns, *(pushed_ns for _, _, pushed_ns in self.sink.pushed), time.monotonic_ns()]
        return max(after - before for before, after in itertools.pairwise(times)) / 1e9

    def change(self, video: VideoSpec) -> None:
        self.pipeline.reconfigure(spec(video), "")

    def comes(self, encoder: str, timeout_s: float = 5.0) -> None:
        """And begins with a key frame; all that was sent can be decoded."""

        def is_there() -> bool:
            found = [number for name, state, number in self.shown if (name, state) == (encoder, "running")]
            return bool(found) and len(self.sink.pushed) > found[-1]

        wait_for(is_there, timeout_s, why=lambda: f"{encoder} has not come: {self.shown}")
        first = next(number for name, state, number in self.shown if (name, state) == (encoder, "running"))
        assert H264.leading_types(self.sink.pushed[first][0]) >= KEY
        units = [unit for unit, _, _ in self.sink.pushed]
        assert len(decode(units)) == len(units)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[VideoSpec, Faults], Watched]]:
    streams: list[Watched] = []

    def watched(video: VideoSpec, made: Faults) -> Watched:
        monkeypatch.setattr(
            feed, "open_encoder", lambda video, colours, before: open_encoder(video, colours, made, before=before)
        )
        streams.append(Watched(video))
        return streams[-1]

    yield watched
    for stream in streams:
        stream.pipeline.stop()
        assert stream.pipeline.join(2.0)


Watch = Callable[[VideoSpec, Faults], Watched]


@pytest.mark.parametrize("how", ["raise", "crash", "silent", "hang"])
def test_a_stream_goes_on_when_its_card_fails(how: str, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first picture of the CPU is a key frame, for joiners too; the next DESCRIBE tells its parameter sets."""
    monkeypatch.setattr(fallback, "HANG_TIMEOUT_S", 1.0)  # as it is
    with faults(at_picture=(10, how)) as made:
        stream = watch(small_video(), made)
        stream.comes("h264_nvenc")
        before = stream.pipeline.description
        wait_for(lambda: stream.pipeline.encoder.startswith("libx264 (h264_nvenc: "))
        stream.comes(stream.pipeline.encoder)
        assert stream.pipeline.description is not before is not None
        assert stream.longest_wait_s() < LIMIT_S
        assert (stream.pipeline.state, made.opened) == ("running", ["h264_nvenc", "libx264"])


def test_a_named_encoder_that_cannot_be_had_is_a_state_of_its_stream(watch: Watch) -> None:
    with faults(at_open="no session") as made:
        stream = watch(small_video(), made)
        stream.pipeline.unwant()
        reason = "failed: h264_nvenc: the NVIDIA GPU opens no further encoder session"
        wait_for(lambda: stream.pipeline.state.startswith(reason))


@pytest.mark.parametrize(("name", "meanwhile"), [("nvenc", "standby: the driver of the "), (AUTO, "running")])
def test_the_first_reader_does_not_wait_for_a_driver(
    name: str, meanwhile: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He is told what there is, sees the slate or the CPU's, and the card's when it is there."""
    monkeypatch.setattr(fallback, "OPEN_TIMEOUT_S", 5.0)  # as it is
    with faults(at_open="hang") as made:
        stream = watch(small_video(name), made)
        wait_for(lambda: stream.sink.pushed, LIMIT_S)
        assert stream.pipeline.description is not None
        assert stream.pipeline.state.startswith(meanwhile)
        wait_for(lambda: len(stream.sink.pushed) > 5)
        made.let_go()
        stream.comes("h264_nvenc")
        assert stream.longest_wait_s() < LIMIT_S
        assert made.asked == 1


@pytest.mark.parametrize("name", ["nvenc", AUTO])
def test_a_change_to_a_card_does_not_wait_for_its_driver(
    name: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "OPEN_TIMEOUT_S", 5.0)  # as it is
    with faults(at_open="hang") as made:
        stream = watch(small_video("x264"), made)
        stream.comes("libx264")
        stream.change(small_video(name))
        wait_for(lambda: made.hanging)
        before = len(stream.sink.pushed)
        wait_for(lambda: len(stream.sink.pushed) > before + 30)
        assert (stream.pipeline.encoder, stream.pipeline.state) == ("libx264", "running")
        made.let_go()
        stream.comes("h264_nvenc")
        assert stream.longest_wait_s() < 1.0
        assert stream.pipeline.state == "running"


def test_auto_keeps_the_cpus_when_all_drivers_hang(watch: Watch) -> None:
    with faults(at_open="hang") as made:
        stream = watch(small_video("x264"), made)
        stream.comes("libx264")
        stream.change(replace(small_video(AUTO), gop=7))
        wait_for(lambda: made.opened == ["libx264", "libx264"])
        wait_for(lambda: made.hanging == made.asked == 4)
        before = len(stream.sink.pushed)
        wait_for(lambda: len(stream.sink.pushed) > before + 20)
        newest = [unit for unit, _, _ in stream.sink.pushed[before + 1 :]]
        assert any(H264.leading_types(unit) >= KEY for unit in newest), "these are the new settings"
        assert stream.longest_wait_s() < 1.0
        assert stream.pipeline.state == "running"


def test_a_card_that_hangs_when_it_is_opened_anew_is_stood_in_for(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given back first, so there is nothing that could go on."""
    monkeypatch.setattr(fallback, "OPEN_TIMEOUT_S", 5.0)  # as it is
    with faults() as made:
        stream = watch(small_video(), made)
        stream.comes("h264_nvenc")
        made.at_open = "hang"
        stream.change(replace(small_video(), gop=7))
        wait_for(lambda: made.hanging)
        assert made.closed == ["h264_nvenc"]
        wait_for(lambda: stream.pipeline.state.startswith("standby: the driver of the graphics card"))
        wait_for(lambda: stream.shown[-1][2] < len(stream.sink.pushed))
        made.let_go()
        wait_for(lambda: stream.pipeline.state == "running")
        assert stream.longest_wait_s() < LIMIT_S
        assert stream.pipeline.encoder == "h264_nvenc"


def test_a_card_that_is_opened_anew_soon_needs_no_slate(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "OPEN_TIMEOUT_S", 5.0)  # as it is
    with faults() as made:
        stream = watch(small_video(), made)
        stream.comes("h264_nvenc")
        made.at_open = "hang"
        stream.change(replace(small_video(), gop=7))
        wait_for(lambda: made.hanging)
        time.sleep(0.3)
        made.let_go()
        wait_for(lambda: made.opened == ["h264_nvenc", "h264_nvenc"])
        before = len(stream.sink.pushed)
        wait_for(lambda: len(stream.sink.pushed) > before + 2)
        assert [state for _, state, _ in stream.shown if state.startswith("standby")] == []
        assert stream.longest_wait_s() > 0.2


def test_a_driver_that_hangs_for_long_costs_one_thread_and_is_tried_again_when_it_answers(watch: Watch) -> None:
    with faults(at_open="hang") as made:
        stream = watch(small_video(), made)
        wait_for(lambda: "another call of the driver still hangs" in stream.pipeline.state)
        assert (made.asked, driver_threads()) == (1, ["h264_nvenc"])
        made.let_go()
        stream.comes("h264_nvenc")
        assert made.asked == 2
        assert stream.longest_wait_s() < LIMIT_S
