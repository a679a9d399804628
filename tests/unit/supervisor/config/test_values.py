import pytest
from camfleet.supervisor.config.values import Addresses, Bitrate, Region
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


@pytest.mark.parametrize(
    ("raw", "addresses"),
    [
        ("::", ("::",)),
        (["0.0.0.0", "2001:DB8:0::1"], ("0.0.0.0", "2001:db8::1")),
        ("fe80::1%eth0", ("fe80::1%eth0",)),
    ],
)
def test_addresses(raw: object, addresses: tuple[str, ...]) -> None:
    assert Addresses.parse(raw) == addresses


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("1280x720+100+50", (1280, 720, 100, 50)),
        ("2x2", (2, 2, 0, 0)),
        ("32767x32767+0+32767", (32767, 32767, 0, 32767)),
    ],
)
def test_a_region(raw: str, region: tuple[int, ...]) -> None:
    assert Region.parse(raw) == region


@pytest.mark.parametrize(
    "raw",
    ["", "1280", "1280x720+100", "1280x720-100+50", "1x720", "1280x1", "0x0", "32768x720", "1280x720+0+32768",
     "1280 x 720", "1280x720+100+50\n", "\N{ARABIC-INDIC DIGIT TWO}x2", 5, None, [1280, 720]],
)  # fmt: skip
def test_no_region(raw: object) -> None:
    with pytest.raises(ValueError, match=r"region|range"):
        Region.parse(raw)
