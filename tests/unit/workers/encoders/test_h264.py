import dataclasses
from fractions import Fraction

import av
import msgspec
import msgspec.inspect
import numpy as np
import pytest
from av.video.frame import PictureType, VideoFrame
from camfleet.core.wire import VideoSpec
from camfleet.supervisor.config.schema import Video
from camfleet.workers.codecs import BT709, H264, Colours
from camfleet.workers.encoders import AUTO, BACKENDS, EncoderError, H264Encoder, choose, h264, open_encoder, probe
from camfleet.workers.encoders.__main__ import main
from camfleet.workers.encoders.backends import Backend

from tests.kit.clips import decode, flat_picture, noise_picture, number_of

X264 = BACKENDS[-1]
VIDEO = VideoSpec(width=160, height=96, fps=30, bitrate_bps=200_000, gop=10, encoder="libx264")


def encode(encoder: H264Encoder, pictures: list[VideoFrame], key: tuple[int, ...] = ()) -> list[bytes]:
    units = []
    for number, picture in enumerate(pictures):
        made = encoder.encode(picture, number, 1000 + number, number in key)
        assert [unit.capture_ns for unit in made] == [1000 + number]  # no delay, no reordering
        units += [bytes(unit.data) for unit in made]
    return units


def test_parameter_sets_are_known_before_the_first_picture_and_stand_before_each_idr() -> None:
    encoder = open_encoder(VIDEO)
    sps, pps = encoder.parameter_sets
    assert (sps[0] & 0x1F, pps[0] & 0x1F) == (7, 8)
    units = encode(encoder, [flat_picture(n, 160, 96) for n in range(25)])
    for number, unit in enumerate(units):
        if number % VIDEO.gop == 0:
            assert H264.leading_types(unit) >= {7, 8, 5}
            assert H264.parameter_sets(unit) == (sps, pps)
        else:
            assert H264.leading_types(unit) == {1}


def test_pictures_come_back_as_they_were() -> None:
    units = encode(open_encoder(VIDEO), [flat_picture(n, 160, 96) for n in range(30)])
    assert [number_of(picture) for picture in decode(units)] == list(range(30))


def test_a_key_frame_is_made_on_exactly_that_picture() -> None:
    units = encode(open_encoder(VIDEO), [flat_picture(n, 160, 96) for n in range(20)], key=(3, 4, 17))
    assert [n for n, unit in enumerate(units) if 5 in H264.leading_types(unit)] == [
        0,
        3,
        4,
        14,
        17,
    ]  # the GOP begins anew


def test_the_type_that_a_decoder_left_on_a_picture_does_not_make_key_frames() -> None:
    pictures = [flat_picture(n, 160, 96) for n in range(8)]
    for picture in pictures:
        picture.pict_type = PictureType.I
    units = encode(open_encoder(VIDEO), pictures)
    assert [5 in H264.leading_types(unit) for unit in units] == [True] + 7 * [False]


def test_the_time_base_that_a_decoder_left_on_a_picture_does_not_matter() -> None:
    pictures = [flat_picture(n, 160, 96) for n in range(5)]
    for picture in pictures:
        picture.time_base, picture.pts = Fraction(1, 90_000), 123_456
    assert len(encode(open_encoder(VIDEO), pictures)) == 5


def test_one_picture_may_be_encoded_again_and_again() -> None:
    units = encode(open_encoder(VIDEO), 5 * [flat_picture(7, 160, 96)])
    assert [number_of(picture) for picture in decode(units)] == 5 * [7]


