"""When units of a stream that comes in bursts are given away, in virtual time."""

from fractions import Fraction

from camfleet.workers.sources.netlive.pace import MAX_LATE_NS, Pace

MS = 1_000_000


def test_in_the_rhythm_of_the_stream_and_once_late_in_the_same_rhythm_later() -> None:
    pace = Pace(0, Fraction(1, 1000), Fraction(40))
    assert [pace.due_ns(dts, 40, 0) for dts in (5000, 5040, 5080)] == [0, 40 * MS, 80 * MS]
    barely_ns = 120 * MS + MAX_LATE_NS
    assert pace.due_ns(5120, 40, barely_ns) == 120 * MS
    late_ns = 160 * MS + MAX_LATE_NS + 1
    assert pace.due_ns(5160, 40, late_ns) == late_ns
    assert [pace.due_ns(dts, 40, late_ns) for dts in (5200, 5240)] == [late_ns + 40 * MS, late_ns + 80 * MS]
