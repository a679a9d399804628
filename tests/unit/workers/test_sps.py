"""Sizes and rates as FFmpeg's encoders write them, and what must not be believed."""

from fractions import Fraction

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from camfleet.core.rtp.annexb import nal_units
from camfleet.workers.sps import PictureFormat, picture_format

from tests.kit.clips import flat_picture

H264_SPS, H265_SPS = 7, 33


def first_unit(codec: str, width: int, height: int, fps: Fraction, options: dict[str, str]) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base = fps, 1 / fps
    encoder.options = options
    picture = flat_picture(0, width, height)
    picture.pts, picture.time_base = 0, 1 / fps
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


@pytest.mark.parametrize("options", [{"profile": "baseline"}, {"profile": "high"}, {"x264-params": "interlaced=1"}])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (160, 92), (640, 360), (1920, 1080), (354, 292)])
def test_h264(width: int, height: int, options: dict[str, str]) -> None:
    data = first_unit("libx264", width, height, Fraction(30000, 1001), options)
    (sps,) = (unit for unit in nal_units(data) if unit[0] & 31 == H264_SPS)
    found = picture_format("h264", sps)
    assert found[:2] == (width, height)
    assert found.fps == pytest.approx(29.97, abs=0.01)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (160, 90), (1280, 720), (1920, 1080)])
def test_h265(width: int, height: int) -> None:
    quiet = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}
    data = first_unit("libx265", width, height, Fraction(25), quiet)
    (sps,) = (unit for unit in nal_units(data) if unit[0] >> 1 & 63 == H265_SPS)
    assert picture_format("h265", sps) == PictureFormat(width, height, 0.0)


def golomb(value: int) -> str:
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def h264_sps(profile: int, fields: str) -> bytes:
    """`fields`: bits behind the level."""
    bits = f"{0x67:08b}{profile:08b}{0:08b}{40:08b}" + golomb(0) + fields + "1"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def size(width_mbs: int, height_mbs: int) -> str:
    return golomb(0) + golomb(2) + golomb(1) + "0" + golomb(width_mbs - 1) + golomb(height_mbs - 1) + "11"


def test_a_picture_of_100000_by_100000_is_told_as_it_is() -> None:
    assert picture_format("h264", h264_sps(66, size(6250, 6250) + "00")) == PictureFormat(100_000, 100_000, 0.0)


@pytest.mark.parametrize("crop", [golomb(0) + golomb(8) + golomb(0) * 2, golomb(2**31) * 2 + golomb(0) * 2])
def test_a_picture_that_is_cropped_away(crop: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        picture_format("h264", h264_sps(66, size(1, 1) + "1" + crop + "0"))


def test_what_ends_early_or_has_no_end() -> None:
    whole = h264_sps(100, golomb(1) + golomb(0) * 2 + "0" + "1" + "10000000" * 8 + size(10, 6) + "00")
    for end in range(5, len(whole) - 1):
        with pytest.raises(ValueError, match=r"too early|32 bits"):
            picture_format("h264", whole[:end])
    with pytest.raises(ValueError, match="32 bits"):
        picture_format("h264", b"\x67\x42\x00\x28" + bytes(100))
    with pytest.raises(ValueError, match="5000 bytes"):
        picture_format("h264", b"\x67" * 5000)
    with pytest.raises(ValueError, match="at most 255"):
        picture_format("h264", h264_sps(66, golomb(0) + golomb(1) + "0" + golomb(0) * 2 + golomb(2**20)))
    for codec in ("h264", "h265"):
        with pytest.raises(ValueError, match="too early"):
            picture_format(codec, b"")


def test_rates_that_nobody_films_at_are_not_told() -> None:
    vui = "1" + "0000" + "1"
    for units, scale, fps in ((1, 50, 25.0), (0, 50, 0.0), (1, 2**32 - 1, 0.0), (2**32 - 1, 1, 0.0)):
        sps = h264_sps(66, size(1, 1) + "0" + vui + f"{units:032b}{scale:032b}")
        assert picture_format("h264", _escaped(sps)).fps == fps


def _escaped(unit: bytes) -> bytes:
    """With emulation prevention (7.4.1)."""
    out = bytearray()
    for byte in unit:
        if byte <= 3 and out[-2:] == b"\0\0":
            out.append(3)
        out.append(byte)
    return bytes(out)
