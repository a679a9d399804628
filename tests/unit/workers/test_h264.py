import pytest
from camfleet.workers.h264 import leading_types, parameter_sets, with_parameter_sets

from tests.kit.access_units import PPS, SPS, START, access_unit, key_access_unit

SHORT_START = START[1:]
AUD = b"\x09\xf0"
SEI = b"\x06\x05\x01\x00\x80"


@pytest.mark.parametrize(
    ("unit", "types"),
    [
        (b"", set()),
        (b"\x00\x00\x01", set()),
        (b"no start code", set()),
        (access_unit(1), {1}),
        (key_access_unit(1), {7, 8, 5}),
        (START + AUD + SHORT_START + SPS + START + PPS + START + SEI + SHORT_START + b"\x65\x88", {9, 7, 8, 6, 5}),
        (START + b"\x65\x88" + START + SPS, {5}),  # behind the first slice nobody looks
        (b"\xff" + START + b"\x41\x88", {1}),
    ],
)
def test_types_up_to_the_first_slice(unit: bytes, types: set[int]) -> None:
    assert leading_types(unit) == types


def test_parameter_sets_come_without_start_codes_and_trailing_zeros_sps_first() -> None:
    other = PPS + b"\x01"
    data = START + PPS + b"\x00\x00" + START + SPS + SHORT_START + other + SHORT_START + SEI + START + b"\x65\x88\x84"
    assert parameter_sets(data) == (SPS, PPS, other)
    assert parameter_sets(START + SPS) == (SPS,)
    assert parameter_sets(access_unit(3)) == ()


def test_parameter_sets_are_put_in_front() -> None:
    idr = START + b"\x65\x88\x84"
    assert with_parameter_sets(idr, (SPS, PPS)) == START + SPS + START + PPS + idr


@pytest.mark.parametrize("start", [START, SHORT_START])
def test_a_delimiter_stays_the_first(start: bytes) -> None:
    done = with_parameter_sets(START + AUD + start + b"\x65\x88\x84", (SPS, PPS))
    assert done.startswith(START + AUD)
    assert leading_types(done) == {9, 7, 8, 5}
    assert parameter_sets(done) == (SPS, PPS)
