"""Structured logs of both processes: one logfmt line per record on stderr, nothing secret, nothing a peer can forge.

    log = Log("session")
    log.info("playing", peer="192.0.2.9:40112")

    time=2026-03-01T12:00:00.123Z level=info room=session event=playing peer=192.0.2.9:40112 camera=ipc1

Whatever a peer sent is quoted and escaped, so that it can neither start a new line nor talk to the terminal
(bad-input 26), and a user and password inside a URL are blanked.
"""

import datetime
import json
import logging
import re
import sys
from typing import Any, TextIO

LEVEL_VARIABLE = "CAMFLEET_LOG_LEVEL"  # how the supervisor tells the fork server, and so all workers
LEVELS = ("debug", "info", "warning", "error")
MAX_VALUE_SIZE = 2000
_LINE_PERIOD_NS = 1_000_000_000
_BARE = re.compile(r"[^\s\"=\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_URL_CREDENTIALS = re.compile(r"://[^/@\s]*@")
_tags: dict[str, object] = {}
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "fields"}


def quote(value: object) -> str:
    """A logfmt value: bare when it can be, else a JSON string in ASCII."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if "://" in text:
        text = _URL_CREDENTIALS.sub("://***@", text)
    if len(text) > MAX_VALUE_SIZE:
        text = text[:MAX_VALUE_SIZE] + "..."
    return text if _BARE.fullmatch(text) else json.dumps(text)


class Log:
    """The log of one room; events are snake_case words, field names carry units.

    The fields travel in one attribute of the record: by themselves `logging` refuses some names, as name and args.
    """

    def __init__(self, room: str) -> None:
        self._logger = logging.getLogger(f"camfleet.{room}")

    def debug(self, event: str, **fields: object) -> None:
        self._logger.debug(event, extra={"fields": fields})

    def info(self, event: str, **fields: object) -> None:
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, **fields: object) -> None:
        self._logger.error(event, extra={"fields": fields})

    def exception(self, event: str, **fields: object) -> None:
        """An error with the traceback of the exception being handled, still on one line."""
        self._logger.exception(event, extra={"fields": fields})


class LineLimit:
    """One line a second and kind, for what anybody may cause. Kinds are few. Time comes in."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, int]] = {}  # when the next line is due, and how many were held back

    def suppressed(self, kind: str, now_ns: int) -> int | None:
        """How many lines of this kind were held back before this one; None: this one is too."""
        due_ns, held_back = self._kinds.get(kind, (now_ns, 0))
        if now_ns < due_ns:
            self._kinds[kind] = due_ns, held_back + 1
            return None
        self._kinds[kind] = now_ns + _LINE_PERIOD_NS, 0
        return held_back


class LogfmtFormatter(logging.Formatter):
    """One line per record: its `extra` fields and, in each line, those of `tag`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "room": record.name.removeprefix("camfleet."),
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            line["traceback"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={quote(value)}" for key, value in (line | _tags).items())


def level() -> str:
    """The level of this process, a word of LEVELS."""
    return logging.getLevelName(logging.getLogger().level).lower()


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send every record of this process from `level` up to stderr or this stream, without the fields of `tag`."""
    _tags.clear()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    # What no line shows is not looked up (Logging HOWTO, Optimization): half of a record's cost.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def tag(**fields: object) -> None:
    """From now on in every line; a worker adds `camera="ipc1"`."""
    _tags.update(fields)
