"""The encoders of the CPU for real; of the others what can be seen without their hardware."""

import dataclasses
from fractions import Fraction
from typing import get_args

import av
import numpy as np
import pytest
from av.video.frame import PictureType, VideoFrame
from camfleet.core.wire import VideoSpec
from camfleet.supervisor.config.video import ENCODERS, PROFILES
from camfleet.supervisor.config.video import Encoder as Offered
from camfleet.workers.codecs import BT709, CODECS, H264, Colours
from camfleet.workers.encoders import AUTO, BACKENDS, Encoder, EncoderError, VideoEncoder, choose, open_encoder
from camfleet.workers.encoders.backends import SOFTWARE, Backend
from msgspec import structs

from tests.kit.clips import decode, flat_picture, noise_picture, number_of

SIZE = (160, 96)
H264_VIDEO = VideoSpec(width=160, height=96, fps=30, bitrate_bps=200_000, gop=10, encoder="x264")
H265_VIDEO = VideoSpec(codec="h265", width=160, height=96, fps=30, bitrate_bps=200_000, gop=10, encoder="x265")
X264 = SOFTWARE["h264"]


@pytest.fixture(params=[H264_VIDEO, H265_VIDEO], ids=lambda video: video.codec)
def video(request: pytest.FixtureRequest) -> VideoSpec:
    assert isinstance(request.param, VideoSpec)
    return request.param


def encode(encoder: VideoEncoder, pictures: list[VideoFrame], key: tuple[int, ...] = ()) -> list[bytes]:
    units = []
    for number, picture in enumerate(pictures):
        made = encoder.encode(picture, number, 1000 + number, number in key)
        assert [unit.capture_ns for unit in made] == [1000 + number]  # no delay, no reordering
        units += [bytes(unit.data) for unit in made]
    return units


def key_frames(video: VideoSpec, units: list[bytes]) -> list[int]:
    codec = CODECS[video.codec]
    return [n for n, unit in enumerate(units) if not codec.key_frames.isdisjoint(codec.leading_types(unit))]


def flat_pictures(count: int) -> list[VideoFrame]:
    return [flat_picture(number, *SIZE) for number in range(count)]


def noise_pictures(count: int) -> list[VideoFrame]:
    return [noise_picture(number, *SIZE) for number in range(count)]


def test_parameter_sets_are_known_before_the_first_picture_and_stand_before_each_key_frame(video: VideoSpec) -> None:
    codec, encoder = CODECS[video.codec], open_encoder(video)
    assert tuple(codec.kind(unit[0]) for unit in encoder.parameter_sets) == codec.parameter_types
    units = encode(encoder, flat_pictures(25))
    assert key_frames(video, units) == [0, 10, 20]
    for number, unit in enumerate(units):
        assert codec.parameter_sets(unit) == (encoder.parameter_sets if number % video.gop == 0 else ())
        if number % video.gop:
            assert codec.leading_types(unit) == {1}  # H.264: a P slice's, H.265: TRAIL_R


def test_key_frames_are_idr_pictures_even_where_h265_has_others(video: VideoSpec) -> None:
    idr = {"h264": {5}, "h265": {19, 20}}[video.codec]
    units = encode(open_encoder(video), noise_pictures(25), key=(4,))
    assert all(CODECS[video.codec].leading_types(units[number]) & idr for number in (0, 4, 14, 24))


def test_pictures_come_back_as_they_were(video: VideoSpec) -> None:
    units = encode(open_encoder(video), flat_pictures(30))
    assert [number_of(picture) for picture in decode(units, codec=video.codec)] == list(range(30))


def test_a_key_frame_is_made_on_exactly_that_picture(video: VideoSpec) -> None:
    units = encode(open_encoder(video), flat_pictures(20), key=(3, 4, 17))
    assert key_frames(video, units) == [0, 3, 4, 14, 17]  # the GOP begins anew


def test_the_type_that_a_decoder_left_on_a_picture_does_not_make_key_frames(video: VideoSpec) -> None:
    pictures = flat_pictures(8)
    for picture in pictures:
        picture.pict_type = PictureType.I
    assert key_frames(video, encode(open_encoder(video), pictures)) == [0]


def test_the_time_base_that_a_decoder_left_on_a_picture_does_not_matter() -> None:
    pictures = flat_pictures(5)
    for picture in pictures:
        picture.time_base, picture.pts = Fraction(1, 90_000), 123_456
    assert len(encode(open_encoder(H264_VIDEO), pictures)) == 5


def test_one_picture_may_be_encoded_again_and_again() -> None:
    units = encode(open_encoder(H264_VIDEO), 5 * [flat_picture(7, *SIZE)])
    assert [number_of(picture) for picture in decode(units)] == 5 * [7]


