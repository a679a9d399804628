"""Every way to be wrong, with the place and the words; and all of them at once."""

from pathlib import Path

import pytest
from camfleet.supervisor.config import ConfigurationError, Problem, check
from camfleet.supervisor.config.read import MAX_FILE_SIZE, parse
from camfleet.supervisor.config.schema import Stream
from camfleet.supervisor.config.section import keys

STREAM = '[[cameras.streams]]\nid = "stream1"\nsource = { kind = "testlive" }\n'
CAMERA = '[[cameras]]\nid = "ipc1"\n' + STREAM
ID = 'up to 32 letters, digits and "_" (no "-": it separates camera and stream in a URL)'
NAME = 'up to 64 characters without control characters, ":", "\\" and \'"\''
PORT = "a whole number from 0 to 65535"
KINDS = "one of " + ", ".join(f'"{kind}"' for kind in next(key for key in keys(Stream) if key.name == "source").choices)


def problems(text: str | bytes, folder: Path = Path("/nonexistent")) -> list[Problem]:
    data = text if isinstance(text, bytes) else text.encode()
    try:
        parse(data, "f.toml", folder)
    except ConfigurationError as error:
        return error.problems
    return []


def video(setting: str) -> str:
    return CAMERA + f"video = {{ {setting} }}\n"


