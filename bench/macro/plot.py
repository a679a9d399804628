"""Readers against the share of a core that they take, as SVG: one panel for each transport."""

from collections.abc import Iterator, Sequence

from .limit import like, limit
from .runs import Case, Run, Spread, costs
from .table import NAMES, servers

COLOURS = {"floor": "#6b7280", "camfleet": "#1d4ed8", "gst": "#c2410c"}
PANEL, HEIGHT, LEFT, TOP, GAP = 400, 300, 56, 56, 64  # pixels
GRID, INK = "#e5e7eb", "#374151"
FULL_CORE = 1_000_000  # microseconds in a second


def svg(runs: Sequence[Run]) -> str:
    single = [run for run in runs if run.case.cameras == 1 and run.counts]
    transports = sorted({run.case.tls for run in single})
    most = max((run.case.readers for run in single), default=1)
    width = LEFT + len(transports) * (PANEL + GAP)
    height = TOP + HEIGHT + 48
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, tls in enumerate(transports):
        left = LEFT + number * (PANEL + GAP)
        lines += [f'<g transform="translate({left} {TOP})">', *panel(runs, tls, most), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def panel(runs: Sequence[Run], tls: bool, most: int) -> Iterator[str]:
    title = "RTSPS" if tls else "RTSP over TCP"
    yield f'<text y="-36" font-size="15" font-weight="600">{title}: CPU of one core</text>'
    for percent in range(0, 101, 25):
        y = HEIGHT - HEIGHT * percent / 100
        yield f'<path d="M0 {y:.1f}H{PANEL}" stroke="{GRID}"/>'
        yield f'<text x="-8" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>'
    for readers in range(0, most + 1, step(most)):
        x = PANEL * readers / most
        yield f'<text x="{x:.1f}" y="{HEIGHT + 18}" text-anchor="middle">{readers:,}</text>'
    yield f'<text x="{PANEL}" y="{HEIGHT + 36}" text-anchor="end">readers of a 4 Mb/s stream</text>'
    for number, name in enumerate(servers(runs)):
        yield from curve(like(runs, Case(name, tls, 1, 0)), name, most, number)


def step(most: int) -> int:
    """Between the labels of the readers' axis: about five of them."""
    return next((step for step in (1, 10, 50, 100, 200, 250, 500, 1000) if most / step <= 6), 2000)


def curve(runs: Sequence[Run], name: str, most: int, number: int) -> Iterator[str]:
    """The median of each count with a bar from the lowest to the highest run; above the panel its name and
    the most readers that it held, with a + when no count is known that is too many."""
    colour = COLOURS[name]
    found = {run.case: costs(runs, run.case) for run in sorted(runs, key=lambda run: run.case.readers)}
    points = [(case.readers, cost) for case, cost in found.items() if cost]

    def place(readers: int, cost_us: float) -> str:
        return f"{PANEL * readers / most:.1f} {HEIGHT - HEIGHT * min(readers * cost_us / FULL_CORE, 1.0):.1f}"

    def bar(readers: int, cost: Spread) -> str:
        return f"M{place(readers, cost.low)}L{place(readers, cost.high)}"

    if points:
        line = "L".join(place(readers, cost.median) for readers, cost in points)
        yield f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        bars = "".join(bar(*point) for point in points)
        yield f'<path d="{bars}" stroke="{colour}" stroke-width="5" opacity="0.35"/>'
        for readers, cost in points:
            x, y = place(readers, cost.median).split()
            yield f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
    held, missed, *_ = limit(runs)
    label = f"{NAMES[name]}: {held:,}{'' if missed else '+'}"
    yield f'<text x="{PANEL * number * 0.3:.1f}" y="-15" fill="{colour}" font-weight="600">{label}</text>'
