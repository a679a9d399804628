"""Encoders of graphics cards that fail in all ways that one can make up, and the stream that goes on."""

import threading
import time
from collections.abc import Iterator

import pytest
from camfleet.core.ring.stream import MediaStream
from camfleet.core.wire import StreamSpec, TestLive, VideoSpec
from camfleet.workers import feed
from camfleet.workers.codecs import BT709, CODECS, AccessUnit, Description
from camfleet.workers.encoders import AUTO, EncoderError, VideoEncoder, choose, fallback, open_encoder, opening
from camfleet.workers.encoders.fallback import FallbackEncoder
from camfleet.workers.encoders.probing import NO_GPU
from camfleet.workers.pipeline import StreamPipeline

from tests.kit.clips import decode, flat_picture, number_of
from tests.kit.faulty_encoder import Faults, FaultyEncoder, faults
from tests.kit.wait import wait_for

FPS = 30
FAULTS = ["raise", "crash", "silent", "hang"]
REASONS = {
    "raise": "h264_nvenc: Generic error in an external library",
    "crash": "h264_nvenc: KeyError: 12",
    "silent": "h264_nvenc: it takes pictures and gives nothing",
    "hang": "h264_nvenc: no answer of the driver within 0.1 s",
}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fallback, "HANG_TIMEOUT_S", 0.1)
    monkeypatch.setattr(fallback, "OPEN_TIMEOUT_S", 0.1)
    yield
    wait_for(lambda: not fallback._hanging, why="a hanging call has not come back")
    wait_for(lambda: not helpers(), why="a thread is left")


@pytest.fixture(autouse=True)
def _a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """That passed its probe."""
    monkeypatch.setattr(opening, "unusable", dict)


def video(encoder: str = "nvenc", codec: str = "h264") -> VideoSpec:
    return VideoSpec(codec=codec, width=160, height=96, fps=FPS, bitrate_bps=300_000, gop=300, encoder=encoder)