def test_a_cut_in_the_scene_does_not_move_the_key_frames() -> None:
    """Recorders cut their files at key frames and count on the distance."""
    scenes = np.random.default_rng(1).integers(16, 235, (9, 12, 20), np.uint8)
    pictures = []
    for number in range(60):
        luma = np.kron(scenes[number // 7], np.ones((8, 8), np.uint8))
        pictures.append(VideoFrame.from_ndarray(np.vstack([luma, np.full((48, 160), 128, np.uint8)]), "yuv420p"))
    video = VideoSpec(width=160, height=96, bitrate_bps=1_000_000, gop=50, encoder="libx264")
    units = encode(open_encoder(video), pictures)
    assert [n for n, unit in enumerate(units) if 5 in H264.leading_types(unit)] == [0, 50]


def test_a_buffer_may_be_painted_over_after_the_call() -> None:
    """The test pattern paints all its pictures into one buffer that the encoder sees without a copy."""
    sources = [noise_picture(number, 160, 96).to_ndarray() for number in range(12)]
    buffer = np.empty((144, 160), np.uint8)
    shared, reused, fresh = VideoFrame.from_numpy_buffer(buffer, "yuv420p"), open_encoder(VIDEO), open_encoder(VIDEO)
    kept = []
    for number, source in enumerate(sources):
        buffer[:] = source
        kept += reused.encode(shared, number, number, False)
        buffer[:] = 255
    units = encode(fresh, [VideoFrame.from_ndarray(source, "yuv420p") for source in sources])
    assert [bytes(unit.data) for unit in kept] == units


@pytest.mark.parametrize("bitrate_bps", [150_000, 600_000])
def test_the_bit_rate_is_kept(bitrate_bps: int) -> None:
    video = VideoSpec(width=160, height=96, bitrate_bps=bitrate_bps, gop=30, encoder="libx264")
    units = encode(open_encoder(video), [noise_picture(number, 160, 96) for number in range(150)])
    measured_bps = sum(map(len, units)) * 8 * 30 / 150
    assert 0.9 * bitrate_bps < measured_bps < 1.1 * bitrate_bps


@pytest.mark.parametrize("colours", [BT709, Colours(), Colours(5, 6, 5, 2)])
def test_colours_are_told_in_the_sps(colours: Colours) -> None:
    encoder = open_encoder(VIDEO, colours)
    (picture,) = decode(encode(encoder, [flat_picture(0, 160, 96)]))
    told = Colours(picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range)
    assert told == colours


def test_an_encoder_that_keeps_parameter_sets_to_itself_has_them_put_before_each_idr() -> None:
    """h264_nvenc does so with a global header; libx264 without repeat-headers stands for it."""
    options = {name: value for name, value in X264.options.items() if name != "x264-params"}
    encoder = H264Encoder(VIDEO, dataclasses.replace(X264, options=options))
    units = encode(encoder, [flat_picture(n, 160, 96) for n in range(12)])
    assert [n for n, unit in enumerate(units) if H264.parameter_sets(unit) == encoder.parameter_sets] == [0, 10]
    assert len(decode(units)) == 12


def test_an_option_that_nobody_took_is_an_error() -> None:
    with pytest.raises(EncoderError, match=r"libx264: .*'bogus': '1'"):
        H264Encoder(VIDEO, dataclasses.replace(X264, options={**X264.options, "bogus": "1"}))


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (VideoSpec(width=161, height=96, encoder="libx264"), r"libx264: .*width not divisible by 2 \(161x96\)"),
        (VideoSpec(width=20_000, height=20_000, encoder="libx264"), "libx264: .*20000x20000 is invalid"),
        (VideoSpec(encoder="h264_magic"), "unknown encoder 'h264_magic'; there are auto, h264_nvenc, .*libx264"),
        (VideoSpec(codec="h265"), "'h265' is not supported"),
    ],
)
def test_errors_in_words(video: VideoSpec, words: str) -> None:
    with pytest.raises(EncoderError, match=words):
        open_encoder(video)


def test_auto_tries_in_order_and_takes_the_first_that_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    class Fussy(H264Encoder):
        def __init__(self, video: VideoSpec, backend: Backend, colours: Colours) -> None:
            tried.append(backend.name)
            if backend.name in ("h264_nvenc", "h264_qsv"):
                raise EncoderError("not here")
            super().__init__(video, X264, colours)

    monkeypatch.setattr(h264, "H264Encoder", Fussy)
    open_encoder(VideoSpec(width=160, height=96))
    assert tried == ["h264_nvenc", "h264_qsv", "h264_vaapi"]


def test_a_named_encoder_is_not_replaced() -> None:
    assert [backend.name for backend in choose("h264_qsv")] == ["h264_qsv"]
    assert [backend.name for backend in choose("auto")][-1] == "libx264"


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b.name in av.codecs_available], ids=lambda b: b.name)
def test_every_option_of_an_encoder_in_this_build_exists(backend: Backend) -> None:
    known = av.CodecContext.create(backend.name, "w").supported_options
    assert set(backend.options) <= {option.name for option in known.generic + known.private}


def test_probing_opens_the_encoder() -> None:
    assert probe(X264) == ""
    assert "option rc-lookahead to value many" in probe(dataclasses.replace(X264, options={"rc-lookahead": "many"}))
    assert probe(dataclasses.replace(X264, name="h264_none", missing="not in this build")) == "not in this build"


def test_the_command_says_of_each_encoder_whether_it_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == [backend.name for backend in BACKENDS]
    assert rows[-1].split() == ["libx264", "CPU", "usable"]


def test_the_configuration_offers_what_there_is() -> None:
    """supervisor and workers may not import each other; only here the two lists meet."""
    (field,) = [field for field in msgspec.structs.fields(Video) if field.name == "encoder"]
    offered = msgspec.inspect.type_info(field.type)
    assert isinstance(offered, msgspec.inspect.Metadata)
    assert isinstance(offered.type, msgspec.inspect.LiteralType)
    assert set(offered.type.values) == {AUTO, *(backend.name for backend in BACKENDS)}