def test_a_cut_in_the_scene_does_not_move_the_key_frames(video: VideoSpec) -> None:
    """Recorders cut their files at key frames and count on the distance."""
    scenes = np.random.default_rng(1).integers(16, 235, (9, 12, 20), np.uint8)
    pictures = []
    for number in range(60):
        luma = np.kron(scenes[number // 7], np.ones((8, 8), np.uint8))
        pictures.append(VideoFrame.from_ndarray(np.vstack([luma, np.full((48, 160), 128, np.uint8)]), "yuv420p"))
    longer = VideoSpec(codec=video.codec, width=160, height=96, bitrate_bps=1_000_000, gop=50, encoder=video.encoder)
    assert key_frames(video, encode(open_encoder(longer), pictures)) == [0, 50]


def test_a_buffer_may_be_painted_over_after_the_call(video: VideoSpec) -> None:
    """The test pattern paints all its pictures into one buffer that the encoder sees without a copy."""
    sources = [picture.to_ndarray() for picture in noise_pictures(12)]
    buffer = np.empty((144, 160), np.uint8)
    shared, reused, fresh = VideoFrame.from_numpy_buffer(buffer, "yuv420p"), open_encoder(video), open_encoder(video)
    kept = []
    for number, source in enumerate(sources):
        buffer[:] = source
        kept += reused.encode(shared, number, number, False)
        buffer[:] = 255
    units = encode(fresh, [VideoFrame.from_ndarray(source, "yuv420p") for source in sources])
    assert [bytes(unit.data) for unit in kept] == units


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(("rate_control", "tolerance"), [("cbr", 0.1), ("vbr", 0.25)])
@pytest.mark.parametrize("bitrate_bps", [150_000, 600_000])
def test_the_bit_rate_is_kept(video: VideoSpec, bitrate_bps: int, rate_control: str, tolerance: float) -> None:
    """Over five seconds, which is not long for a variable one."""
    spec = VideoSpec(
        codec=video.codec, width=160, height=96, bitrate_bps=bitrate_bps, gop=30, rate_control=rate_control
    )
    units = encode(Encoder(spec, SOFTWARE[video.codec]), noise_pictures(150))
    measured_bps = sum(map(len, units)) * 8 * 30 / 150
    assert measured_bps == pytest.approx(bitrate_bps, rel=tolerance)


def test_a_variable_rate_goes_where_the_pictures_are_hard(video: VideoSpec) -> None:
    """Five quiet seconds, then noise: with a constant rate the first second of it has no more than others."""
    pictures = [flat_picture(7, *SIZE)] * 150 + noise_pictures(30)

    def hard_second_bps(rate_control: str) -> int:
        spec = VideoSpec(
            codec=video.codec, width=160, height=96, bitrate_bps=300_000, gop=600, rate_control=rate_control
        )
        return 8 * sum(map(len, encode(Encoder(spec, SOFTWARE[video.codec]), pictures)[150:]))

    constant, variable = hard_second_bps("cbr"), hard_second_bps("vbr")
    assert constant < 1.6 * 300_000  # the rate and what the buffer of half a second gives
    assert variable > 1.3 * constant


PROFILE_IDC = {"baseline": 66, "main": 77, "high": 100}  # H.264 A.2


@pytest.mark.parametrize("profile", PROFILES["h264"])
def test_profiles_of_h264(profile: str) -> None:
    encoder = open_encoder(VideoSpec(width=160, height=96, encoder="x264", profile=profile))
    assert encoder.parameter_sets[0][1] == PROFILE_IDC[profile]
    assert len(decode(encode(encoder, noise_pictures(3)))) == 3


def test_the_profile_of_h265_is_main() -> None:
    for profile in ("", *PROFILES["h265"]):
        encoder = open_encoder(VideoSpec(codec="h265", width=160, height=96, encoder="x265", profile=profile))
        assert encoder.parameter_sets[1][3] & 0x1F == 1  # general_profile_idc, H.265 7.3.3


def test_threads_of_the_encoder_make_no_delay(video: VideoSpec) -> None:
    spec = VideoSpec(codec=video.codec, width=640, height=360, encoder=video.encoder, threads=2)
    pictures = [noise_picture(number, 640, 360) for number in range(6)]
    units = encode(open_encoder(spec), pictures)  # which asserts that each comes out at once
    assert len(decode(units, codec=video.codec)) == 6


def test_a_preset_that_does_more_makes_other_pictures_at_once_too(video: VideoSpec) -> None:
    sizes = {}
    for preset in ("", "ultrafast", "superfast", "medium"):
        units = encode(open_encoder(structs.replace(video, preset=preset, bitrate_bps=2_000_000)), noise_pictures(12))
        assert len(decode(units, codec=video.codec)) == 12
        assert key_frames(video, units) == [0, 10]
        sizes[preset] = tuple(map(len, units))
    assert sizes[""] == sizes["superfast" if video.codec == "h264" else "ultrafast"]
    assert len({sizes["ultrafast"], sizes["superfast"], sizes["medium"]}) == 3


@pytest.mark.parametrize("colours", [BT709, Colours(), Colours(5, 6, 5, 2)])
def test_colours_are_told_in_the_sps(video: VideoSpec, colours: Colours) -> None:
    encoder = open_encoder(video, colours)
    (picture,) = decode(encode(encoder, flat_pictures(1)), codec=video.codec)
    told = Colours(picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range)
    if video.codec == "h265" and not colours.range:
        colours = colours._replace(range=1)  # what it means when it is not told
    assert told == colours


def test_x265_writes_nothing_to_stderr_and_nothing_about_itself(capfd: pytest.CaptureFixture[str]) -> None:
    encoder = open_encoder(H265_VIDEO)
    (first, *_) = encode(encoder, noise_pictures(3))
    encoder.close()
    assert capfd.readouterr() == ("", "")
    assert b"x265" not in first


# ---------------------------------------------------------------- what does not work


def test_an_encoder_that_keeps_parameter_sets_to_itself_has_them_put_before_each_idr() -> None:
    """h264_nvenc does so with a global header; libx264 without repeat-headers stands for it."""

    def options(video: VideoSpec) -> dict[str, str]:
        return {name: value for name, value in X264.options(video).items() if name != "x264-params"}

    encoder = Encoder(H264_VIDEO, dataclasses.replace(X264, options=options))
    units = encode(encoder, flat_pictures(12))
    assert [n for n, unit in enumerate(units) if H264.parameter_sets(unit) == encoder.parameter_sets] == [0, 10]
    assert len(decode(units)) == 12


def test_an_option_that_nobody_took_is_an_error() -> None:
    with pytest.raises(EncoderError, match=r"libx264: .*'bogus': '1'"):
        Encoder(H264_VIDEO, dataclasses.replace(X264, options=lambda video: {**X264.options(video), "bogus": "1"}))


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (VideoSpec(width=161, height=96, encoder="x264"), r"libx264: .*width not divisible by 2 \(161x96\)"),
        (VideoSpec(width=20_000, height=20_000, encoder="x264"), "libx264: .*20000x20000 is invalid"),
        (VideoSpec(encoder="magic"), "no encoder 'magic' for h264; there are auto, nvenc, .*x264"),
        (VideoSpec(codec="h265", encoder="x264"), "no encoder 'x264' for h265; there are auto, .*x265"),
        (VideoSpec(codec="vp9"), "unknown codec 'vp9'; there are h264, h265"),
        (VideoSpec(codec="h265", profile="high", encoder="x265"), "libx265: no profile 'high'; there are main"),
    ],
)
def test_errors_in_words(video: VideoSpec, words: str) -> None:
    with pytest.raises(EncoderError, match=words):
        open_encoder(video)


