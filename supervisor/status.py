"""What `camfleet status` shows: the report that a running server gives as JSON, and the same as tables.

The JSON is stable for scripts: keys may be added, never renamed or removed.
"""

from collections.abc import Iterator, Sequence

import msgspec
from camfleet.core.wire import VideoSpec
from camfleet.core.wire.control import ReaderStatus

from .cores import ranges


class SupervisorStatus(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    version: str
    uptime_s: float
    connections: int = 0  # in all, those that have not come to a camera included
    turned_away: dict[str, int] = {}  # by reason, failed handshakes among them
    refused: list[str] = []  # what is wrong with the configuration as it is now; that before is in force


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    url: str
    state: str  # "idle" | "starting" | "running" | "standby: why" | "failed: why" | "unknown"
    codec: str
    width: int
    height: int
    fps: float  # measured, 0 while idle
    bitrate_bps: int  # measured
    encoder: str
    frames: int = 0
    key_frames: int = 0
    latency_p50_ms: float = 0.0  # capture to last byte in the kernel, all readers, the last seconds; 0: nobody read
    latency_p99_ms: float = 0.0
    source: str = ""  # its kind
    video: VideoSpec | None = None  # settings in force; None: passed through, or the worker does not answer
    join: str = ""  # likewise: "force" with an encoder of ours, "newest" | "live"
    linger_s: float = 0.0
    variant: str = ""  # made at the wish of a URL: what that asks for, as a query; empty: as configured


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str = ""
    state: str  # "disabled", or of the worker: "starting" | "running" | "silent" | "stopping" | "restarting"
    worker_pid: int  # 0: none
    restarts: int  # of its worker, unasked
    streams: list[StreamStatus]
    readers: msgspec.Raw  # of list[ReaderStatus]: the worker's own words
    replacements: int = 0  # of its worker by a fresh one, which no reader has noticed
    answered: bool = True  # False: streams and readers are not known now
    settings: str = "in force"  # "pending": the worker has not said yet that those of the file are in force
    connections: int = 0
    live_objects: dict[str, int] = {}  # of the engine, by kind
    max_sessions: int = 0
    worker_uptime_s: float = 0.0
    worker_rss_bytes: int = 0
    worker_pss_bytes: int = 0  # 0: the kernel does not tell
    worker_cpu_cores: float = 0.0  # processor cores that it has used lately
    worker_cores: list[int] = []  # on which it may run


class CertificateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate in service, or files that cannot be; two of an identity with both key types."""

    identity: str  # "global", or a camera's id
    generation: int = 0  # 0: in no history
    subject: str = ""
    issuer: str = ""
    names: list[str] = []
    not_after_unix_s: int = 0
    days_left: int = 0  # until the first of its chain ends; negative when it has
    fingerprint: str = ""  # SHA-256, hex
    key: str = ""  # "ECDSA P-256" | "RSA 2048"
    files: list[str] = []  # certificate, private key
    state: str  # "live" | "expired" | "refused: ...": other files are there now, and cannot be served
    warning: str = ""  # "ends in 6 days", from 30 days before the end on
    sessions_on_older: int = 0  # that play, of this identity
    problem: str = ""


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    supervisor: SupervisorStatus
    cameras: list[CameraStatus]
    certificates: list[CertificateStatus] = []


def parse(data: bytes) -> StatusReport:
    """Raises msgspec.DecodeError when `data` is not a report; keys of a newer server are passed over."""
    return msgspec.json.decode(data, type=StatusReport)


def parse_readers(camera: CameraStatus) -> list[ReaderStatus]:
    """Raises msgspec.DecodeError or ValidationError when they are none."""
    return msgspec.json.decode(camera.readers, type=list[ReaderStatus])


def render(report: StatusReport) -> str:
    """The report as tables for people."""
    server = report.supervisor
    readers_of = {camera.id: parse_readers(camera) for camera in report.cameras}
    cameras = [
        (
            camera.id,
            camera.state if camera.settings == "in force" else f"{camera.state}, settings {camera.settings}",
            str(camera.worker_pid or "-"),
            f"{camera.worker_cpu_cores:.1%}" if camera.worker_cpu_cores else "-",
            ranges(camera.worker_cores) or "-",
            str(camera.restarts),
            str(sum(reader.state != "recording" for reader in readers_of[camera.id])),
            camera.name,
        )
        for camera in report.cameras
    ]
    streams = [
        (
            f"{camera.id}-{stream.id}",
            stream.state,
            f"{stream.codec} {stream.width}x{stream.height}" if stream.codec else "-",
            f"{stream.fps:.1f}" if stream.fps else "-",
            rate(stream.bitrate_bps) if stream.bitrate_bps else "-",
            f"{stream.latency_p50_ms:.1f} / {stream.latency_p99_ms:.1f} ms" if stream.latency_p99_ms else "-",
            stream.encoder or "-",
            settings(stream.video) if stream.video else "-",
            stream.url,
        )
        for camera in report.cameras
        for stream in camera.streams
    ]
    readers = [
        (
            f"{camera.id}-{reader.stream}" + (f"?{reader.variant}" if reader.variant else ""),
            reader.peer,
            reader.user,
            reader.state,
            reader.transport,
            f"{reader.tls_version} {reader.tls_suite} {reader.tls_group}".strip() or "plain",
            reader.certificate or "-",
            size(reader.bytes_sent),
            str(reader.frames_skipped),
            duration(reader.age_s),
        )
        for camera in report.cameras
        for reader in readers_of[camera.id]
    ]
    certificates = [
        (
            each.identity,
            each.key or "-",
            each.subject or "-",
            str(each.days_left) if each.fingerprint else "-",
            str(each.generation or "-"),
            str(each.sessions_on_older),
            each.fingerprint[:16] or "-",
            ", ".join(filter(None, (each.state, each.warning))),
        )
        for each in report.certificates
    ]
    parts = [
        "\n".join(_server(server)),
        table("CAMERA STATE WORKER> CPU> CORES RESTARTS> READERS> NAME", cameras),
        table("STREAM STATE PICTURE FPS> BITRATE> LATENCY> ENCODER SETTINGS URL", streams),
        table("READS PEER USER STATE TRANSPORT TLS CERTIFICATE SENT> SKIPPED> AGE>", readers)
        if readers
        else "no readers",
    ]
    if certificates:
        parts.append(table("CERTIFICATE KEY SUBJECT DAYS> GENERATION> OLDER> FINGERPRINT STATE", certificates))
    return "\n\n".join(parts)


def _server(server: SupervisorStatus) -> Iterator[str]:
    yield f"camfleet {server.version}, pid {server.pid}, up {duration(server.uptime_s)}"
    if server.turned_away:
        reasons = sorted(server.turned_away.items(), key=lambda item: -item[1])
        yield "turned away: " + ", ".join(f"{_printable(reason)} {count}" for reason, count in reasons)
    if server.refused:
        yield "the configuration is refused as it is now, and that before is in force:"
        yield from (f"  {_printable(problem)}" for problem in server.refused)


def table(titles: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Aligned columns under their titles; a title that ends in ">" has its column flush right."""
    right = [title.endswith(">") for title in titles.split()]
    lines = [tuple(title.rstrip(">") for title in titles.split())]
    lines += [tuple(_printable(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _printable(cell: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in cell)


def settings(video: VideoSpec) -> str:
    """Of an encoder, as in: 1280x720 30 fps, 2.00 Mb/s, gop 60"""
    return f"{video.width}x{video.height} {video.fps} fps, {rate(video.bitrate_bps)}, gop {video.gop}"


def rate(bits_per_s: int) -> str:
    return f"{bits_per_s / 1e6:.2f} Mb/s" if bits_per_s >= 1_000_000 else f"{bits_per_s / 1e3:.0f} kb/s"


def size(octets: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if octets >= factor:
            return f"{octets / factor:.1f} {unit}"
    return f"{octets} B"


def duration(seconds: float) -> str:
    """Its two largest units: 42 s, 3 min 5 s, 2 h 13 min, 8 d 4 h."""
    rest = int(seconds)
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        parts.append((count, unit))
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in parts[:2])
