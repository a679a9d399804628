"""Structured logs of both processes: one logfmt line per record on stderr, nothing secret, nothing a peer can forge.

    time=2026-03-01T12:00:00.123Z level=info event=playing room=session camera=ipc1 peer=192.0.2.9:40112 user=viewer

Whatever a peer sent is quoted and escaped, so that it can neither start a new line nor talk to the terminal
(bad-input 26); a user and password inside a URL are blanked. Bytes are not a loggable type: secrets are bytes.
"""

import datetime
import json
import logging
import re
import sys
from collections.abc import Mapping

Value = str | int | float | bool | None

LEVELS = ("debug", "info", "warning", "error")
MAX_VALUE_SIZE = 2000
_ROOT = "camfleet"
_BARE = re.compile(r"[^\s\"=\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_URL_CREDENTIALS = re.compile(r"://[^/@\s]*@")


def quote(value: Value) -> str:
    """A logfmt value: bare when it can be, else a JSON string in ASCII."""
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = _URL_CREDENTIALS.sub("://***@", str(value))
    if len(text) > MAX_VALUE_SIZE:
        text = text[:MAX_VALUE_SIZE] + "..."
    return text if _BARE.fullmatch(text) else json.dumps(text)


class Log:
    """The log of one room: `Log("listen").info("refused", peer=..., reason=...)`; field names carry units."""

    def __init__(self, room: str) -> None:
        self._room = room
        self._logger = logging.getLogger(f"{_ROOT}.{room}")

    def debug(self, event: str, **fields: Value) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Value) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Value) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Value) -> None:
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Value) -> None:
        """An error with the traceback of the exception being handled, still on one line."""
        self._write(logging.ERROR, event, fields, traceback=True)

    def _write(self, level: int, event: str, fields: Mapping[str, Value], traceback: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, exc_info=traceback, extra={"fields": {"room": self._room, **fields}})


class LogfmtFormatter(logging.Formatter):
    """One line per record. `constant` fields stand in each of them."""

    def __init__(self, constant: Mapping[str, Value]) -> None:
        super().__init__()
        self._constant = dict(constant)

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Value] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
        }
        fields: Mapping[str, Value] | None = getattr(record, "fields", None)
        if fields is None:  # the standard library or a package: asyncio reports lost exceptions this way
            line |= {"event": "message", "room": record.name, "text": record.getMessage()}
        else:
            line |= {"event": record.getMessage(), **fields}
        if record.exc_info and record.exc_info[0]:
            line["traceback"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={quote(value)}" for key, value in (line | self._constant).items())


def configure(level: str = "info", **constant: Value) -> None:
    """Send every record of this process from `level` up to stderr; a worker adds `camera="ipc1"` to all of them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogfmtFormatter(constant))
    root = logging.getLogger()
    for previous in root.handlers[:]:
        root.removeHandler(previous)
    root.addHandler(handler)
    root.setLevel(level.upper())
