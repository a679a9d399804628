"""docs/settings.md, written from the schema: `python -m camfleet.supervisor.config.manual > docs/settings.md`."""

import inspect
from collections.abc import Iterator
from typing import Any

from .schema import Document
from .section import Key, Section, keys

_HEAD = """\
# Settings

Written by `python -m camfleet.supervisor.config.manual` from the schema in `supervisor/config`; a test says when stale.

The configuration is one TOML file: `camfleet serve --config FILE`. `camfleet check FILE` says everything that is wrong
with it. A key that is not on this page is refused.

SIGHUP, or a change of the file, makes the server read it again. All of it is checked before anything is touched, and
then everything but `server.state_dir` is changed while readers play: only what differs is touched, and nobody is
disconnected but readers of what is no more (a camera, a stream, a user, his password) or of a stream that has another
codec now. Lower limits are for those who come. Time-outs of handshakes, requests and sessions count for connections
that come later, as a client has been told the one of its session; all else counts at once. What is wrong with a file
stands in the log and in `camfleet status`, until it is right."""


def manual() -> str:
    """The page."""
    return "\n\n".join([_HEAD, *_sections(Document, "", "")]) + "\n"


def _sections(section: type[Section], title: str, path: str) -> Iterator[str]:
    """A section's chapter, then those of the sections inside it."""
    own = keys(section)
    if title:
        yield f"## {title}\n\n{inspect.cleandoc(section.__doc__ or '')}"
        rows = [_row(key) for key in own]
        if rows:
            yield "\n".join(["| Key | Allowed | Default | |", "|---|---|---|---|", *rows])
    for key in own:
        name = f"{path}.{key.name}".lstrip(".")
        if key.tables:
            yield from _sections(key.tables, f"`[[{name}]]`", name)
        elif key.table:
            yield from _sections(key.table, f"`[{name}]`", name)
        for tag, choice in key.choices.items():
            yield from _sections(choice, f'`{name} = {{ kind = "{tag}" }}`', name)


def _row(key: Key) -> str:
    default = "required" if key.required else f"`{_toml(key.default)}`" if _shown(key.default) else ""
    cells = (f"`{key.name}`", key.allowed, default, key.prose)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _shown(default: Any) -> bool:
    """Whether absence means this value, and not that there is none."""
    return isinstance(default, bool | int | float) or (isinstance(default, str | tuple) and bool(default))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return _toml(value[0]) if len(value) == 1 else f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str) or (isinstance(value, int) and type(value) is not int):
        return f'"{value}"'
    return str(value)


if __name__ == "__main__":
    print(manual(), end="")
