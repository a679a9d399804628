import msgspec
import pytest
from camfleet.core.wire import VideoSpec
from camfleet.core.wire.control import ReaderStatus
from camfleet.supervisor.status import (
    CameraStatus,
    CertificateStatus,
    StatusReport,
    StreamStatus,
    SupervisorStatus,
    duration,
    parse,
    rate,
    render,
    size,
)

STREAM = StreamStatus(
    id="stream1",
    url="rtsps://192.0.2.7:8322/ipc1-stream1/testlive",
    state="running",
    codec="h264",
    width=1280,
    height=720,
    fps=29.97,
    bitrate_bps=2_040_000,
    encoder="libx264",
    video=VideoSpec(),
    latency_p50_ms=0.262,
    latency_p99_ms=12.5,
)
READER = ReaderStatus(
    peer="192.0.2.9:40112",
    user="viewer",
    stream="stream1",
    state="playing",
    transport="tcp",
    tls_version="TLSv1.3",
    tls_suite="TLS_AES_128_GCM_SHA256",
    tls_group="X25519MLKEM768",
    certificate="ipc1",
    certificate_fingerprint="ab" * 32,
    bytes_sent=12_345_678,
    frames_skipped=3,
    age_s=42.9,
)
PLAIN = msgspec.structs.replace(
    READER, peer="[2001:db8::9]:5", tls_version="", tls_suite="", tls_group="", certificate="", user="\x1b[31m"
)
CERTIFICATE = CertificateStatus(
    identity="global",
    generation=3,
    subject="CN=camfleet",
    days_left=-2,
    fingerprint="ab" * 32,
    key="ECDSA P-256",
    state="expired",
    sessions_on_older=12,
)
REFUSED = CertificateStatus(identity="ipc1", state="refused: no key", problem="no key")
NOBODY = msgspec.Raw(b"[]")
REPORT = StatusReport(
    supervisor=SupervisorStatus(pid=4711, version="0.1.0", uptime_s=7980),
    cameras=[
        CameraStatus(
            id="ipc1",
            name="Lobby",
            state="running",
            worker_pid=4720,
            worker_cpu_cores=0.1234,
            worker_cores=[0, 1, 2, 5],
            restarts=1,
            streams=[STREAM],
            readers=msgspec.Raw(msgspec.json.encode([READER, PLAIN])),
        ),
        CameraStatus(id="longname2", state="restarting", worker_pid=0, restarts=12, streams=[], readers=NOBODY),
    ],
    certificates=[CERTIFICATE, REFUSED],
)

TABLES = """\
camfleet 0.1.0, pid 4711, up 2 h 13 min

CAMERA     STATE       WORKER    CPU  CORES  RESTARTS  READERS  NAME
ipc1       running       4720  12.3%  0-2,5         1        2  Lobby
longname2  restarting       -      -  -            12        0

STREAM        STATE    PICTURE         FPS    BITRATE        LATENCY  ENCODER  SETTINGS                            URL
ipc1-stream1  running  h264 1280x720  30.0  2.04 Mb/s  0.3 / 12.5 ms  libx264  1280x720 30 fps, 2.00 Mb/s, gop 60  rtsps://192.0.2.7:8322/ipc1-stream1/testlive

READS         PEER             USER    STATE    TRANSPORT  TLS                                            CERTIFICATE     SENT  SKIPPED   AGE
ipc1-stream1  192.0.2.9:40112  viewer  playing  tcp        TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768  ipc1         12.3 MB        3  42 s
ipc1-stream1  [2001:db8::9]:5  ?[31m   playing  tcp        plain                                          -            12.3 MB        3  42 s

CERTIFICATE  KEY          SUBJECT      DAYS  GENERATION  OLDER  FINGERPRINT       STATE
global       ECDSA P-256  CN=camfleet    -2           3     12  abababababababab  expired
ipc1         -            -               -           -      0  -                 refused: no key"""  # noqa: E501  # as on a wide screen


def test_the_tables() -> None:
    assert render(REPORT) == TABLES


def test_a_certificate_that_ends_soon() -> None:
    soon = msgspec.structs.replace(CERTIFICATE, days_left=6, state="live", warning="ends in 6 days")
    text = render(msgspec.structs.replace(REPORT, certificates=[soon]))
    assert text.splitlines()[-1].endswith("  live, ends in 6 days")


def test_the_report_survives_json_and_a_newer_server() -> None:
    tree = msgspec.json.decode(msgspec.json.encode(REPORT))
    tree["cameras"][0]["streams"][0]["audio"] = "aac"
    assert parse(msgspec.json.encode(tree)) == REPORT


def test_who_was_turned_away_and_what_is_wrong_with_the_file() -> None:
    server = msgspec.structs.replace(
        REPORT.supervisor,
        turned_away={"timeout": 1, "gone": 12},
        refused=["f.toml:3: server.colour: unknown key", "f.toml:4: \x1b[31m"],
    )
    lines = render(msgspec.structs.replace(REPORT, supervisor=server)).splitlines()
    assert lines[1:6] == [
        "turned away: gone 12, timeout 1",
        "the configuration is refused as it is now, and that before is in force:",
        "  f.toml:3: server.colour: unknown key",
        "  f.toml:4: ?[31m",
        "",
    ]


def test_an_idle_stream_has_no_picture() -> None:
    idle = msgspec.structs.replace(
        STREAM, state="idle", codec="", width=0, height=0, fps=0.0, bitrate_bps=0, encoder="", latency_p99_ms=0.0
    )
    camera = msgspec.structs.replace(REPORT.cameras[0], streams=[idle], readers=NOBODY)
    text = render(msgspec.structs.replace(REPORT, cameras=[camera], certificates=[]))
    words = ["ipc1-stream1", "idle", "-", "-", "-", "-", "-", "1280x720", "30", "fps,", "2.00", "Mb/s,", "gop", "60"]
    assert text.splitlines()[-3].split() == [*words, STREAM.url]


def test_an_idle_server() -> None:
    text = render(msgspec.structs.replace(REPORT, cameras=[], certificates=[]))
    assert text.splitlines()[-1] == "no readers"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3600, "1 h 0 min"), (7980, "2 h 13 min"), (90_000, "1 d 1 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rate_and_size() -> None:
    assert [rate(0), rate(512_400), rate(1_000_000)] == ["0 kb/s", "512 kb/s", "1.00 Mb/s"]
    assert [size(999), size(1000), size(10**9)] == ["999 B", "1.0 kB", "1.0 GB"]
