"""Runs as lines and as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .runs import Case, Run, Spread, costs, ratios


def line(run: Run) -> str:
    """One run while it is measured."""
    case = run.case
    verdict = f"CLIENT: {run.client_limit}" if run.client_limit else run.server_limit or "ok"
    return (
        f"{case.transport:5}  {case.cameras:3} x {case.readers // case.cameras:<5} {case.server:9} {run.cpu_us:8.0f} us"
        f"  {run.cores:5.2f} cores  delay {run.delay_p50_ms:6.1f} / {run.delay_p99_ms:6.1f} ms  {verdict}"
    )


def microseconds(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:,.0f} ({spread.low:,.0f}-{spread.high:,.0f})"


def factor(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def table(runs: Sequence[Run]) -> Iterator[str]:
    """CPU microseconds per reader-second: median (lowest-highest) of the runs that count."""
    servers = list(dict.fromkeys(run.case.server for run in runs))
    heads = ["", "readers", *servers]
    if {"floor", "camfleet"} <= set(servers):
        heads.append("camfleet : floor")
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for case in dict.fromkeys(replace(run.case, server="") for run in runs):
        cells = [case.transport, str(case.readers)]
        cells += [microseconds(costs(runs, of(case, name))) for name in servers]
        if "camfleet : floor" in heads:
            cells.append(factor(ratios(runs, of(case, "camfleet"), of(case, "floor"))))
        yield "| " + " | ".join(cells) + " |"


def of(case: Case, server: str) -> Case:
    return replace(case, server=server)
