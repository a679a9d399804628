from itertools import pairwise
from random import Random

from camfleet.workers.sources.pace import SLACK_NS, Pace

MS = 1_000_000
FRAME_NS = 33_333_333
START_NS = 5_000 * MS


class Simulation:
    """A user who asks at each of his frames, and a capture."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._now_ns = START_NS
        self._asked_ns = START_NS - FRAME_NS

    def run(self, pictures: int, *, took_ns: int = 2 * MS, cap_ns: int = 0) -> list[float]:
        """When each picture was begun, in frames since the start."""
        begun = []
        for _ in range(pictures):
            begin_ns = self.pace.begin_ns(self._asked_ns, FRAME_NS, cap_ns)
            while self._asked_ns + FRAME_NS <= max(begin_ns, self._now_ns):
                self._asked_ns += FRAME_NS
                begin_ns = self.pace.begin_ns(self._asked_ns, FRAME_NS, cap_ns)
            self._now_ns = max(begin_ns, self._now_ns)
            begun.append((self._now_ns - START_NS) / FRAME_NS)
            self._now_ns += took_ns
            self.pace.made(took_ns)
        return begun


def test_each_frame_has_a_picture_that_was_begun_just_before_it() -> None:
    begun = Simulation().run(100)
    assert [round(at) for at in begun] == list(range(100))
    early = [(n - at) * FRAME_NS for n, at in enumerate(begun)]
    assert early[0] == 0  # nobody waits before the first one
    assert {round(by_ns, -5) for by_ns in early[40:]} == {2 * MS + SLACK_NS}


def test_a_cap_leaves_frames_out_evenly() -> None:
    begun = Simulation().run(100, cap_ns=90 * MS)
    assert {round(b - a) for a, b in pairwise(begun)} == {3}


def test_pictures_whose_time_varies_are_rarely_late() -> None:
    simulation, random = Simulation(), Random(1)
    late = 0
    for frame in range(1000):
        took_ns = round(random.gauss(6 * MS, 1 * MS))
        (at,) = simulation.run(1, took_ns=took_ns)
        late += frame > 20 and (round(at) - at) * FRAME_NS < took_ns
    assert late < 10


def test_pictures_that_take_longer_than_a_frame_are_made_one_after_the_other() -> None:
    begun = Simulation().run(30, took_ns=40 * MS)
    assert {round((later - earlier) * FRAME_NS / MS) for earlier, later in pairwise(begun)} == {40}


def test_it_goes_on_in_the_rhythm_of_a_user_who_asks_no_more() -> None:
    pace = Pace()
    pace.begin_ns(START_NS, FRAME_NS)
    pace.made(MS)
    begun = []
    for _ in range(10):
        begun.append(pace.begin_ns(START_NS, FRAME_NS))
        pace.made(MS)
    assert [round((began_ns - START_NS) / FRAME_NS) for began_ns in begun] == list(range(1, 11))


def test_in_step_with_another_user_nothing_is_made_twice() -> None:
    """The one who set the pace has left; the frames of the next are 10 ms later."""
    pace = Pace()
    pace.begin_ns(START_NS, FRAME_NS)
    pace.made(MS)
    begin_ns = pace.begin_ns(START_NS + 10 * MS, FRAME_NS)
    assert round((begin_ns - START_NS) / MS, 1) == 36.5  # 10 + 33.3 - 6.9