def run(encoder: VideoEncoder, first: int, count: int) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    for number in range(first, first + count):
        units += encoder.encode(flat_picture(number, 160, 96), number, number * 1_000_000_000 // FPS, False)
    return units


def helpers() -> list[str]:
    """Threads that call drivers."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("h264_", "hevc_"))]


def numbers(units: list[AccessUnit], codec: str = "h264") -> list[int]:
    return [number_of(picture) for picture in decode([bytes(unit.data) for unit in units], codec=codec)]


def test_a_card_that_works_is_used_from_one_thread_of_its_own() -> None:
    with faults() as made:
        encoder = open_encoder(video(), BT709, made)
        assert isinstance(encoder, FallbackEncoder)
        units = run(encoder, 0, 30)
        assert numbers(units) == list(range(30))
        assert [unit.key_frame for unit in units] == [True] + 29 * [False]
        assert (encoder.name, made.opened, made.threads) == ("h264_nvenc", ["h264_nvenc"], {"h264_nvenc"})
        assert not encoder.set_bitrate(100)
        encoder.close()
        wait_for(lambda: made.closed == ["h264_nvenc"])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("how", FAULTS)
def test_the_next_picture_is_a_key_frame_of_the_cpu(how: str, codec: str, caplog: pytest.LogCaptureFixture) -> None:
    software, hardware = {"h264": "libx264", "h265": "libx265"}[codec], choose(codec, "nvenc")[0].ffmpeg
    with faults(at_picture=(12, how)) as made:
        encoder = open_encoder(video(codec=codec), BT709, made)
        before = run(encoder, 0, 12)
        began = time.monotonic()
        after = run(encoder, 12, 45)
        assert time.monotonic() - began < 1.5
        reason = REASONS[how].replace("h264_nvenc", hardware)
        assert encoder.name == f"{software} ({reason})"
        assert made.opened[-1] == software
        assert [unit.key_frame for unit in after] == [True] + (len(after) - 1) * [False]
        assert CODECS[codec].parameter_sets(bytes(after[0].data)) == encoder.parameter_sets
        missed = 45 - len(after)  # what the card has swallowed in silence; otherwise nothing is lost
        assert missed == (30 if how == "silent" else 0)
        assert numbers(before + after, codec) == [*range(12), *(n % 50 for n in range(12 + missed, 57))]
        assert encoder.set_bitrate(200_000) == (codec == "h264")  # x264 follows
        encoder.close()
        encoder.close()
    (told,) = [vars(line)["fields"] for line in caplog.records if line.getMessage() == "encoder_failed"]
    assert told == {"encoder": hardware, "reason": reason, "instead": software}
    wait_for(lambda: made.closed == [hardware], why="the card has not been given back")


def test_a_driver_that_fails_to_close_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def close(_: FaultyEncoder) -> None:
        raise KeyError(12)

    monkeypatch.setattr(FaultyEncoder, "close", close)
    with faults() as made:
        open_encoder(video(), BT709, made).close()
        wait_for(lambda: not helpers())
    assert [line.getMessage() for line in caplog.records] == ["encoder_not_closed"]


def test_a_card_that_is_slow_once_is_not_given_up() -> None:
    """It gives nothing for some pictures and then all of them."""
    with faults(at_picture=(5, "silent")) as made:
        encoder = open_encoder(video(), BT709, made)
        assert len(run(encoder, 0, 5 + FPS - 1)) == 5
        made.at_picture = (0, "")
        assert len(run(encoder, 5 + FPS - 1, FPS)) == FPS
        assert encoder.name == "h264_nvenc"
        encoder.close()


def test_no_further_call_is_made_while_one_hangs() -> None:
    """Each would leave a thread behind."""
    with faults(at_open="hang") as made:
        for _ in range(3):
            with pytest.raises(EncoderError, match=r"h264_nvenc: (no answer of the driver|another call)"):
                open_encoder(video(), BT709, made)
        assert (made.asked, made.hanging) == (1, 1)
        # It hangs with the lock of PyAV's log level: what is asked of the CPU meanwhile does not wait for it for long.
        began = time.monotonic()
        assert run(open_encoder(video("x264"), BT709, made), 0, 1)
        assert time.monotonic() - began < 2.0
    wait_for(lambda: not fallback._hanging)
    open_encoder(video(), BT709, Faults()).close()


def test_when_the_cpu_cannot_either_the_feed_hears_of_it() -> None:
    with faults(at_picture=(1, "raise"), cpu=False) as made:
        encoder = open_encoder(video(), BT709, made)
        run(encoder, 0, 1)
        with pytest.raises(EncoderError, match="libx264: no memory"):
            run(encoder, 1, 1)
        encoder.close()


# ---------------------------------------------------------------- the choice


@pytest.mark.parametrize("at_open", ["missing", "no session", "hang"])
def test_auto_falls_down_the_list_and_says_why(at_open: str, caplog: pytest.LogCaptureFixture) -> None:
    with faults(at_open=at_open) as made, caplog.at_level("INFO"):
        encoder = open_encoder(video(AUTO), BT709, made)
        assert (encoder.name, made.opened) == ("libx264", ["libx264"])
        encoder.close()
    passed = [vars(record)["fields"] for record in caplog.records if record.getMessage() == "encoder_passed_over"]
    assert [fields["encoder"] for fields in passed] == ["h264_nvenc", "h264_qsv", "h264_vaapi", "h264_amf"]
    words = {"missing": "no driver", "no session": "no further encoder session", "hang": "no answer of the driver"}
    assert all(words[at_open] in fields["reason"] for fields in passed)


def test_auto_takes_the_first_that_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "unusable", lambda: {"h264/nvenc": "crashes", "h264/qsv": "no driver"})
    with faults() as made:
        encoder = open_encoder(video(AUTO), BT709, made)
        assert made.opened == ["h264_vaapi"]  # what failed its probe is not touched in here
        encoder.close()


def test_a_machine_without_a_card_is_not_worth_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "unusable", lambda: {backend.key: NO_GPU for backend in choose("h264", AUTO)[:-1]})
    with faults() as made, caplog.at_level("INFO"):
        open_encoder(video(AUTO), BT709, made).close()
        assert made.opened == ["libx264"]
    assert caplog.records == []


@pytest.mark.parametrize("known", [{}, {"h264/nvenc": "no NVIDIA driver on this machine"}])
def test_a_named_encoder_is_not_replaced_when_it_cannot_be_had(
    known: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "unusable", lambda: known)
    with (
        faults(at_open="missing") as made,
        caplog.at_level("INFO"),
        pytest.raises(EncoderError, match=r"h264_nvenc: no (NVIDIA )?driver"),
    ):
        open_encoder(video(), BT709, made)
    assert made.opened == []
    assert [line.getMessage() for line in caplog.records if line.getMessage() == "encoder_passed_over"] == []


def test_for_the_cpu_no_card_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes seconds."""
    monkeypatch.setattr(opening, "unusable", lambda: pytest.fail("probed"))
    open_encoder(video("x264")).close()


def test_only_a_named_encoder_of_a_card_is_tried_before_somebody_watches() -> None:
    assert [opening.is_checked_at_start(video(name)) for name in ("nvenc", "vaapi", "x264", AUTO)] == [
        True, True, False, False,
    ]  # fmt: skip


# ---------------------------------------------------------------- the stream


@pytest.mark.parametrize("how", FAULTS)
def test_a_stream_goes_on_within_two_seconds(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same MediaStream, so the same readers; the first picture of the CPU is a key frame, for joiners too."""
    monkeypatch.setattr(fallback, "HANG_TIMEOUT_S", 1.0)  # as it is
    media = MediaStream(ntp_offset_ns=0, cname=b"ipc1")
    spec = StreamSpec(id="stream1", source=TestLive(), video=video())
    with faults(at_picture=(10, how)) as made:
        monkeypatch.setattr(feed, "open_encoder", lambda video, colours: open_encoder(video, colours, made))
        told: list[tuple[str, Description | None]] = []
        pipeline = StreamPipeline(
            spec,
            media,
            title="ipc1-stream1",
            unix_offset_ns=0,
            changed=lambda: told.append((pipeline.encoder, pipeline.description)),
        )
        pipeline.want()
        try:
            wait_for(lambda: media.counters().frames >= 10)
            began = time.monotonic()
            wait_for(lambda: media.counters().frames >= 12)
            assert time.monotonic() - began < 2.0
            assert media.counters().key_frames == 2
            assert (pipeline.state, made.opened) == ("running", ["h264_nvenc", "libx264"])
            assert pipeline.encoder.startswith("libx264 (h264_nvenc: ")
            # The next DESCRIBE tells the parameter sets of the CPU's.
            assert [encoder for encoder, _ in told][-1] == pipeline.encoder
            assert told[0][0] == "h264_nvenc"
            assert told[-1][1] is not told[0][1] is not None
        finally:
            pipeline.stop()
            assert pipeline.join(2.0)


def test_a_named_encoder_that_cannot_be_had_is_a_state_of_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    media = MediaStream(ntp_offset_ns=0, cname=b"ipc1")
    with faults(at_open="no session") as made:
        monkeypatch.setattr(feed, "open_encoder", lambda video, colours: open_encoder(video, colours, made))
        spec = StreamSpec(id="stream1", source=TestLive(), video=video())
        pipeline = StreamPipeline(spec, media, title="ipc1-stream1", unix_offset_ns=0)
        pipeline.want()
        pipeline.unwant()
        wait_for(
            lambda: pipeline.state.startswith("failed: h264_nvenc: the NVIDIA GPU opens no further encoder session")
        )
        pipeline.stop()
        assert pipeline.join(2.0)
