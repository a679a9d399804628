"""From counters to the figures that are shown: one dictionary, printed as JSON or as text."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .driver import NS, Outcome
from .engine import Totals
from .media import delay_us
from .processes import Cost

STEPS = ("DESCRIBE", "DESCRIBE with password", "SETUP", "PLAY")
BUSY = 0.9  # of a processor: from here on the tool measures itself
WAITING = 0.25  # of the time, for a processor: the host is too busy for figures of time
BACKLOG = 0.05  # of all reads


@dataclass(frozen=True)
class Look:
    """All counters at one moment. A thread: nanoseconds on a processor, nanoseconds of waiting for one."""

    at_ns: int
    playing: int
    totals: Totals
    delays: list[int]  # a histogram
    threads: list[tuple[int, int]]


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; `values` is not empty."""
    return sorted(values)[max(math.ceil(len(values) * share) - 1, 0)]


def spread(values_ns: Iterable[int]) -> dict[str, float] | None:
    """p50, p99 and maximum in milliseconds; None without values."""
    values = [round(value / 1e6, 3) for value in values_ns]
    if not values:
        return None
    return {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": max(values)}


def histogram_spread(buckets: Sequence[int]) -> dict[str, float] | None:
    """Like spread, of delay buckets; each figure is the upper end of its bucket, at most 6 % above the truth."""
    reached, figures, names = 0, dict[str, float](), {"p50": 0.5, "p99": 0.99, "max": 1.0}
    for bucket, count in enumerate(buckets):
        reached += count
        for name, share in names.items():
            if name not in figures and reached and reached >= sum(buckets) * share:
                figures[name] = delay_us(bucket) / 1000
    return figures or None


def bottlenecks(first: Look, last: Look) -> list[str]:
    """Why the figures may be the load tool's and not the server's."""
    found = []
    wall = last.at_ns - first.at_ns
    for number, ((cpu, wait), (cpu_before, wait_before)) in enumerate(zip(last.threads, first.threads, strict=True), 1):
        busy, waiting = (cpu - cpu_before) / wall, (wait - wait_before) / wall
        if busy > BUSY:
            found.append(f"thread {number} used {busy:.0%} of a processor: take more --threads, or another machine")
        if waiting > WAITING:
            found.append(f"thread {number} waited {waiting:.0%} of the time for a processor: this host is overloaded")
    reads = last.totals.reads - first.totals.reads
    full = last.totals.full_reads - first.totals.full_reads
    if full > reads * BACKLOG:
        found.append(f"{full / reads:.0%} of the reads found a full buffer waiting: the tool is behind")
    return found


def result(outcomes: Sequence[Outcome], first: Look, last: Look, cost: Cost | None) -> dict[str, Any]:
    """Rates, delays and costs are of the window between the two looks; gaps and times are of the whole run."""
    ok = [outcome for outcome in outcomes if not outcome.failure]
    reasons = Counter(outcome.failure for outcome in outcomes if outcome.failure)
    seconds = (last.at_ns - first.at_ns) / NS
    totals, before = last.totals, first.totals
    reader_seconds = (first.playing + last.playing) / 2 * seconds
    delays = [after - earlier for earlier, after in zip(first.delays, last.delays, strict=True)]
    cpu_ns = sum(after[0] - earlier[0] for earlier, after in zip(first.threads, last.threads, strict=True))
    wait_ns = sum(after[1] - earlier[1] for earlier, after in zip(first.threads, last.threads, strict=True))
    return {
        "readers": {
            "tried": len(outcomes),
            "ok": len(ok),
            "failed": len(outcomes) - len(ok),
            "reasons": dict(reasons.most_common()),
        },
        "seconds": round(seconds, 3),
        "megabits_per_s": round((totals.octets - before.octets) * 8 / seconds / 1e6, 3),
        "frames_per_s": round((totals.frames - before.frames) / seconds, 3),
        "packets": totals.packets,
        "frames": totals.frames,
        "key_frames": totals.key_frames,
        "gaps": {
            "sequence_gaps": totals.sequence_gaps,
            "packets_missing": totals.packets_missing,
            "frame_gaps": totals.frame_gaps,
            "frames_missing": totals.frames_missing,
            "frames_incomplete": totals.frames_incomplete,
            "malformed": totals.malformed,
            "rtp_info_wrong": sum(_rtp_info_wrong(outcome) for outcome in ok),
        },
        "longest_without_frame_ms": spread(
            max(outcome.times.longest_ns, last.at_ns - outcome.times.last_frame_ns) for outcome in ok
        ),
        "first_key_frame_ms": spread(outcome.times.first_key_ns - outcome.reader.started_ns for outcome in ok),
        "steps_ms": _steps(ok),
        "delay_ms": histogram_spread(delays),
        "server": cost
        and {
            "processes": cost.processes,
            "cpu_us_per_reader_second": round(cost.cpu_us / reader_seconds, 1) if reader_seconds else None,
            "cpu_cores": round(cost.cpu_us / 1e6 / seconds, 3),
            "pss_bytes": cost.pss,
            "rss_bytes": cost.rss,
        },
        "load_tool": {
            "cpu_cores": round(cpu_ns / 1e9 / seconds, 3),
            "waiting_cores": round(wait_ns / 1e9 / seconds, 3),
            "bottlenecks": bottlenecks(first, last),
        },
    }


def _steps(ok: Sequence[Outcome]) -> dict[str, dict[str, float] | None]:
    """Where the time to the first key frame goes."""
    figures = {
        "TCP connect": spread(outcome.times.connected_ns - outcome.reader.started_ns for outcome in ok),
        "TLS handshake": spread(
            outcome.times.secure_ns - outcome.times.connected_ns for outcome in ok if outcome.reader.url.tls
        ),
    }
    for step in STEPS:
        figures[step] = spread(outcome.reader.steps_ns[step] for outcome in ok if step in outcome.reader.steps_ns)
    figures["key frame"] = spread(max(outcome.times.first_key_ns - outcome.reader.playing_ns, 0) for outcome in ok)
    return figures


def _rtp_info_wrong(outcome: Outcome) -> bool:
    """The first packet of a track is not the one that RTP-Info promised (RFC 2326 12.33)."""
    promised = zip(outcome.reader.session.promised_sequences, outcome.times.first_sequences, strict=False)
    return any(sequence is not None and sequence != promise for promise, sequence in promised)


def _milliseconds(figures: dict[str, float] | None) -> str:
    return "-" if figures is None else "   ".join(f"{name} {value:.1f} ms" for name, value in figures.items())


def text(data: dict[str, Any]) -> str:
    """The result for people."""
    readers, gaps, server = data["readers"], data["gaps"], data["server"]
    lines = [f"readers           {readers['ok']} of {readers['tried']} ok, {readers['failed']} failed"]
    lines += [f"                  {count:6}  {reason}" for reason, count in readers["reasons"].items()]
    lines += [
        f"media             {data['megabits_per_s']:.1f} Mb/s, {data['frames_per_s']:.1f} frames/s "
        f"over {data['seconds']:.1f} s",
        f"RTP               {gaps['sequence_gaps']} sequence gaps, {gaps['packets_missing']} packets missing, "
        f"{gaps['malformed']} malformed, {gaps['rtp_info_wrong']} starts unlike RTP-Info",
        f"frames            {gaps['frame_gaps']} gaps, {gaps['frames_missing']} missing, "
        f"{gaps['frames_incomplete']} incomplete of {data['frames']}",
        f"longest silence   {_milliseconds(data['longest_without_frame_ms'])}",
        f"first key frame   {_milliseconds(data['first_key_frame_ms'])}   (from TCP connect)",
    ]
    lines += [f"  {step:<22}  {_milliseconds(figures)}" for step, figures in data["steps_ms"].items() if figures]
    if data["delay_ms"]:
        lines.append(f"delay             {_milliseconds(data['delay_ms'])}   (capture to arrival, if the clocks agree)")
    if server:
        cpu_us, pss = server["cpu_us_per_reader_second"], server["pss_bytes"]
        cost = "no reader plays" if cpu_us is None else f"{cpu_us} us of CPU per reader-second"
        size = "not readable" if pss is None else f"{pss / 1e6:.1f} MB"
        lines += [
            f"server            {cost}, {server['cpu_cores']:.3f} cores in {server['processes']} processes",
            f"                  PSS {size}, RSS {server['rss_bytes'] / 1e6:.1f} MB",
        ]
    else:
        lines.append("server            not known: --state-dir or --server-pid tell which processes it has")
    tool = data["load_tool"]
    lines.append(f"load tool         {tool['cpu_cores']:.3f} cores, {tool['waiting_cores']:.3f} more wanted")
    lines += [f"BOTTLENECK        {reason}" for reason in tool["bottlenecks"]]
    return "\n".join(lines)
