"""How many readers a server holds: what the runs say, and which count to try next."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .runs import Case, Run

NEAR = 1.13  # between the counts that are held and not: nearer is not worth a run
FULL = 0.9  # of a core, the server's or the client's


class Limit(NamedTuple):
    """Of one server and transport. `missed` is the smallest count above `held` that is not held, `client` the smallest
    one at which the load tool was the limit; 0: none is known."""

    held: int
    missed: int
    reason: str
    client: int


def like(runs: Sequence[Run], case: Case) -> list[Run]:
    """The runs that differ from this case in the number of readers at most."""
    kind = case.server, case.tls, case.cameras
    return [run for run in runs if (run.case.server, run.case.tls, run.case.cameras) == kind]


def limit(runs: Sequence[Run]) -> Limit:
    """A count is held when more of its runs count than do not. All runs are of one server and transport."""
    judged = [run for run in runs if not run.spoiled]
    votes: dict[int, int] = {}
    for run in judged:
        votes[run.case.readers] = votes.get(run.case.readers, 0) + (1 if run.counts else -1)
    held = max((count for count, vote in votes.items() if vote > 0), default=0)
    missed = min((count for count, vote in votes.items() if vote <= 0 and count > held), default=0)
    reasons = [run.reason for run in judged if run.case.readers == missed and not run.counts]
    of_client = [run.case.readers for run in runs if run.client_limit and not run.disturbance]
    client = min((count for count in of_client if count > held), default=0)
    return Limit(held, missed, reasons[0] if reasons else "", client)


def beyond(runs: Sequence[Run]) -> str:
    """What is known of more readers than are held. All runs are of one server and transport."""
    held, missed, _, client = limit(runs)
    if missed:
        return f"{missed:,}"
    if client:
        return f"client was the limit from {client:,}"
    return "tried, no quiet run" if any(run.case.readers > held for run in runs) else "not tried"


def next_count(runs: Sequence[Run]) -> int:
    """The count to try next; 0 when the limit is known well enough, or nothing is held."""
    held, missed, _, client = limit(runs)
    too_many = min(filter(None, (missed, client)), default=0)
    if not held or (too_many and too_many <= held * NEAR):
        return 0
    if too_many:
        guess = math.sqrt(held * too_many)
    else:  # as what the largest count took of the cores promises
        used = [max(run.server_cores, run.client_cores) for run in runs if run.case.readers == held and run.counts]
        guess = held * min(max(FULL / max(*used, 0.01), 1.25), 3.0)
    step = 25 if guess > 250 else 5
    return round(guess / step) * step


def given_up(runs: Sequence[Run], case: Case) -> bool:
    """Two runs of this count or smaller ones have failed, and no larger one has counted: no time for a third."""
    same = [run for run in like(runs, case) if not run.spoiled]
    held = max((run.case.readers for run in same if run.counts), default=0)
    return sum(held < run.case.readers <= case.readers and not run.counts for run in same) >= 2