# text, line, key, wrong, allowed
WRONG = [
    ("colour = 1", 1, "colour", "unknown key", "server, tls, users, cameras, limits, workers"),
    ("[server]\ncolour = 1", 2, "server.colour", "unknown key", "host, rtsp_port, rtsps_port, rtsps, state_dir"),
    ('["ser ver"]', 1, '"ser ver"', "unknown key", "server, tls, users, cameras, limits, workers"),
    ("server = 5", 1, "server", "5 is not a table", "a table"),
    (
        '[[cameras]]\nid = "a"\n[[cameras.streams]]\nid = "b"\nsource = "testlive"',
        5,
        "cameras[0].streams[0].source",
        '"testlive" is not a table',
        'a table, as in { kind = "testlive" }',
    ),
    ("users = 5", 1, "users", "5 is not a list of tables", "[[users]] tables"),
    ("users = [5]", 1, "users", "[5] is not a list of tables", "[[users]] tables"),
    ("[server]\nrtsp_port = 65536", 2, "server.rtsp_port", "65536 is not allowed", PORT),
    ("[server]\nrtsp_port = -1", 2, "server.rtsp_port", "-1 is not allowed", PORT),
    ('[server]\nrtsp_port = "8554"', 2, "server.rtsp_port", '"8554" is not allowed', PORT),
    ("[server]\nrtsp_port = true", 2, "server.rtsp_port", "true is not allowed", PORT),
    ("[server]\nrtsp_port = 8554.5", 2, "server.rtsp_port", "8554.5 is not allowed", PORT),
    ("[server]\n\nrtsps_port = 8554", 3, "server.rtsps_port", "8554 is the rtsp_port too", "two different ports"),
    (
        "[server]\nrtsp_port = 0\nrtsps_port = 0",
        2,
        "server.rtsp_port",
        'no port is open with rtsps = "default"',
        "a port of its own from 1 to 65535",
    ),
    (
        '[server]\nrtsps = "off"\nrtsp_port = 0',
        3,
        "server.rtsp_port",
        'no port is open with rtsps = "off"',
        "a port of its own from 1 to 65535",
    ),
    (
        '[server]\nrtsps = "required"\nrtsps_port = 0',
        3,
        "server.rtsps_port",
        'no port is open with rtsps = "required"',
        "a port of its own from 1 to 65535",
    ),
    (
        '[server]\nrtsps = "on"',
        2,
        "server.rtsps",
        '"on" is not allowed',
        'one of "off", "available", "default", "required"',
    ),
    *(
        (
            f"[server]\nhost = {host}",
            2,
            "server.host",
            f"{host} is not allowed",
            "an IPv4 or IPv6 address, or a list of different ones",
        )
        for host in ('"localhost"', '"1.2.3"', '""', "[]", "5", '["::1", 5]', '["::1", "0::1"]', "true")
    ),
    ('[server]\nstate_dir = ""', 2, "server.state_dir", '"" is not allowed', "a path"),
    (
        '[tls]\ncertificate = "a.pem"',
        1,
        "tls.private_key",
        "is missing",
        "certificate and private_key together, or neither",
    ),
    (
        '[tls]\nprivate_key = "a.pem"',
        1,
        "tls.certificate",
        "is missing",
        "certificate and private_key together, or neither",
    ),
    (
        '[tls]\ncertificate = "/nonexistent/a"\nprivate_key = "b"',
        2,
        "tls.certificate",
        "/nonexistent/a: No such file or directory",
        "a file that can be read",
    ),
    ('[[users]]\npassword = "x"', 1, "users[0].name", "is missing", NAME),
    *(
        (f'[[users]]\nname = {name}\npassword = "x"', 2, "users[0].name", f"{name} is not allowed", NAME)
        for name in ('""', '"a:b"', r'"a\"b"', r'"a\\b"', r'"a\nb"', r'"a\u009b"')
    ),
    ('[[users]]\nname = "a\\n"\npassword = "x"', 2, "users[0].name", '"a\\n" is not allowed', NAME),
    (
        '[[users]]\nname = "a"',
        1,
        "users[0]",
        "has no password",
        "exactly one of password, password_file, digest",
    ),
    (
        '[[users]]\nname = "a"\npassword = "x"\ndigest = { md5 = "00000000000000000000000000000000" }',
        1,
        "users[0]",
        "has 2 of password, password_file and digest",
        "exactly one of password, password_file, digest",
    ),
    (
        '[[users]]\nname = "a"\npassword = ""',
        3,
        "users[0].password",
        "this value is not allowed",
        "1 to 256 characters without control characters",
    ),
    (
        '[[users]]\nname = "a"\ndigest = { md5 = "12" }',
        3,
        "users[0].digest.md5",
        "this value is not allowed",
        "32 lower-case hex digits",
    ),
    (
        '[[users]]\nname = "a"\npassword_file = "none"',
        3,
        "users[0].password_file",
        "/nonexistent/none: No such file or directory",
        "a readable file with the password as its only line",
    ),
    (
        '[[users]]\nname = "a"\npassword = "x"\n[[users]]\nname = "a"\npassword = "x"',
        5,
        "users[1].name",
        '"a" is taken by users[0]',
        "one of its own",
    ),
    ('[[cameras]]\nid = "ipc-1"\n' + STREAM, 2, "cameras[0].id", '"ipc-1" is not allowed', ID),
    ('[[cameras]]\nid = ""\n' + STREAM, 2, "cameras[0].id", '"" is not allowed', ID),
    ('[[cameras]]\nid = "ipc1\\n"\n' + STREAM, 2, "cameras[0].id", '"ipc1\\n" is not allowed', ID),
    ("[[cameras]]\n" + STREAM, 1, "cameras[0].id", "is missing", ID),
    ('[[cameras]]\nid = "ipc1"', 1, "cameras[0].streams", "is missing", "one [[cameras.streams]] or more"),
    ('[[cameras]]\nid = "ipc1"\nstreams = []', 3, "cameras[0].streams", "is empty", "one [[cameras.streams]] or more"),
    (CAMERA + CAMERA, 7, "cameras[1].id", '"ipc1" is taken by cameras[0]', "one of its own"),
    (
        CAMERA + STREAM,
        7,
        "cameras[0].streams[1].id",
        '"stream1" is taken by cameras[0].streams[0]',
        "one of its own",
    ),
    (
        '[[cameras]]\nid = "ipc1"\nport = 1\n' + STREAM,
        3,
        "cameras[0].port",
        "unknown key",
        "id, name, enabled, streams, digest_sha256, rtsps_port, server_name, address, tls, cpus",
    ),
    (
        CAMERA.replace("testlive", "radiolive"),
        5,
        "cameras[0].streams[0].source.kind",
        '"radiolive" is not allowed',
        KINDS,
    ),
    (
        CAMERA.replace('kind = "testlive"', ""),
        5,
        "cameras[0].streams[0].source.kind",
        "is missing",
        KINDS,
    ),
    (
        CAMERA.replace('"testlive"', '"testlive", path = "a.mp4"'),
        5,
        "cameras[0].streams[0].source.path",
        "unknown key",
        "kind",
    ),
    (
        CAMERA.replace("testlive", "filelive"),
        5,
        "cameras[0].streams[0].source.path",
        "is missing",
        "a path, or a list as paths",
    ),
    (
        CAMERA.replace('"testlive"', '"filelive", path = "/tmp", paths = ["/tmp"]'),
        5,
        "cameras[0].streams[0].source.paths",
        "and path are both there",
        "one of them",
    ),
    (
        CAMERA.replace('"testlive"', '"filelive", path = "a.mp4"'),
        5,
        "cameras[0].streams[0].source.path",
        "/nonexistent/a.mp4: No such file or directory",
        "a file that can be read",
    ),
    (
        CAMERA.replace('"testlive"', '"filelive", paths = ["/tmp", "a.mp4"]'),
        5,
        "cameras[0].streams[0].source.paths",
        "/nonexistent/a.mp4: No such file or directory",
        "a file that can be read",
    ),
    (
        CAMERA.replace('"testlive"', '"filelive", path = "/dev/null"'),
        5,
        "cameras[0].streams[0].source.path",
        "/dev/null is not a regular file",
        "a file",
    ),
    (
        CAMERA.replace('"testlive"', '"filelive", path = "a\\u0000"'),
        5,
        "cameras[0].streams[0].source.path",
        "/nonexistent/a\0: embedded null byte",
        "a file that can be read",
    ),
    *(
        (
            video(f"{key} = {value}"),
            6,
            f"cameras[0].streams[0].video.{key}",
            f"{value} is not allowed",
            "an even whole number from 64 to 4096" if key in ("width", "height") else "a whole number from 1 to 120",
        )
        for key, value in (("width", 641), ("width", 4098), ("height", 62), ("fps", 0), ("fps", 121), ("fps", '"30"'))
    ),
    *(
        (
            video(f"bitrate = {value}"),
            6,
            "cameras[0].streams[0].video.bitrate",
            f"{value} is not allowed",
            'bits per second from "16k" to "100M", as in 2000000, "2000k" or "2M"',
        )
        for value in ('"2G"', '"2 M"', '"-2M"', '"M"', '""', "15999", "100000001", '"1e6"', "2.5", "true", '"100.001M"')
    ),
    (video('codec = "vp9"'), 6, "cameras[0].streams[0].video.codec", '"vp9" is not allowed', 'one of "h264", "h265"'),
    (
        video('rate_control = "crf"'),
        6,
        "cameras[0].streams[0].video.rate_control",
        '"crf" is not allowed',
        'one of "cbr", "vbr"',
    ),
    *(
        (
            video(f'codec = "{codec}", encoder = "{encoder}"'),
            6,
            "cameras[0].streams[0].video.encoder",
            f'"{encoder}" makes no {codec}',
            f'"auto" or one of "nvenc", "qsv", "vaapi", "amf", "{cpu}"',
        )
        for codec, cpu, encoder in (
            ("h264", "x264", "x265"),
            ("h264", "x264", "hevc_nvenc"),
            ("h265", "x265", "x264"),
            ("h265", "x265", "libx264"),
        )
    ),
    (
        video('codec = "h265", profile = "high"'),
        6,
        "cameras[0].streams[0].video.profile",
        'h265 has no profile "high"',
        'one of "main", or none',
    ),
    *(
        (
            f"[limits]\nlockout_s = {value}",
            2,
            "limits.lockout_s",
            f"{echo} is not allowed",
            "a number from 0 to 86400",
        )
        for value, echo in (("nan", "NaN"), ("inf", "Infinity"), ("-0.5", "-0.5"), ("1e300", "1e+300"))
    ),
    (
        "[limits]\nconnections = 1979-05-27",
        2,
        "limits.connections",
        '"1979-05-27" is not allowed',
        "a whole number from 1 to 1000000",
    ),
]


