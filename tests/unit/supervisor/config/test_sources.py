"""The settings of sources that are pulled: what is refused, in which words, and what the worker gets."""

import subprocess
from pathlib import Path

import pytest
from camfleet.core.wire import NetLive, RTSPLive
from camfleet.supervisor.config import check
from camfleet.supervisor.config.settings import load

CAMERA = '[[cameras]]\nid = "ipc1"\n[[cameras.streams]]\nid = "stream1"\nsource = {{ kind = "{}", {} }}\n'
PLAIN, TLS = 'url = "rtsp://camera.example.org/live"', 'url = "rtsps://camera.example.org/live"'
PRINT = "AB" * 32


def written(folder: Path, source: str, kind: str = "rtsplive") -> Path:
    file = folder / "camfleet.toml"
    file.write_text(CAMERA.format(kind, source))
    return file


@pytest.mark.parametrize(
    ("source", "key", "wrong"),
    [
        ('transport = "tcp"', "url", "is missing"),
        ('url = "http://secret:secret@h/"', "url", "is not rtsp://HOST"),
        ('url = "file:///etc/shadow"', "url", "is not rtsp://HOST"),
        ('url = "rtsp://secret:secret@h:0/"', "url", "is no port"),
        (f'{PLAIN}, transport = "multicast"', "transport", '"multicast" is not allowed'),
        (f'{TLS}, transport = "udp"', "transport", "in clear"),
        (f'{PLAIN}, tls = "off"', "tls", "has no certificate"),
        (f'{PLAIN}, fingerprint = "{PRINT}"', "fingerprint", "has no certificate"),
        (f'{TLS}, fingerprint = "{PRINT[:-1]}"', "fingerprint", "is not allowed"),
        (f'{TLS}, tls = "off", fingerprint = "{PRINT}"', "tls", '"off" beside'),
        (f'{TLS}, ca_file = "none.pem"', "ca_file", "No such file"),
        (f'{TLS}, ca_file = "camfleet.toml"', "ca_file", "has no certificate as PEM"),
        (f'{PLAIN}, user = "u"', "password_file", "is missing beside the user"),
        (f'{PLAIN}, password = "secret"', "user", "is missing beside its password"),
        (f'{PLAIN}, user = "u", password_file = "none"', "password_file", "No such file"),
        (f'{PLAIN}, user = "u", password = "secret", password_file = "pw"', "password_file", "both there"),
        ('url = "rtsp://u:secret@h/", user = "v", password = "secret"', "user", "both name a user"),
        (f'{PLAIN}, user = "a:b", password = "secret"', "user", "is not allowed"),
        (f'{PLAIN}, user = "u", password = "secret\\n"', "password", "this value is not allowed"),
    ],
)
def test_wrong(source: str, key: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("secret\n")
    (problem,) = check(written(tmp_path, source))
    assert problem.key == f"cameras[0].streams[0].source.{key}"
    assert wrong in problem.wrong
    assert "secret" not in str(problem)


@pytest.mark.parametrize(
    ("source", "key", "wrong"),
    [
        ('url = "file:///etc/shadow"', "url", "is not rtmp://"),
        ('url = "concat:http://h/"', "url", "is not rtmp://"),
        ('url = "http://h/secret word"', "url", "is not rtmp://"),
        ('url = "rtmp://u:secret@h/live"', "user", "is nothing that rtmp:// knows"),
        ('url = "http://u:secret@h/", user = "v", password = "secret"', "user", "both name a user"),
        ('url = "http://h/", ca_file = "none.pem"', "ca_file", "says nothing about http://"),
        (f'url = "rtmps://h/", fingerprint = "{PRINT}"', "fingerprint", "is not possible with rtmps://"),
        ('url = "udp://h:1234", tls = "off"', "tls", "says nothing about udp://"),
        ('url = "udp://h"', "url", "names no UDP port"),
        ('url = "udp://[ff02::1]/"', "url", "names no UDP port"),
        ('url = "udp://h:70000"', "url", "names no UDP port"),
        ('url = "udp://h:1234?fifo_size=1000"', "url", "has the option 'fifo_size'"),
        ('url = "udp://h:1234?localaddr=eth0"', "url", "no IPv4 address"),
    ],
)
def test_wrong_netlive(source: str, key: str, wrong: str, tmp_path: Path) -> None:
    problems = check(written(tmp_path, source, "netlive"))
    assert [problem for problem in problems if problem.key.endswith(f".{key}") and wrong in problem.wrong]
    assert "secret" not in str(problems)


def test_what_the_worker_gets_of_netlive(tmp_path: Path) -> None:
    (camera,) = load(written(tmp_path, 'url = "HTTPS://u:p%40ss@h:8443/a?b=c"', "netlive")).cameras
    assert camera.streams[0].source == NetLive(url="https://h:8443/a?b=c", user="u", password="p@ss")
    assert "p@ss" not in repr(camera.streams[0].source)


@pytest.mark.parametrize("url", ["udp://239.1.2.3:5000?localaddr=192.0.2.1", "udp://[ff02::1%2]:5000", "udp://h:1/"])
def test_what_udp_may_be(url: str, tmp_path: Path) -> None:
    assert check(written(tmp_path, f'url = "{url}"', "netlive")) == []


def spec(folder: Path, source: str) -> RTSPLive:
    (camera,) = load(written(folder, source)).cameras
    found = camera.streams[0].source
    assert isinstance(found, RTSPLive)
    return found


def test_what_the_worker_gets(tmp_path: Path) -> None:
    assert spec(tmp_path, PLAIN) == RTSPLive(url="rtsp://camera.example.org/live")
    assert spec(tmp_path, 'url = "rtsp://u:p%40ss@h:8554/x?y", transport = "udp", basic = true') == RTSPLive(
        url="rtsp://h:8554/x?y", user="u", password="p@ss", udp=True, basic=True
    )
    colons = ":".join(PRINT[n : n + 2] for n in range(0, 64, 2))
    assert spec(tmp_path, f'{TLS}, fingerprint = "{colons}"').fingerprint == "ab" * 32
    assert spec(tmp_path, f'{TLS}, tls = "off"').verify is False


def test_the_path_may_be_a_key(tmp_path: Path) -> None:
    source = spec(tmp_path, 'url = "rtsp://h/user=u_password=secret?key=secret", user = "u", password = "secret"')
    assert source.url.count("secret") == 2
    assert "secret" not in repr(source)


def test_files_start_at_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("secret\n")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout /dev/null -out"
    subprocess.run([*make.split(), str(tmp_path / "ca.pem")], check=True, capture_output=True)
    file = written(tmp_path, f'{TLS}, user = "u", password_file = "pw", ca_file = "ca.pem"')
    settings = load(file)
    source = settings.cameras[0].streams[0].source
    assert source == RTSPLive(
        url="rtsps://camera.example.org/live", user="u", password="secret", ca_file=str(tmp_path / "ca.pem")
    )
    assert set(settings.files) == {file, tmp_path / "pw"}  # another password is another configuration
    assert "secret" not in repr(source)
