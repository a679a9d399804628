"""What `camfleet status` shows: the report that a running server gives as JSON, and the same as tables.

The JSON is stable for scripts: keys may be added, never renamed or removed.
"""

import msgspec


class SupervisorStatus(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    version: str
    uptime_s: float


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    url: str
    state: str  # "idle" | "starting" | "running" | "failed: ..."
    codec: str
    width: int
    height: int
    fps: float  # measured, 0 while idle
    bitrate_bps: int  # measured
    encoder: str
    frames: int = 0
    key_frames: int = 0


class ReaderStatus(msgspec.Struct, frozen=True, kw_only=True):
    peer: str  # "192.0.2.9:40112" | "[2001:db8::1]:40112"
    user: str
    stream: str
    state: str  # "ready" | "playing" | "paused"
    transport: str  # "tcp"
    tls_version: str  # "" when plain
    tls_suite: str
    certificate_fingerprint: str
    bytes_sent: int
    frames_skipped: int
    age_s: float


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str = ""
    state: str  # of the worker: "starting" | "running" | "silent" | "restarting"
    worker_pid: int  # 0: none
    restarts: int
    streams: list[StreamStatus]
    readers: list[ReaderStatus]


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    supervisor: SupervisorStatus
    cameras: list[CameraStatus]