@pytest.mark.parametrize(("text", "line", "key", "wrong", "allowed"), WRONG)
def test_wrong(text: str, line: int, key: str, wrong: str, allowed: str) -> None:
    assert [each._replace(of="") for each in problems(text)] == [Problem("f.toml", line, key, wrong, allowed)]


def test_lines_that_end_as_on_windows() -> None:
    (problem,) = problems(b"[server]\r\n\r\nrtsp_port = -1\r\n")
    assert (problem.line, problem.key) == (3, "server.rtsp_port")


def test_a_wrong_option_is_not_blamed_on_the_file() -> None:
    with pytest.raises(ConfigurationError) as error:
        parse(b"[server]\nrtsp_port = 8554\n", "f.toml", Path("/nonexistent"), {"rtsp_port": -1})
    (problem,) = error.value.problems
    assert (problem.file, problem.line, problem.key) == ("command line", 0, "server.rtsp_port")


def test_a_long_value_is_cut() -> None:
    (problem,) = problems('[[users]]\npassword = "x"\nname = "' + "a" * 65 + '"')
    assert problem.wrong == '"' + "a" * 59 + "... is not allowed"


EVERYTHING = """\
colour = "red"
[server]
host = "nohost"
rtsp_port = 70000
[[users]]
name = "vi:ewer"
password = ""
[[users]]
name = "viewer"
password = "x"
password_file = "none"
[[cameras]]
id = "ipc-1"
rtsps_port = 70000
[[cameras.streams]]
id = "main"
source = { kind = "filelive", path = "none.mp4" }
[[cameras.streams]]
id = "main"
source = { kind = "screenshot" }
video = { width = 641, fps = 500, bitrate = "2G" }
[[cameras]]
id = "ipc2"
"""


