"""Which encoder a stream gets, and that nobody waits for the driver of a graphics card."""

import threading
import time

import pytest
from camfleet.workers.codecs import BT709, AccessUnit
from camfleet.workers.encoders import AUTO, EncoderError, OpeningEncoder, choose, needs_card, open_encoder, opening
from camfleet.workers.encoders.probing import NO_GPU

from tests.kit.faulty_encoder import (
    FPS,
    Faults,
    FaultyEncoder,
    driver_threads,
    faults,
    open_and_wait,
    run,
    small_video,
)
from tests.kit.wait import wait_for

pytestmark = pytest.mark.usefixtures("card")


@pytest.mark.parametrize("at_open", ["missing", "no session", "hang"])
def test_auto_falls_down_the_list_and_says_why(at_open: str, caplog: pytest.LogCaptureFixture) -> None:
    with faults(at_open=at_open) as made, caplog.at_level("INFO"):
        encoder = open_and_wait(small_video(AUTO), made)
        assert (encoder.name, made.opened) == ("libx264", ["libx264"])
        encoder.close()
    passed = [vars(record)["fields"] for record in caplog.records if record.getMessage() == "encoder_passed_over"]
    assert [fields["encoder"] for fields in passed] == ["h264_nvenc", "h264_qsv", "h264_vaapi", "h264_amf"]
    words = {"missing": "no driver", "no session": "no further encoder session", "hang": "no answer of the driver"}
    assert all(words[at_open] in fields["reason"] for fields in passed)


def test_auto_takes_the_first_that_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "unusable", lambda: {"h264/nvenc": "crashes", "h264/qsv": "no driver"})
    with faults() as made:
        encoder = open_and_wait(small_video(AUTO), made)
        assert made.opened == ["h264_vaapi"]  # what failed its probe is not touched in here
        encoder.close()


def test_a_machine_without_a_card_is_not_worth_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "known", lambda: {backend.key: NO_GPU for backend in choose("h264", AUTO)[:-1]})
    with faults() as made, caplog.at_level("INFO"):
        open_and_wait(small_video(AUTO), made).close()
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
        open_and_wait(small_video(), made)
    assert made.opened == []
    assert [line.getMessage() for line in caplog.records if line.getMessage() == "encoder_passed_over"] == []


