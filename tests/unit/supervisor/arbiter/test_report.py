"""What the status says of cameras, with and without an answer of their workers."""

import os
import time
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from camfleet.core.wire import CameraSpec, StreamSpec, TestLive, VideoSpec
from camfleet.core.wire.control import ReaderStatus, Stats, StreamStats
from camfleet.supervisor.arbiter.process import Process
from camfleet.supervisor.arbiter.registry import Registry, Worker
from camfleet.supervisor.arbiter.report import camera_reports
from camfleet.supervisor.config import load
from camfleet.supervisor.status import parse_readers

from tests.kit.worker import configure

STREAM = StreamSpec(id="stream1", source=TestLive(), video=VideoSpec(width=320, height=180))
CAMERA = CameraSpec(id="ipc1", name="Lobby", streams=(STREAM,), max_sessions=7)
ORDER = configure(CAMERA)
SETTINGS = msgspec.structs.replace(load(None), hosts=("192.0.2.7",), cameras=(CAMERA,))


def registry(pid: int = 0) -> Registry:
    """Of one camera, whose process is ours if it has one."""
    worker = Worker(ORDER)
    if pid:
        worker.attach(cast(Process, SimpleNamespace(pid=pid)))
        worker.ready.set()
    found = Registry()
    found.add(worker)
    return found


READER = ReaderStatus(
    peer="192.0.2.9:40000",
    user="viewer",
    stream="stream1",
    state="playing",
    transport="tcp",
    tls_version="TLSv1.3",
    tls_suite="TLS_AES_128_GCM_SHA256",
    certificate_fingerprint="ab" * 32,
    bytes_sent=1000,
    frames_skipped=2,
    age_s=1.2,
)


def stats() -> Stats:
    stream = StreamStats(
        id="stream1",
        kind="testlive",
        state="running",
        codec="h264",
        width=320,
        height=180,
        fps=24.987,
        bitrate_bps=299_000,
        encoder="libx264",
        frames=100,
        key_frames=2,
        latency_p50_ms=0.25,
        latency_p99_ms=12.5,
        video=STREAM.video,
        join="force",
        linger_s=10.0,
    )
    return Stats(
        id=1,
        camera="ipc1",
        streams=[stream],
        readers=msgspec.json.encode([READER]),
        connections=3,
        settings=ORDER.digest(),
        live_objects={"clients": 3},
    )


def test_a_camera_whose_worker_answers() -> None:
    (report,) = camera_reports(registry(os.getpid()), {"ipc1": stats()}, SETTINGS)
    assert (report.id, report.name, report.state, report.answered) == ("ipc1", "Lobby", "running", True)
    assert (report.worker_pid, report.restarts, report.connections, report.max_sessions) == (os.getpid(), 0, 3, 7)
    assert report.worker_rss_bytes >= report.worker_pss_bytes
    assert report.worker_rss_bytes > 1_000_000
    assert set(report.worker_cores) == os.sched_getaffinity(0)
    assert report.live_objects == {"clients": 3}
    assert report.settings == "in force"
    (stream,) = report.streams
    assert stream.url == "rtsps://192.0.2.7:8322/ipc1-stream1/testlive"
    assert (stream.state, stream.fps, stream.bitrate_bps, stream.encoder) == ("running", 24.99, 299_000, "libx264")
    assert (stream.latency_p50_ms, stream.latency_p99_ms) == (0.25, 12.5)
    assert (stream.source, stream.video, stream.join, stream.linger_s) == ("testlive", STREAM.video, "force", 10.0)
    assert parse_readers(report) == [READER]


@pytest.mark.parametrize(("video", "picture"), [(STREAM.video, ("h264", 320, 180)), (None, ("", 0, 0))])
def test_a_stream_that_nobody_has_watched_is_as_configured(
    video: VideoSpec | None, picture: tuple[str, int, int]
) -> None:
    """A pass-through is as its file, which nobody has opened."""
    idle = msgspec.structs.replace(stats().streams[0], state="idle", codec="", width=0, height=0, video=video)
    camera = msgspec.structs.replace(CAMERA, streams=(msgspec.structs.replace(STREAM, video=video),))
    answer = msgspec.structs.replace(stats(), streams=[idle])
    settings = msgspec.structs.replace(SETTINGS, cameras=(camera,))
    (report,) = camera_reports(registry(os.getpid()), {"ipc1": answer}, settings)
    (stream,) = report.streams
    assert (stream.codec, stream.width, stream.height) == picture


def test_a_camera_whose_worker_does_not_answer() -> None:
    found = registry(os.getpid())
    worker = found.get("ipc1")
    assert worker is not None
    worker.load = 0.12345
    worker.last_heard_ns = time.monotonic_ns() - 4_000_000_000
    (report,) = camera_reports(found, {}, SETTINGS)
    assert (report.state, report.answered, report.worker_pid) == ("silent", False, os.getpid())
    assert report.worker_cpu_cores == 0.1235
    assert parse_readers(report) == []
    (stream,) = report.streams
    assert (stream.state, stream.codec, stream.width, stream.height, stream.fps) == ("unknown", "h264", 320, 180, 0.0)


def test_a_camera_without_a_worker() -> None:
    (report,) = camera_reports(registry(), {}, SETTINGS)
    assert (report.state, report.worker_pid, report.worker_rss_bytes) == ("restarting", 0, 0)
    assert report.worker_cores == []


def test_only_configured_cameras_are_reported_in_their_order() -> None:
    found = registry()
    for camera in ("ipc3", "ipc2"):
        found.add(Worker(configure(msgspec.structs.replace(CAMERA, id=camera))))
    cameras = tuple(msgspec.structs.replace(CAMERA, id=camera) for camera in ("ipc2", "ipc1", "ipc4"))
    reports = camera_reports(found, {}, msgspec.structs.replace(SETTINGS, cameras=cameras))
    assert [report.id for report in reports] == ["ipc2", "ipc1"]


def test_other_settings_are_pending_until_the_worker_says_that_they_are_in_force() -> None:
    found = registry(os.getpid())
    worker = found.get("ipc1")
    assert worker is not None
    assert worker.take(configure(msgspec.structs.replace(CAMERA, name="Gate")))
    (report,) = camera_reports(found, {"ipc1": stats()}, SETTINGS)
    assert report.settings == "pending"
    (report,) = camera_reports(found, {"ipc1": msgspec.structs.replace(stats(), settings=worker.digest)}, SETTINGS)
    assert report.settings == "in force"


def test_a_disabled_camera_is_named() -> None:
    cameras = (CAMERA, msgspec.structs.replace(CAMERA, id="ipc2", enabled=False))
    _, report = camera_reports(registry(), {}, msgspec.structs.replace(SETTINGS, cameras=cameras))
    assert (report.id, report.state, report.worker_pid, report.streams) == ("ipc2", "disabled", 0, [])
