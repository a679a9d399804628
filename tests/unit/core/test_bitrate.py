import pytest
from camfleet.core.bitrate import Bitrate
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("raw", "bits_per_s"),
    [
        (2_000_000, 2_000_000),
        ("2M", 2_000_000),
        ("1.5M", 1_500_000),
        ("500k", 500_000),
        ("16000", 16_000),
        ("0.064M", 64_000),
    ],
)
def test_bitrate(raw: object, bits_per_s: int) -> None:
    assert Bitrate.parse(raw) == bits_per_s


@given(st.integers(Bitrate.MIN, Bitrate.MAX))
def test_a_bitrate_reads_back_as_written(bits_per_s: int) -> None:
    assert Bitrate.parse(str(Bitrate(bits_per_s))) == bits_per_s
