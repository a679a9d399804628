"""Which line of a TOML text says what. tomllib keeps no positions, but it can read a statement that stands alone."""

import tomllib
from typing import Any

Location = tuple[str | int, ...]

MAX_STATEMENT_LINES = 200


def locate(text: str) -> dict[Location, int]:
    """First line (from 1) of the statement for every key and table of `text`, which tomllib must have accepted.

    Lines are taken until together they are a statement by themselves: exact for multi-line strings and arrays.
    A key inside an inline table or array has the line on which that statement begins. After a statement of more than
    MAX_STATEMENT_LINES nothing is found: trying all its beginnings costs the square of its length.
    """
    found: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()
    statement, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        if not statement:
            first = number
        statement += line + "\n"
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            if number - first >= MAX_STATEMENT_LINES:
                break
            continue
        if parsed:
            if statement.lstrip().startswith("["):
                table = _table(parsed, counts)
                found.setdefault(table, first)
            else:
                _collect(parsed, table, first, found)
        statement = ""
    return found


def _table(header: dict[str, Any], counts: dict[Location, int]) -> Location:
    """Where a [table] or [[array]] header leads, given how many tables each array has had so far."""
    location: Location = ()
    inner: Any = header
    while inner:
        if isinstance(inner, list):  # the [[array]] that this header appends to
            counts[location] = counts.get(location, 0) + 1
            return (*location, counts[location] - 1)
        (name,) = inner
        inner = inner[name]
        location = (*location, name)
        if location in counts and not isinstance(inner, list):  # a table inside the array's last element
            location = (*location, counts[location] - 1)
    return location


def _collect(value: Any, location: Location, line: int, found: dict[Location, int]) -> None:
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return
    for key, inner in items:
        found.setdefault((*location, key), line)
        _collect(inner, (*location, key), line, found)
