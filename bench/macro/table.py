"""Runs as lines, as tables, and as the page of results."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from .limit import beyond, like, limit
from .runs import Case, Run, Spread, costs, counting, ratios

NAMES = {"floor": "floor", "camfleet": "camfleet", "gst": "gst-rtsp-server"}


def line(run: Run) -> str:
    """One run, when it has been measured."""
    case = run.case
    return (
        f"{case.transport:5} {case.count:>8} {case.server:9}{run.cpu_us:8.0f} us"
        f"  server {run.server_cores:4.2f} client {run.client_cores:4.2f} others {run.other_cores:5.2f} cores"
        f"  delay {run.delay_p50_ms:6.1f} / {run.delay_p99_ms:6.1f} ms  {run.reason or 'ok'}"
    )


def cases(runs: Sequence[Run]) -> list[Case]:
    """What was measured, in order; not what was tried only to find one server's limit."""
    with_all = Counter(case.of("") for case in {run.case for run in runs})
    shown = [case for case, count in with_all.items() if count > 1 or case.cameras > 1 or len(servers(runs)) == 1]
    return sorted(shown, key=order)


def order(case: Case) -> tuple[bool, int, int]:
    return case.tls, case.cameras, case.readers


def servers(runs: Sequence[Run]) -> list[str]:
    present = {run.case.server for run in runs}
    return [name for name in NAMES if name in present]


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def cost(runs: Sequence[Run], case: Case) -> str:
    """Microseconds, and of how many runs; of how many rounds when the server did not hold all of them."""
    found = costs(runs, case)
    judged = sum(run.case == case and not run.spoiled for run in runs)
    if not found:
        return f"0 of {judged} rounds" if judged else "-"
    number = f"n={found.runs}" if found.runs == judged else f"{found.runs} of {judged} rounds"
    return f"{found.median:,.0f} ({found.low:,.0f}-{found.high:,.0f}), {number}"


def factor(found: Spread | None) -> str:
    return "-" if found is None else f"{found.median:.2f} ({found.low:.2f}-{found.high:.2f}), n={found.runs}"


def costs_table(runs: Sequence[Run]) -> Iterator[str]:
    """CPU microseconds per reader-second: median (lowest-highest) of the runs that count; `-`: no run was judged."""
    shown = servers(runs)
    compared = [(name, base) for name, base in (("camfleet", "floor"), ("gst", "camfleet")) if {name, base} <= {*shown}]
    heads = ["", "readers", *(NAMES[name] for name in shown)]
    yield row(*heads, *(f"{NAMES[name]} : {NAMES[base]}" for name, base in compared))
    yield "|" + "---|" * (len(heads) + len(compared))
    for case in cases(runs):
        cells = [cost(runs, case.of(name)) for name in shown]
        cells += [factor(ratios(runs, case.of(name), case.of(base))) for name, base in compared]
        yield row(case.transport, case.count, *cells)


def delay(runs: Sequence[Run], case: Case) -> str:
    """p50 / p99, share of the server's core."""
    found = counting(runs, case)
    if not found:
        return "-"
    p50_ms = statistics.median(run.delay_p50_ms for run in found)
    p99_ms = statistics.median(run.delay_p99_ms for run in found)
    share = statistics.median(run.server_cores for run in found)
    return f"{p50_ms:.1f} / {p99_ms:.1f}, {share:.0%}"


def delays_table(runs: Sequence[Run]) -> Iterator[str]:
    """Every case in which a run counts, those of one server alone too: the fullest cores are among them."""
    shown = servers(runs)
    yield row("", "readers", *(NAMES[name] for name in shown))
    yield "|" + "---|" * (2 + len(shown))
    for case in sorted({run.case.of("") for run in runs if run.counts}, key=order):
        yield row(case.transport, case.count, *(delay(runs, case.of(name)) for name in shown))


def limits_table(runs: Sequence[Run]) -> Iterator[str]:
    yield row("", "server", "holds", "does not hold", "for")
    yield "|---|---|---|---|---|"
    for tls in (False, True):
        for name in servers(runs):
            case = Case(name, tls, 1, 0)
            if of_one := like(runs, case):
                found = limit(of_one)
                yield row(case.transport, NAMES[name], f"{found.held:,}", beyond(of_one), found.reason)


def not_held(runs: Sequence[Run]) -> list[str]:
    """The runs that a server did not hold, each with its reason."""
    return [reason(run) for run in runs if run.server_limit and not run.spoiled]


def spoiled(runs: Sequence[Run]) -> list[str]:
    """The runs that say nothing of a server, each with its reason."""
    return [reason(run) for run in runs if run.spoiled]


def reason(run: Run) -> str:
    return f"- {run.case.transport}, {run.case.count}, {NAMES[run.case.server]}: {run.reason}"