def test_all_at_once_in_the_order_of_the_file() -> None:
    assert [(problem.line, problem.key) for problem in problems(EVERYTHING)] == [
        (1, "colour"),
        (3, "server.host"),
        (4, "server.rtsp_port"),
        (6, "users[0].name"),
        (7, "users[0].password"),
        (8, "users[1]"),
        (11, "users[1].password_file"),
        (13, "cameras[0].id"),
        (14, "cameras[0].rtsps_port"),
        (17, "cameras[0].streams[0].source.path"),
        (19, "cameras[0].streams[1].id"),
        (20, "cameras[0].streams[1].source.kind"),
        (21, "cameras[0].streams[1].video.width"),
        (21, "cameras[0].streams[1].video.fps"),
        (21, "cameras[0].streams[1].video.bitrate"),
        (22, "cameras[1].streams"),
    ]


def test_a_secret_is_never_shown() -> None:
    text = '[[users]]\nname = "a"\npassword = "hunter2\\n"\n[[users]]\nname = "b"\npassword = 12345\n'
    text += 'digest = { md5 = "beef" }'
    shown = "\n".join(str(problem) for problem in problems(text))
    assert shown.count("users[") == 3
    assert not any(secret in shown for secret in ("hunter2", "12345", "beef"))


@pytest.mark.parametrize(
    ("data", "line", "wrong"),
    [
        (b"[server\n", 0, "is not TOML: Expected ']' at the end of a table declaration (at line 1, column 8)"),
        (b"a = 1\na = 2\n", 0, "is not TOML: Cannot overwrite a value (at line 2, column 6)"),
        (b"# ok\n# \xff\n", 2, "is not UTF-8 text"),
        (b"a = " + b"[" * 100_000, 0, "is not TOML: maximum recursion depth exceeded"),
    ],
)
def test_not_toml(data: bytes, line: int, wrong: str) -> None:
    (problem,) = problems(data)
    assert (problem.line, problem.key) == (line, "")
    assert problem.wrong.startswith(wrong)


def test_unreadable_files(tmp_path: Path) -> None:
    (missing,) = check(tmp_path / "none.toml")
    assert (missing.file, missing.wrong) == (str(tmp_path / "none.toml"), "No such file or directory")
    (folder,) = check(tmp_path)
    assert folder.wrong == "Is a directory"
    huge = tmp_path / "clip.mp4"
    with huge.open("wb") as file:
        file.truncate(MAX_FILE_SIZE + 1)
    assert [problem.wrong for problem in check(huge)] == ["is too long"]


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (b"secret\n", True),
        (b"secret\r\n", True),
        (b"with space", True),
        ("Köln".encode(), True),
        (b"", False),
        (b"\n", False),
        (b"two\nlines\n", False),
        (b"\xff", False),
        (b"x" * 257, False),
    ],
)
def test_password_file(tmp_path: Path, content: bytes, good: bool) -> None:
    (tmp_path / "secret").write_bytes(content)
    text = '[[users]]\nname = "a"\npassword_file = "secret"'
    assert [problem.key for problem in problems(text, tmp_path)] == ([] if good else ["users[0].password_file"])


def test_a_problem_reads_as_one_line() -> None:
    assert str(Problem("f.toml", 3, "server.rtsp_port", "0 is not allowed", "1")) == (
        "f.toml:3: server.rtsp_port: 0 is not allowed; allowed: 1"
    )
    assert str(Problem("f.toml", 0, "", "is not TOML")) == "f.toml: is not TOML"
    assert str(Problem("f.toml", 7, "cameras[1].id", "is missing", of="ipc1")) == (
        "f.toml:7: ipc1: cameras[1].id: is missing"
    )


def test_a_problem_says_whose_it_is() -> None:
    text = """
        [[users]]
        name = "viewer"
        [[cameras]]
        id = "ipc1"
        colour = 1
        [[cameras.streams]]
        id = "stream1"
        source = { kind = "windowlive", id = 7, title = 1 }
        [[cameras.streams]]
        id = "str\\u001beam"
        source = { kind = "testlive" }
        overlays = [{ size = 2 }]
        [[cameras]]
        streams = 3
        [sever]
        """
    assert [(each.key, each.of) for each in problems(text)] == [
        ("users[0]", "viewer"),
        ("cameras[0].colour", "ipc1"),
        ("cameras[0].streams[0].source.title", "ipc1-stream1"),
        ("cameras[0].streams[1].id", "ipc1"),
        ("cameras[0].streams[1].overlays[0].size", "ipc1"),
        ("cameras[1].id", ""),
        ("cameras[1].streams", ""),
        ("sever", ""),
    ]
