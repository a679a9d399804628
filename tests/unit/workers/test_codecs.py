import pytest
from camfleet.workers.codecs import CODECS, H264, H265, Codec, cut_here

from tests.kit import access_units as units
from tests.kit.access_units import H265_PPS, H265_SPS, H265_VPS, PPS, SPS, START, access_unit, key_access_unit

SHORT_START = START[1:]
AUD = b"\x09\xf0"
SEI = b"\x06\x05\x01\x00\x80"
H265_AUD, H265_SEI = b"\x46\x01\x50", b"\x4e\x01\x05\x01\x00\x80"
H265_SETS = b"".join(START + unit for unit in (H265_VPS, H265_SPS, H265_PPS))


@pytest.mark.parametrize(
    ("codec", "unit", "types"),
    [
        (H264, b"", set()),
        (H264, b"\x00\x00\x01", set()),
        (H264, b"no start code", set()),
        (H264, access_unit(1), {1}),
        (H264, key_access_unit(1), {7, 8, 5}),
        (
            H264,
            START + AUD + SHORT_START + SPS + START + PPS + START + SEI + SHORT_START + b"\x65\x88",
            {9, 7, 8, 6, 5},
        ),
        (H264, START + b"\x65\x88" + START + SPS, {5}),  # behind the first slice nobody looks
        (H264, b"\xff" + START + b"\x41\x88", {1}),
        (H265, units.h265_access_unit(1), {1}),
        (H265, units.h265_key_access_unit(1), {32, 33, 34, 19}),
        (H265, START + H265_AUD + H265_SETS + START + H265_SEI + START + b"\x2a\x01", {35, 32, 33, 34, 39, 21}),
        (H265, START + b"\x10\x01" + START + H265_VPS, {8}),  # RASL_N
        (H265, START + H265_SEI, {39}),
    ],
)
def test_types_up_to_the_first_slice(codec: Codec, unit: bytes, types: set[int]) -> None:
    assert codec.leading_types(unit) == types


def test_parameter_sets_come_without_start_codes_and_trailing_zeros_sps_first() -> None:
    other = PPS + b"\x01"
    data = START + PPS + b"\x00\x00" + START + SPS + SHORT_START + other + SHORT_START + SEI + START + b"\x65\x88\x84"
    assert H264.parameter_sets(data) == (SPS, PPS, other)
    assert H264.parameter_sets(START + SPS) == (SPS,)
    assert H264.parameter_sets(access_unit(3)) == ()
    mixed = START + H265_PPS + START + H265_SPS + b"\x00" + START + H265_SEI + SHORT_START + H265_VPS
    assert H265.parameter_sets(mixed) == (H265_VPS, H265_SPS, H265_PPS)


def test_parameter_sets_are_put_in_front() -> None:
    idr = START + b"\x65\x88\x84"
    assert H264.with_parameter_sets(idr, (SPS, PPS)) == START + SPS + START + PPS + idr


@pytest.mark.parametrize("start", [START, SHORT_START])
def test_a_delimiter_stays_the_first(start: bytes) -> None:
    done = H264.with_parameter_sets(START + AUD + start + b"\x65\x88\x84", (SPS, PPS))
    assert done.startswith(START + AUD)
    assert H264.leading_types(done) == {9, 7, 8, 5}
    assert H264.parameter_sets(done) == (SPS, PPS)
    done = H265.with_parameter_sets(START + H265_AUD + start + b"\x26\x01\xaf", (H265_VPS, H265_SPS, H265_PPS))
    assert done.startswith(START + H265_AUD)
    assert H265.leading_types(done) == {35, 32, 33, 34, 19}


def test_after_a_cut_a_cra_picture_is_a_bla_picture() -> None:
    """All slices of it, and nothing else: layer and TID stay (here 33 and 3), and so do other pictures."""
    cra, bla = b"\x2b\x0b", b"\x21\x0b"
    picture = H265_SETS + START + cra + b"\xaf\x2a\x01" + SHORT_START + cra + b"\x2a"
    assert cut_here(picture) == picture.replace(cra, bla)
    assert not H265.key_frames.isdisjoint(H265.leading_types(cut_here(picture)))
    for other in (units.h265_key_access_unit(1), units.h265_access_unit(1), b""):
        assert cut_here(other) == other


def test_names_are_those_of_the_settings() -> None:
    assert CODECS == {"h264": H264, "h265": H265}
