"""TOML text to a Document, or everything that is wrong with it at once."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from .lines import Location, locate
from .schema import Document
from .section import Key, Section, keys
from .values import decode

# A hundred cameras are about 30 KB; this is against a wrong file, as a video or a log.
MAX_FILE_SIZE = 4 * 1024 * 1024
COMMAND_LINE = "command line"
_MAX_ECHO = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Problem(NamedTuple):
    """One thing wrong in a configuration file. `key` is dotted with indices; `line` is 0 when there is none."""

    file: str
    line: int
    key: str
    wrong: str
    allowed: str = ""
    of: str = ""  # the camera, stream or user that it is about, as far as the file names it

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(filter(None, (place, self.of, self.key, self.wrong))) + (
            f"; allowed: {self.allowed}" if self.allowed else ""
        )


class ConfigurationError(Exception):
    """A configuration that cannot be used; `problems` has all the reasons."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def read(file: Path | None, overrides: Mapping[str, Any] = MappingProxyType({})) -> Document:
    """The document in `file`, or an empty one, with `overrides` of [server] on top. Raises ConfigurationError."""
    if file is None:
        return parse(b"", COMMAND_LINE, Path.cwd(), overrides)
    return parse(_content(file), str(file), file.absolute().parent, overrides)


def state_dir_in(file: Path) -> Path | None:
    """Where a server with this file keeps its state, as far as the file says it, whatever else is wrong in it. Raises
    ConfigurationError."""
    server = _tree(_content(file), str(file))[1].get("server")
    state_dir = server.get("state_dir") if isinstance(server, dict) else None
    return file.absolute().parent / state_dir if isinstance(state_dir, str) and state_dir else None


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigurationError([Problem(str(file), 0, "", error.strerror or str(error), "a readable file")]) from None
    if len(data) > MAX_FILE_SIZE:
        raise ConfigurationError([Problem(str(file), 0, "", "is too long", f"{MAX_FILE_SIZE} bytes")])
    return data


def parse(data: bytes, name: str, folder: Path, overrides: Mapping[str, Any] = MappingProxyType({})) -> Document:
    """The document in `data`; `folder` is where relative paths start. Raises ConfigurationError."""
    text, tree = _tree(data, name)
    if overrides and isinstance(tree.setdefault("server", {}), dict):
        tree["server"].update(overrides)
    walk = _Walk(folder)
    document = walk.section(Document, tree, ())
    if document is None:
        lines = locate(text)
        problems = []
        for location, wrong, allowed in walk.found:
            if location[:1] == ("server",) and location[-1] in overrides:
                problems.append(Problem(COMMAND_LINE, 0, _dotted(location), wrong, allowed))
            else:
                line, of = _line(lines, location), _named(tree, location)
                problems.append(Problem(name, line, _dotted(location), wrong, allowed, of))
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line))
    return document


def _tree(data: bytes, name: str) -> tuple[str, dict[str, Any]]:
    try:
        text = data.decode()
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError([Problem(name, line, "", "is not UTF-8 text", "TOML")]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError([Problem(name, 0, "", f"is not TOML: {error}")]) from None


def _line(lines: dict[Location, int], location: Location) -> int:
    """Of a key, or of the innermost table around it that stands in the file; 0 when there is none."""
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location, 0)


def _named(tree: Any, location: Location) -> str:
    """The ids, or the name, of the tables of lists around it, as in ipc1-stream1: people do not count cameras."""
    names = []
    for part in location:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(part, int) and isinstance(tree, dict):
            names.append(tree.get("id", tree.get("name")))
    return "-".join(name for name in names if isinstance(name, str) and _BARE_KEY.fullmatch(name))


_WRONG: Any = object()
_SectionT = TypeVar("_SectionT", bound=Section)


class _Walk:
    """Follows the tree along the annotations of the sections; what is wrong is noted and left out of the checks."""

    def __init__(self, folder: Path) -> None:
        self.found: list[tuple[Location, str, str]] = []  # where, what is wrong, what is allowed
        self._folder = folder

    def section(self, kind: type[_SectionT], table: dict[str, Any], location: Location) -> _SectionT | None:
        """The section in `table`, None when anything in it is wrong."""
        before = len(self.found)
        known = {key.name: key for key in keys(kind)}
        tag_field = kind.__struct_config__.tag_field
        allowed = ", ".join(filter(None, (tag_field, *known)))
        for name in table:
            if name not in known and name != tag_field:
                self._note((*location, name), "unknown key", allowed)
        values = {name: self._value(key, table, (*location, name)) for name, key in known.items()}
        for check in kind.checks:
            arguments = [values[name] for name in check.keys]
            if _WRONG not in arguments:
                for complaint in check.run(self._folder, *arguments):
                    at = (*location, complaint.key) if complaint.key else location
                    self._note((*at, *complaint.inside), complaint.wrong, complaint.allowed)
        return kind(**values) if len(self.found) == before else None

    def _value(self, key: Key, table: dict[str, Any], location: Location) -> Any:
        if key.name not in table:
            if key.required:
                self._note(location, "is missing", key.allowed)
                return _WRONG
            return key.default
        raw = table[key.name]
        if key.tables:
            return self._tables(key, key.tables, raw, location)
        if key.table or key.choices:
            return self._table(key, raw, location)
        try:
            return msgspec.convert(raw, key.type, dec_hook=decode)
        except msgspec.ValidationError:
            shown = "this value" if key.secret else _echo(raw)
            self._note(location, f"{shown} is not allowed", key.allowed)
            return _WRONG

    def _table(self, key: Key, raw: Any, location: Location) -> Any:
        if not isinstance(raw, dict):
            self._note(location, f"{_echo(raw)} is not a table", key.allowed)
            return _WRONG
        kind = key.table
        if key.choices:
            tags = ", ".join(f'"{tag}"' for tag in key.choices)
            tag = raw.get("kind", _WRONG)
            kind = key.choices.get(tag) if isinstance(tag, str) else None
            if kind is None:
                wrong = "is missing" if tag is _WRONG else f"{_echo(tag)} is not allowed"
                self._note((*location, "kind"), wrong, f"one of {tags}")
        section = self.section(kind, raw, location) if kind else None
        return _WRONG if section is None else section

    def _tables(self, key: Key, kind: type[Section], raw: Any, location: Location) -> Any:
        if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
            self._note(location, f"{_echo(raw)} is not a list of tables", key.allowed)
            return _WRONG
        if len(raw) < (key.meta.min_length or 0):
            self._note(location, "is empty", key.allowed)
            return _WRONG
        for name in kind.unique:
            first: dict[str | int, int] = {}
            for index, item in enumerate(raw):
                value = item.get(name)
                if isinstance(value, str | int) and value and first.setdefault(value, index) != index:
                    wrong = f"{_echo(value)} is taken by {_dotted((*location, first[value]))}"
                    self._note((*location, index, name), wrong, "one of its own")
        sections = [self.section(kind, item, (*location, index)) for index, item in enumerate(raw)]
        return _WRONG if None in sections else tuple(sections)

    def _note(self, location: Location, wrong: str, allowed: str) -> None:
        self.found.append((location, wrong, allowed))


def _dotted(location: Location) -> str:
    """("cameras", 0, "streams", 1, "video", "fps") as cameras[0].streams[1].video.fps"""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if _BARE_KEY.fullmatch(part) else json.dumps(part))
    return text


def _echo(raw: Any) -> str:
    """A value as the file has it, short, in ASCII."""
    text = json.dumps(raw, default=str)
    return text if len(text) <= _MAX_ECHO else text[:_MAX_ECHO] + "..."
