import hashlib
from pathlib import Path

import msgspec
import pytest
from camfleet.core.wire import CameraSpec, FileLive, StreamSpec, TestLive, UserSpec, VideoSpec
from camfleet.supervisor.config import Settings, check, load

# The example of the design, with a file instead of a screen.
EXAMPLE = """\
[server]
host = "0.0.0.0"
rtsp_port = 8554
rtsps_port = 8322
rtsps = "default"
state_dir = "state"

[tls]
certificate = "ssl.ca"
private_key = "ssl.key"

[[users]]
name = "viewer"
password_file = "secret"
[[users]]
name = "clear"
password = "open sesame"
[[users]]
name = "hashed"
digest = { md5 = "00112233445566778899aabbccddeeff" }

[[cameras]]
id = "ipc1"
name = "Lobby"

[[cameras.streams]]
id = "stream1"
source = { kind = "testlive" }
video = { codec = "h264", width = 1920, height = 1080, fps = 25, bitrate = "4M", gop = 50, encoder = "auto" }

[[cameras.streams]]
id = "stream2"
source = { kind = "filelive", path = "clip.mp4" }
join = "live"
linger_s = 3

[[cameras]]
id = "ipc2"
digest_sha256 = true

[[cameras.streams]]
id = "stream1"
source = { kind = "testlive" }

[limits]
sessions_per_camera = 7
session_timeout_s = 30
reader_stall_timeout_s = 5
first_request_timeout_s = 3
login_failures = 4
login_failure_window_s = 30
lockout_s = 90
"""


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def example(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "clip.mp4").write_bytes(b"x")
    file = tmp_path / "camfleet.toml"
    file.write_text(EXAMPLE)
    return file


def test_the_whole_example(example: Path) -> None:
    assert check(example) == []
    settings = load(example)
    assert settings.file == example
    assert settings.hosts == ("0.0.0.0",)
    assert (settings.rtsp_port, settings.rtsps_port, settings.rtsps) == (8554, 8322, "default")
    assert settings.state_dir == example.parent / "state"
    assert settings.tls.identities[0].files == ((Path("ssl.ca"), Path("ssl.key")),)
    assert settings.users == (
        UserSpec(name="viewer", ha1_md5=md5("viewer:camfleet:s3cret"), ha1_sha256=sha256("viewer:camfleet:s3cret")),
        UserSpec(
            name="clear",
            ha1_md5=md5("clear:camfleet:open sesame"),
            ha1_sha256=sha256("clear:camfleet:open sesame"),
        ),
        UserSpec(name="hashed", ha1_md5="00112233445566778899aabbccddeeff"),
    )
    assert settings.cameras == (
        CameraSpec(
            id="ipc1",
            name="Lobby",
            streams=(
                StreamSpec(
                    id="stream1",
                    source=TestLive(),
                    video=VideoSpec(width=1920, height=1080, fps=25, bitrate_bps=4_000_000, gop=50),
                ),
                StreamSpec(
                    id="stream2",
                    source=FileLive(str(example.parent / "clip.mp4")),
                    video=None,
                    join="live",
                    linger_s=3.0,
                ),
            ),
            max_sessions=7,
            session_timeout_s=30,
            stall_timeout_s=5.0,
            request_timeout_s=3.0,
            login_failures=4,
            login_failure_window_s=30.0,
            lockout_s=90.0,
        ),
        CameraSpec(
            id="ipc2",
            name="ipc2",
            streams=(StreamSpec(id="stream1", source=TestLive(), video=VideoSpec()),),
            sha256=True,
            max_sessions=7,
            session_timeout_s=30,
            stall_timeout_s=5.0,
            request_timeout_s=3.0,
            login_failures=4,
            login_failure_window_s=30.0,
            lockout_s=90.0,
        ),
    )


def test_every_relative_path_starts_at_the_file(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load(example)
    monkeypatch.chdir(example.parent.parent)
    relative = load(Path(example.parent.name) / example.name)
    assert msgspec.structs.replace(relative, file=example, files=expected.files) == expected
    assert list(expected.files) == [example, example.parent / "secret"]
    assert list(relative.files.values()) == list(expected.files.values())


def test_no_file_and_an_empty_file_are_the_same(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert msgspec.structs.replace(load(empty), file=None, files={}) == load(None)


def test_the_default_camera() -> None:
    settings = load(None)
    assert settings.users == ()
    assert (settings.rtsp_port, settings.rtsps_port, settings.hosts) == (8554, 8322, ("0.0.0.0", "::"))
    (camera,) = settings.cameras
    assert camera.id == "ipc1"
    main, sub = camera.streams
    assert (main.id, main.kind, sub.id, sub.kind) == ("stream1", "testlive", "stream2", "testlive")
    assert main.video is not None
    assert sub.video is not None
    assert (main.video.width, main.video.height, main.video.fps) == (1280, 720, 30)
    assert (sub.video.width, sub.video.height) == (640, 360)


@pytest.mark.parametrize(
    ("rtsps", "ports"),
    [("off", (8554, 0)), ("available", (8554, 8322)), ("default", (8554, 8322)), ("required", (0, 8322))],
)
def test_open_ports(tmp_path: Path, rtsps: str, ports: tuple[int, int]) -> None:
    file = tmp_path / "f.toml"
    file.write_text(f'[server]\nrtsps = "{rtsps}"\n')
    settings = load(file)
    assert (settings.rtsp_port, settings.rtsps_port) == ports


def test_the_command_line_goes_before_the_file(example: Path) -> None:
    settings = load(example, {"rtsp_port": 0, "host": ["127.0.0.1", "::1"]})
    assert (settings.rtsp_port, settings.rtsps_port, settings.hosts) == (0, 8322, ("127.0.0.1", "::1"))
    assert settings.cameras == load(example).cameras


def test_a_file_is_passed_through_unless_other_settings_are_asked_for(example: Path) -> None:
    example.write_text(EXAMPLE.replace('path = "clip.mp4" }', 'path = "clip.mp4" }\nvideo = { width = 640 }'))
    stream = load(example).cameras[0].streams[1]
    assert stream.video == VideoSpec(width=640)


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        ('codec = "h265"', VideoSpec(codec="h265")),
        ('encoder = "nvenc"', VideoSpec(encoder="nvenc")),
        # FFmpeg's names too
        ('encoder = "h264_nvenc"', VideoSpec(encoder="nvenc")),
        ('encoder = "libx264"', VideoSpec(encoder="x264")),
        ('codec = "h265", encoder = "hevc_vaapi"', VideoSpec(codec="h265", encoder="vaapi")),
        ('rate_control = "vbr", profile = "baseline"', VideoSpec(rate_control="vbr", profile="baseline")),
        ("threads = 4", VideoSpec(threads=4)),
        ('preset = "ultrafast"', VideoSpec(preset="ultrafast")),
    ],
)
def test_what_the_encoder_gets(written: str, spec: VideoSpec, example: Path) -> None:
    example.write_text(EXAMPLE.replace('path = "clip.mp4" }', f'path = "clip.mp4" }}\nvideo = {{ {written} }}'))
    assert load(example).cameras[0].streams[1].video == spec


def test_settings_keep_no_password(example: Path) -> None:
    settings: Settings = load(example)
    assert "s3cret" not in repr(settings)
    assert "sesame" not in repr(settings)
