from fractions import Fraction
from math import floor

import pytest
from camfleet.core import clock
from hypothesis import given
from hypothesis import strategies as st

NS = 1_000_000_000
YEAR_1900 = 2_208_988_800  # seconds before Unix time
INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("unix_ns", "ntp"),
    [
        (0, YEAR_1900 << 32),
        (NS // 2, YEAR_1900 << 32 | 1 << 31),
        (-1, (YEAR_1900 - 1) << 32 | 0xFFFFFFFB),
        (NS - 1, YEAR_1900 << 32 | 0xFFFFFFFB),
        (2_085_978_495 * NS, 0xFFFFFFFF << 32),  # 2036-02-07 06:28:15 UTC, the last second of era 0
        (2_085_978_496 * NS, 0),
    ],
)
def test_ntp_known_times(unix_ns: int, ntp: int) -> None:
    assert clock.ntp_from_unix_ns(unix_ns) == ntp
    assert clock.unix_ns_from_ntp(ntp) == unix_ns


@given(INT64)
def test_ntp_is_exact_for_every_int64(unix_ns: int) -> None:
    exact = floor((Fraction(unix_ns, NS) + YEAR_1900) * 2**32)
    assert clock.ntp_from_unix_ns(unix_ns) == exact % 2**64


@given(st.integers(-NS * 61_505_152, NS * 4_233_462_143))  # 1968-01-20 to 2104-02-26, where RFC 4330 3 is unambiguous
def test_ntp_comes_back_to_the_nanosecond(unix_ns: int) -> None:
    assert clock.unix_ns_from_ntp(clock.ntp_from_unix_ns(unix_ns)) == unix_ns


@given(INT64, st.integers(0, 2**32 - 1))
def test_rtp_ticks_are_exact_for_every_int64(capture_ns: int, clock_rate: int) -> None:
    assert clock.rtp_ticks(capture_ns, clock_rate) == floor(Fraction(capture_ns * clock_rate, NS)) % 2**32


def test_rtp_ticks_do_not_drift() -> None:
    """Whole seconds are whole, however many have passed."""
    for second in (0, 1, 86_399, 10**9):
        assert clock.rtp_ticks(second * NS, 90_000) == second * 90_000 % 2**32
