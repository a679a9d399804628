"""The commands but for a serving server, which is tests/process/test_first_run.py."""

from pathlib import Path

import pytest
from camfleet.supervisor import encoders, protocols
from camfleet.supervisor.cli import main
from camfleet.supervisor.credentials import user_spec
from camfleet.supervisor.state import StateFolder

USERS = '[[users]]\nname = "a"\npassword = "x"\n'


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("camfleet 0.")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["check"], ["serve", "--rtsp-port", "x"], ["status", "--xml"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("usage: camfleet")


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.toml"
    file.write_text(f'[server]\nstate_dir = "state"\n{USERS}')
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: good; 1 camera, 2 streams, 1 user\n"


def test_check_looks_at_the_certificates_of_the_state_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, certs = tmp_path / "f.toml", tmp_path / "state/certs"
    file.write_text(USERS)
    certs.mkdir(parents=True)
    for name in ("ssl.ca", "ssl.key"):
        (certs / name).write_text("rubbish")
    assert main(["check", str(file), "--state-dir", str(tmp_path / "state")]) == 1
    assert f"camfleet: global: {certs}/ssl.ca: " in capsys.readouterr().err


def test_check_says_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.toml"
    file.write_text("[server]\nrtsp_port = -1\ncolour = 1\n")
    assert main(["check", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"{file}:2: server.rtsp_port: -1 is not allowed; allowed: a whole number from 0 to 65535",
        f"{file}:3: server.colour: unknown key; allowed: host, rtsp_port, rtsps_port, rtsps, state_dir",
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rtsp-port", "65536"], "command line: server.rtsp_port: 65536 is not allowed; allowed: "),
        (["--host", "here"], 'command line: server.host: ["here"] is not allowed; allowed: '),
        (
            ["--rtsp-port", "0", "--rtsps-port", "0"],
            'server.rtsp_port: no port is open with rtsps = "default"; allowed: ',
        ),
        (
            ["--config", "/nonexistent/f.toml"],
            "/nonexistent/f.toml: No such file or directory; allowed: a readable file",
        ),
        (["--state-dir", "/dev/null"], "camfleet: state folder /dev/null: File exists; choose one with --state-dir"),
    ],
)
def test_serve_that_cannot_start(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--state-dir", str(tmp_path / "state"), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert not (tmp_path / "state").exists()


def test_status_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state-dir", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("camfleet: no server ")


@pytest.mark.parametrize("command", [["status"], ["replace", "--all"]])
def test_mistakes_in_the_file_do_not_hide_the_server(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.toml"
    file.write_text('[server]\nstate_dir = "here"\ncolour = 1\n[[cameras]]\n')
    assert main([*command, "--config", str(file)]) == 1
    assert f"nobody listens at {tmp_path}/here/run/bus.sock" in capsys.readouterr().err
    file.write_text("[server\n")
    assert main([*command, "--config", str(file)]) == 1
    assert f"{file}: is not TOML" in capsys.readouterr().err


def test_each_command_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["serve"], ["check"], ["status"], ["replace"], ["password"], ["encoders"], ["cert", "install"]):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        _usage, purpose, *_ = capsys.readouterr().out.split("\n\n")
        assert purpose.endswith(".")


def test_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for _ in range(2):
        assert main(["password", "--state-dir", str(tmp_path)]) == 0
        (line, *_) = capsys.readouterr().out.splitlines()
        password = line.removeprefix("User viewer, password ")
        assert StateFolder(tmp_path).user() == user_spec("viewer", password)
        shown.append(password)
    assert shown[0] != shown[1]
    assert not any(password in (tmp_path / "user.json").read_text() for password in shown)


def test_password_of_the_user_by_name(tmp_path: Path) -> None:
    StateFolder(tmp_path).save_user(user_spec("operator", "old"))
    assert main(["password", "operator", "--state-dir", str(tmp_path)]) == 0
    user = StateFolder(tmp_path).user()
    assert user is not None
    assert user.name == "operator"
    assert user != user_spec("operator", "old")


def test_password_of_somebody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["password", "root", "--state-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == 'camfleet: there is no user "root"; the generated user is "viewer"\n'
    assert StateFolder(tmp_path).user() is None


def test_password_of_a_configured_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.toml"
    file.write_text(USERS)
    assert main(["password", "a", "--config", str(file), "--state-dir", str(tmp_path / "state")]) == 1
    assert "the users are configured in" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_encoders(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders", "--state-dir", str(tmp_path)]) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert {row[1] for row in rows if row[-1] == "usable"} >= {"x264", "x265"}
    assert list(tmp_path.iterdir()) == []  # there is no server whose workers could use it
    StateFolder(tmp_path).prepare()
    assert main(["encoders", "--state-dir", str(tmp_path)]) == 0
    assert (tmp_path / "run" / "encoders.json").exists()


ENCODERS = """
[[cameras]]
id = "ipc1"
[[cameras.streams]]
id = "stream1"
source = { kind = "testlive" }
video = { encoder = "%s" }
[[cameras.streams]]
id = "stream2"
source = { kind = "testlive" }
video = { codec = "h265", encoder = "%s" }
[[cameras.streams]]
id = "stream3"
source = { kind = "testlive" }
"""


def test_check_tries_the_encoders_that_were_asked_for_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f.toml"
    file.write_text(USERS + ENCODERS % ("libx264", "x265"))
    assert main(["check", str(file)]) == 0
    asked: list[str] = []

    async def ask(_module: str, arguments: list[str], _timeout_s: float) -> dict[str, str]:
        asked[:] = arguments
        return {"h264/nvenc": "no NVIDIA driver on this machine", "h265/nvenc": ""}

    monkeypatch.setattr(encoders, "ask", ask)
    file.write_text(USERS + ENCODERS % ("h264_nvenc", "nvenc"))
    assert main(["check", str(file)]) == 1
    assert asked == ["--json", "h264/nvenc", "h265/nvenc"]
    assert capsys.readouterr().err == (
        'camfleet: ipc1-stream1: encoder "nvenc" cannot be used for h264: no NVIDIA driver on this machine\n'
    )
    file.write_text(USERS + ENCODERS % ("auto", "auto"))
    asked.clear()
    assert main(["check", str(file)]) == 0
    assert asked == []


def test_check_says_when_the_encoders_cannot_be_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f.toml"
    file.write_text(USERS + ENCODERS % ("x264", "auto"))
    monkeypatch.setattr(encoders, "MODULE", "nowhere")
    assert main(["check", str(file)]) == 1
    assert "the encoders could not be tried" in capsys.readouterr().err


SRT = """
[[cameras]]
id = "ipc1"
[[cameras.streams]]
id = "stream1"
source = { kind = "netlive", url = "srt://192.0.2.30:9000" }
[[cameras.streams]]
id = "stream2"
source = { kind = "netlive", url = "rtmp://192.0.2.30/live/key" }
"""


def test_check_says_that_the_wheel_of_pyav_has_no_srt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV itself is asked. When its wheel has SRT one day, docs/sources.md has to say so."""
    file = tmp_path / "f.toml"
    file.write_text(USERS + SRT)
    assert main(["check", str(file)]) == 1
    assert capsys.readouterr().err == (
        "camfleet: ipc1-stream1: this build of PyAV has no SRT, so srt:// cannot be read; "
        "one that is built from source with it can (docs/sources.md)\n"
    )
    file.write_text(USERS + SRT.replace("srt://", "udp://"))
    assert main(["check", str(file)]) == 0
    monkeypatch.setattr(protocols, "MODULE", "nowhere")
    assert main(["check", str(file)]) == 1
    assert "PyAV could not be asked for its protocols" in capsys.readouterr().err
