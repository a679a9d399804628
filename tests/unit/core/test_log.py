import io
import logging
import shlex
from collections.abc import Iterator

import pytest
from camfleet.core.log import MAX_VALUE_SIZE, Log, configure, quote, tag

QUOTED = [
    (None, ""),
    (True, "true"),
    (7, "7"),
    (0.1 + 0.2, "0.3"),
    ("192.0.2.9:40112", "192.0.2.9:40112"),
    ("", '""'),
    ("two words", '"two words"'),
    ("a=b", '"a=b"'),
    ('say "hi"', r'"say \"hi\""'),
    ("back\\slash", r'"back\\slash"'),
    ("new\nline", r'"new\nline"'),
    ("\x1b[31mred", r'"\u001b[31mred"'),
    ("\x9b31m", r'"\u009b31m"'),
    ("\u2028", r'"\u2028"'),
    ("\ud800", r'"\ud800"'),
    ("Köln", "Köln"),
    ("rtsp://viewer:s3cret@192.0.2.7/ipc1", "rtsp://***@192.0.2.7/ipc1"),
    ("x" * (MAX_VALUE_SIZE + 1), "x" * MAX_VALUE_SIZE + "..."),
]


@pytest.mark.parametrize(("value", "text"), QUOTED)
def test_quote(value: object, text: str) -> None:
    assert quote(value) == text


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def fields(line: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(line))


def test_a_record_is_one_line_of_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    tag(camera="ipc1")
    log = logging.getLogger("camfleet.workers.session")
    log.info("playing for %s", "viewer\n", extra={"peer": "192.0.2.9:40112"})
    log.debug("not shown")
    (line,) = capsys.readouterr().err.splitlines()
    found = fields(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info",
        "room": "workers.session",
        "event": r"playing for viewer\n",
        "peer": "192.0.2.9:40112",
        "camera": "ipc1",
    }


def test_a_room_may_name_its_fields_as_it_likes(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug")
    log = Log("listen")
    for write in (log.debug, log.info, log.warning, log.error, log.exception):
        write("refused", name="ipc 1", args=1, msg="x")
    lines = capsys.readouterr().err.splitlines()
    assert [fields(line)["level"] for line in lines] == ["debug", "info", "warning", "error", "error"]
    for line in lines:
        assert fields(line).items() >= {"room": "listen", "event": "refused", "name": "ipc 1", "args": "1"}.items()


def test_a_traceback_stays_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        logging.getLogger("asyncio").exception("lost")
    (line,) = capsys.readouterr().err.splitlines()
    assert fields(line)["traceback"].endswith(r"ValueError: bad\nvalue")


def test_configure_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    tag(camera="ipc1")
    configure("error")
    logging.getLogger("camfleet.x").warning("quiet")
    logging.getLogger("camfleet.x").error("once")
    (line,) = capsys.readouterr().err.splitlines()
    assert fields(line)["event"] == "once"
    assert "camera" not in fields(line)


def test_lines_go_to_another_stream_instead(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    configure("info", stream)
    Log("listen").info("here")
    assert fields(stream.getvalue())["event"] == "here"
    assert capsys.readouterr().err == ""
