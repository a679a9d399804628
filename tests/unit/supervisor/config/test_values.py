import pytest
from camfleet.supervisor.config.values import Addresses, Region


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
