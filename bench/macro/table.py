"""Runs as lines, as tables, and as the page of results."""

from collections import Counter
from collections.abc import Iterator, Sequence

from .limit import like, limit
from .runs import Case, Run, Spread, costs, ratios

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
    measured = {run.case for run in runs}
    with_all = Counter(case.of("") for case in measured)
    shown = [case for case, count in with_all.items() if count > 1 or case.cameras > 1 or len(servers(runs)) == 1]
    return sorted(shown, key=lambda case: (case.tls, case.cameras, case.readers))


def servers(runs: Sequence[Run]) -> list[str]:
    present = {run.case.server for run in runs}
    return [name for name in NAMES if name in present]


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def microseconds(found: Spread | None) -> str:
    return "-" if found is None else f"{found.median:,.0f} ({found.low:,.0f}-{found.high:,.0f})"


def factor(found: Spread | None) -> str:
    return "-" if found is None else f"{found.median:.2f} ({found.low:.2f}-{found.high:.2f})"


def costs_table(runs: Sequence[Run]) -> Iterator[str]:
    """CPU microseconds per reader-second: median (lowest-highest) of the runs that count; `-`: none does."""
    shown = servers(runs)
    compared = [(name, base) for name, base in (("camfleet", "floor"), ("gst", "camfleet")) if {name, base} <= {*shown}]
    heads = ["", "readers", *(NAMES[name] for name in shown)]
    yield row(*heads, *(f"{NAMES[name]} : {NAMES[base]}" for name, base in compared))
    yield "|" + "---|" * (len(heads) + len(compared))
    for case in cases(runs):
        cells = [microseconds(costs(runs, case.of(name))) for name in shown]
        cells += [factor(ratios(runs, case.of(name), case.of(base))) for name, base in compared]
        yield row(case.transport, case.count, *cells)


def limits_table(runs: Sequence[Run]) -> Iterator[str]:
    yield row("", "server", "holds", "does not hold", "for")
    yield "|---|---|---|---|---|"
    for tls in (False, True):
        for name in servers(runs):
            case = Case(name, tls, 1, 0)
            if of_one := like(runs, case):
                held, missed, reason = limit(of_one)
                yield row(case.transport, NAMES[name], f"{held:,}", f"{missed:,}" if missed else "not tried", reason)


def left_out(runs: Sequence[Run]) -> Iterator[str]:
    """The runs that do not count, each with its reason."""
    for run in runs:
        if not run.counts:
            yield f"- {run.case.transport}, {run.case.count}, {NAMES[run.case.server]}: {run.reason}"
