"""What `camfleet status` is told: the registry, and what the workers say of themselves right now."""

import functools
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
from camfleet.core.wire import StreamSpec
from camfleet.core.wire.control import Stats, StreamStats
from camfleet.supervisor.config import Settings
from camfleet.supervisor.status import CameraStatus, StreamStatus
from camfleet.supervisor.urls import places, public_host, stream_url

from .affinity import affinity
from .registry import Registry

SILENT_AFTER_NS = 3_000_000_000  # three unanswered pings
# Of a stream whose worker does not answer.
UNKNOWN = StreamStats(
    id="",
    kind="",
    state="unknown",
    codec="",
    width=0,
    height=0,
    fps=0.0,
    bitrate_bps=0,
    encoder="",
    frames=0,
    key_frames=0,
    latency_p50_ms=0.0,
    latency_p99_ms=0.0,
)
DISABLED = functools.partial(
    CameraStatus, state="disabled", answered=False, worker_pid=0, restarts=0, streams=[], readers=msgspec.Raw(b"[]")
)
_PSS = re.compile(rb"^Pss: +(\d+) kB$", re.MULTILINE)
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


def camera_reports(registry: Registry, answers: Mapping[str, Stats], settings: Settings) -> list[CameraStatus]:
    """One report for each configured camera; of a worker that has not answered, what is known without it."""
    now_ns = time.monotonic_ns()
    host = public_host(settings)
    reports = []
    for spec in settings.cameras:
        if not spec.enabled:
            reports.append(DISABLED(id=spec.id, name=spec.name))
            continue
        worker, answer = registry.get(spec.id), answers.get(spec.id)
        if worker is None:  # it is just being configured
            continue
        place = places(settings, spec.id, host)[0]
        reports.append(
            CameraStatus(
                id=spec.id,
                name=spec.name,
                state=worker.state(now_ns, SILENT_AFTER_NS),
                answered=answer is not None,
                settings="in force" if answer and answer.settings == worker.digest else "pending",
                worker_pid=worker.pid,
                worker_uptime_s=round((now_ns - worker.attached_ns) / 1e9, 1) if worker.pid else 0.0,
                worker_rss_bytes=_rss_bytes(worker.pid),
                worker_pss_bytes=_pss_bytes(worker.pid),
                worker_cpu_cores=round(worker.load or 0.0, 4),
                worker_cores=sorted(affinity(worker.pid)),
                restarts=worker.restarts,
                replacements=worker.replacements,
                connections=answer.connections if answer else 0,
                live_objects=answer.live_objects if answer else {},
                max_sessions=spec.max_sessions,
                streams=[
                    _stream(stream, stream_url(*place, spec, stream), each)
                    for stream in spec.streams
                    for each in _measured(stream, answer)
                ],
                readers=msgspec.Raw(answer.readers if answer else b"[]"),
            )
        )
    return reports


def _measured(stream: StreamSpec, answer: Stats | None) -> list[StreamStats]:
    """Of the stream and of its variants."""
    found = [each for each in answer.streams if each.id == stream.id] if answer else []
    return found or [UNKNOWN]


def _stream(spec: StreamSpec, url: str, measured: StreamStats) -> StreamStatus:
    """The picture is as configured until the worker has seen it; a file that passes through has none until then."""
    video = measured.video or spec.video
    return StreamStatus(
        id=spec.id,
        url=f"{url}?{measured.variant}" if measured.variant else url,
        state=measured.state,
        codec=measured.codec or (video.codec if video else ""),
        width=measured.width or (video.width if video else 0),
        height=measured.height or (video.height if video else 0),
        fps=round(measured.fps, 2),
        bitrate_bps=measured.bitrate_bps,
        encoder=measured.encoder,
        frames=measured.frames,
        key_frames=measured.key_frames,
        latency_p50_ms=measured.latency_p50_ms,
        latency_p99_ms=measured.latency_p99_ms,
        source=spec.kind,
        video=measured.video,
        join=measured.join,
        linger_s=measured.linger_s,
        variant=measured.variant,
    )


def _rss_bytes(pid: int) -> int:
    """Resident memory, pages shared with the fork server included; 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_SIZE
    except OSError:
        return 0


def _pss_bytes(pid: int) -> int:
    """What the process costs: its own pages and its share of the common ones. 0 when the kernel does not tell: a
    worker is not dumpable, which closes its smaps to all but root."""
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_bytes())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
