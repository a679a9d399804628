import pytest
from camfleet.core.rtp import annexb

from tests.reference import rtp

SPS, PPS, IDR = b"\x67\x42\xc0\x1f", b"\x68\xce", b"\x65\x88\x84"


@pytest.mark.parametrize(
    ("access_unit", "units"),
    [
        (b"\0\0\1\x65", [b"\x65"]),
        (b"\0\0\0\1\x65", [b"\x65"]),
        (b"\0\0\0\0\0\0\1\x65", [b"\x65"]),
        (b"\0\0\1\x67\0\0\1\x68\0\0\0\1\x65", [b"\x67", b"\x68", b"\x65"]),
        (b"\0\0\1\x65\0\0\0\0\0\0\1\x41\0\0\0", [b"\x65", b"\x41"]),
        (b"\0\0\1\0\0\1\x65\0\0\1", [b"\x65"]),
        (b"\0\0\1\x65\0\0\3\0\0\3\1\0\1\0\0\2\0\0", [b"\x65\0\0\3\0\0\3\1\0\1\0\0\2"]),
        (b"\0\0\1\x65\1\1\0\1\1\0\0\1\x41", [b"\x65\1\1\0\1\1", b"\x41"]),
        (b"\0\0\1", []),
        (b"\0\0\0\1\0\0\0", []),
    ],
)
def test_nal_units(access_unit: bytes, units: list[bytes]) -> None:
    assert annexb.nal_units(access_unit) == units
    assert rtp.nal_units(access_unit) == units


@pytest.mark.parametrize(
    "access_unit",
    [b"", b"\0", b"\0\0", b"\1", b"\0\0\0", b"\x65", b"\x65\0\0\1\x65", b"\0\0\0\2\x65\x88", b"\0\1\0\0\1"],
)
def test_no_start_code_first(access_unit: bytes) -> None:
    with pytest.raises(ValueError, match="start code"):
        annexb.nal_units(access_unit)


@pytest.mark.parametrize("size", range(1, 70))
def test_a_start_code_at_every_place(size: int) -> None:
    """No alignment of libc's vector code may hide one, nor may bytes behind the end be looked at."""
    for value in (b"\1", b"\2", b"\xff"):
        data = b"\0\0\1" + value * size + b"\0\0\1" + value
        assert annexb.nal_units(data) == [value * size, value]
        assert annexb.nal_units(memoryview(data)[:-1]) == [value * size]
        assert annexb.nal_units(memoryview(data)[:-2]) == [value * size]