def test_a_closed_encoder_may_be_closed_again(video: VideoSpec) -> None:
    encoder = open_encoder(video)
    encoder.close()
    encoder.close()
    assert not encoder.set_bitrate(1000)


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b.ffmpeg in av.codecs_available], ids=lambda b: b.ffmpeg)
def test_every_option_of_an_encoder_in_this_build_exists(backend: Backend) -> None:
    context = av.CodecContext.create(backend.ffmpeg, "w")
    assert isinstance(context, av.VideoCodecContext)
    known = context.supported_options
    for rate_control in ("cbr", "vbr"):
        options = backend.options(VideoSpec(codec=backend.codec.name, rate_control=rate_control))
        assert set(options) <= {option.name for option in known.generic + known.private}
        for option in known.private:
            if option.choices and option.name in options:
                assert options[option.name] in {choice.name for choice in option.choices}
    profiles = [
        {choice.name for choice in option.choices or ()} for option in known.private if option.name == "profile"
    ]
    if profiles[0]:  # x264 and x265 take any text
        assert set(backend.profiles.values()) <= profiles[0]
    assert context.codec.video_formats is not None
    assert backend.pixel_format in {form.name for form in context.codec.video_formats}


def test_the_configuration_offers_what_there_is() -> None:
    """supervisor and workers may not import each other; only here the two lists meet."""
    for codec in CODECS:
        here = {backend.name: backend.ffmpeg for backend in BACKENDS if backend.codec.name == codec}
        assert ENCODERS[codec] == here
        assert all(set(backend.profiles) == set(PROFILES[codec]) for backend in choose(codec, AUTO))
    assert set(get_args(Offered)) == {AUTO, *(name for backend in BACKENDS for name in (backend.name, backend.ffmpeg))}


def test_the_cpu_comes_last() -> None:
    for codec in CODECS:
        *others, last = choose(codec, AUTO)
        assert last == SOFTWARE[codec]
        assert all(backend.nodes for backend in others)
