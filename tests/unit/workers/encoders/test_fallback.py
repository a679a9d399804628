"""Encoders of graphics cards that fail in all ways that one can make up."""

import time

import pytest
from camfleet.workers.codecs import CODECS, AccessUnit
from camfleet.workers.encoders import EncoderError, choose
from camfleet.workers.encoders.fallback import FallbackEncoder

from tests.kit.clips import decode, number_of
from tests.kit.faulty_encoder import FPS, faults, open_and_wait, run, small_video
from tests.kit.wait import wait_for

FAULTS = ["raise", "crash", "silent", "hang"]
REASONS = {
    "raise": "h264_nvenc: Generic error in an external library",
    "crash": "h264_nvenc: KeyError: 12",
    "silent": "h264_nvenc: it takes pictures and gives nothing",
    "hang": "h264_nvenc: no answer of the driver within 0.1 s",
}

pytestmark = pytest.mark.usefixtures("card")


def numbers(units: list[AccessUnit], codec: str = "h264") -> list[int]:
    return [number_of(picture) for picture in decode([bytes(unit.data) for unit in units], codec=codec)]


def test_a_card_that_works_is_used_from_one_thread_of_its_own() -> None:
    with faults() as made:
        encoder = open_and_wait(small_video(), made)
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
        encoder = open_and_wait(small_video(codec=codec), made)
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


def test_a_card_that_is_slow_once_is_not_given_up() -> None:
    """It gives nothing for some pictures and then all of them."""
    with faults(at_picture=(5, "silent")) as made:
        encoder = open_and_wait(small_video(), made)
        assert len(run(encoder, 0, 5 + FPS - 1)) == 5
        made.at_picture = (0, "")
        assert len(run(encoder, 5 + FPS - 1, FPS)) == FPS
        assert encoder.name == "h264_nvenc"
        encoder.close()


def test_when_the_cpu_cannot_either_the_feed_hears_of_it() -> None:
    with faults(at_picture=(1, "raise"), cpu=False) as made:
        encoder = open_and_wait(small_video(), made)
        run(encoder, 0, 1)
        with pytest.raises(EncoderError, match="libx264: no memory"):
            run(encoder, 1, 1)
        encoder.close()