def test_for_the_cpu_no_card_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes seconds."""
    monkeypatch.setattr(opening, "known", lambda: pytest.fail("asked"))
    monkeypatch.setattr(opening, "in_turn", lambda _: pytest.fail("probed"))
    open_encoder(small_video("x264")).close()


def test_only_a_named_encoder_of_a_card_is_tried_before_somebody_watches() -> None:
    assert [needs_card(small_video(name)) for name in ("nvenc", "vaapi", "x264", AUTO)] == [
        True, True, False, False,
    ]  # fmt: skip


# ---------------------------------------------------------------- while it opens


def opening_encoder(name: str, made: Faults) -> OpeningEncoder:
    encoder = open_encoder(small_video(name), BT709, made)
    assert isinstance(encoder, OpeningEncoder)
    return encoder


def picture_of(encoder: OpeningEncoder, number: int) -> list[AccessUnit]:
    encoder.opened(number * 1_000_000_000 // FPS)
    return run(encoder, number, 1)


def test_no_further_one_is_opened_while_one_hangs() -> None:
    """Each would leave a thread behind."""
    with faults(at_open="hang") as made:
        for _ in range(3):
            with pytest.raises(EncoderError, match=r"h264_nvenc: (no answer of the driver|another call)"):
                open_and_wait(small_video(), made)
        assert (made.asked, made.hanging) == (1, 1)
        # It hangs with the lock of PyAV's log level: what is asked of the CPU meanwhile does not wait for it for long.
        began = time.monotonic()
        assert run(open_encoder(small_video("x264"), BT709, made), 0, 1)
        assert time.monotonic() - began < 0.5
    wait_for(lambda: not driver_threads())
    open_and_wait(small_video(), Faults()).close()


def test_however_many_give_up_while_it_opens_there_are_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camfleet.workers.encoders.fallback.OPEN_TIMEOUT_S", 30.0)
    with faults(at_open="hang") as made:
        first = opening_encoder("nvenc", made)
        wait_for(lambda: made.hanging)
        first.close()
        before = threading.active_count()
        for _ in range(20):
            opening_encoder("nvenc", made).close()
        assert threading.active_count() == before
    last = open_and_wait(small_video(), made)
    assert made.asked == 2
    wait_for(lambda: made.closed == ["h264_nvenc"], why="what nobody wanted any more has not been given back")
    last.close()


def test_auto_has_the_cpus_after_a_moment_and_keeps_it_when_no_card_comes() -> None:
    with faults(at_open="hang") as made:
        encoder = opening_encoder(AUTO, made)
        first = next(number for number in range(2 * FPS) if picture_of(encoder, number))
        assert first / FPS == pytest.approx(0.75, abs=0.1)
        wait_for(lambda: made.hanging == 4)
        wait_for(lambda: encoder.opened(10**9) is not encoder)
        kept = encoder.opened(10**9)
        assert [unit.key_frame for unit in run(kept, first + 1, 2)] == [False, False]
        assert (kept.name, made.opened) == ("libx264", ["libx264"])
        kept.close()


@pytest.mark.parametrize("name", ["nvenc", AUTO])
def test_what_the_cpu_encodes_goes_on_until_the_card_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camfleet.workers.encoders.fallback.OPEN_TIMEOUT_S", 30.0)
    with faults(at_open="hang") as made:
        before = open_encoder(small_video("x264"), BT709, made)
        units = run(before, 0, 2)
        encoder = open_encoder(small_video(name), BT709, made, before=before)
        assert isinstance(encoder, OpeningEncoder)
        for number in range(2, 2 * FPS):
            units += picture_of(encoder, number)
        assert [unit.key_frame for unit in units] == [True] + (2 * FPS - 1) * [False]
        assert not encoder.set_bitrate(100)
        made.let_go()
        wait_for(lambda: encoder.opened(0) is not encoder)
        card = encoder.opened(0)
        assert [unit.key_frame for unit in run(card, 2 * FPS, 2)] == [True, False]
        assert (card.name, made.opened) == ("h264_nvenc", ["libx264", "h264_nvenc"])
        with pytest.raises(AssertionError):
            run(before, 0, 1)  # is closed
        card.close()


def test_a_card_is_given_back_before_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have but one encoder to give."""
    close, had = FaultyEncoder.close, list[int]()

    def slowly(encoder: FaultyEncoder) -> None:
        time.sleep(0.05)
        close(encoder)

    class OneSession(Faults):
        def hang(self) -> None:
            had.append(len(self.opened) - len(self.closed))

    monkeypatch.setattr(FaultyEncoder, "close", slowly)
    made = OneSession(at_open="hang")
    first = open_and_wait(small_video(), made)
    second = open_encoder(small_video(), BT709, made, before=first)
    assert isinstance(second, OpeningEncoder)
    assert picture_of(second, 0) == []
    wait_for(lambda: second.opened(0) is not second)
    second.opened(0).close()
    assert had == [0, 0]
    wait_for(lambda: len(made.closed) == 2)


def test_finding_out_what_works_here_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    found = threading.Event()

    def unusable() -> dict[str, str]:
        assert found.wait(10.0)
        return {"h264/nvenc": "it crashes", "h264/qsv": "no driver"}

    monkeypatch.setattr(opening, "known", lambda: None)
    monkeypatch.setattr(opening, "unusable", unusable)
    with faults() as made:
        began = time.monotonic()
        encoder = opening_encoder(AUTO, made)
        assert picture_of(encoder, 0) == []
        assert time.monotonic() - began < 1.0
        found.set()
        wait_for(lambda: encoder.opened(0) is not encoder)
        assert encoder.opened(0).name == "h264_vaapi"
        encoder.opened(0).close()


def test_what_is_known_not_to_work_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "known", lambda: {backend.key: "it crashes" for backend in choose("h264", AUTO)[:-1]})
    monkeypatch.setattr(opening, "in_turn", lambda _: pytest.fail("a thread for nothing"))
    with pytest.raises(EncoderError, match="h264_nvenc: it crashes"):
        open_encoder(small_video())
    assert open_encoder(small_video(AUTO)).name == "libx264"


def test_a_driver_that_fails_to_close_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def close(_: FaultyEncoder) -> None:
        raise KeyError(12)

    monkeypatch.setattr(FaultyEncoder, "close", close)
    with faults() as made:
        open_and_wait(small_video(), made).close()
        wait_for(lambda: [line.getMessage() for line in caplog.records] == ["encoder_not_closed"])
