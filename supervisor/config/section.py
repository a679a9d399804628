"""A section of the configuration file as a struct whose annotations carry everything known of each setting.

    fps: Annotated[int, Meta(ge=1, le=120, description="Frames per second.")] = 30
    name   type          limits                prose                          default

Validation (read.py), the error texts and docs/settings.md (manual.py) are all derived from that one line.
`Meta.extra` may add `allowed` (words for what a type or pattern cannot say) and `secret` (never echo the value).
"""

import typing
from collections.abc import Callable, Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta


class Complaint(NamedTuple):
    """What a check across keys has found; `key` is one of the section's, or "" for the section itself; `inside` leads
    on from there."""

    key: str
    wrong: str
    allowed: str
    inside: tuple[str | int, ...] = ()


class Check(NamedTuple):
    """A rule across keys of one section. It runs when each of `keys` is good by itself (or absent: its default).

    `run` is called with the folder of the configuration file and the values.
    """

    keys: tuple[str, ...]
    run: Callable[..., Iterator[Complaint]]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all sections. `unique` names the keys that may not repeat in a list of them, unless they are empty."""

    checks: ClassVar[tuple[Check, ...]] = ()
    unique: ClassVar[tuple[str, ...]] = ()


class Key(NamedTuple):
    """One setting, as its annotation tells."""

    name: str
    type: Any
    meta: Meta
    required: bool
    default: Any

    @property
    def prose(self) -> str:
        return self.meta.description or ""

    @property
    def secret(self) -> bool:
        return bool((self.meta.extra or {}).get("secret"))

    @property
    def table(self) -> type[Section] | None:
        """The section of a key that holds one table."""
        kinds = [kind for kind in _alternatives(self.type) if _is_section(kind)]
        return kinds[0] if len(kinds) == 1 and not self.choices else None

    @property
    def tables(self) -> type[Section] | None:
        """The section of a key that holds a list of tables."""
        kind = _bare(self.type)
        if get_origin(kind) is tuple and _is_section(get_args(kind)[0]):
            section: type[Section] = get_args(kind)[0]
            return section
        return None

    @property
    def choices(self) -> dict[str, type[Section]]:
        """The sections of a key whose table says by `kind` which of them it is."""
        kinds = [kind for kind in _alternatives(self.type) if _is_section(kind)]
        return {str(kind.__struct_config__.tag): kind for kind in kinds if kind.__struct_config__.tag}

    @property
    def allowed(self) -> str:
        """What may stand there, in words."""
        if self.meta.extra and "allowed" in self.meta.extra:
            return str(self.meta.extra["allowed"])
        if self.tables:
            return "a list of tables"
        if self.table or self.choices:
            return "a table"
        (kind,) = _alternatives(self.type)
        if get_origin(kind) is Literal:
            words = [f'"{word}"' for word in get_args(kind)]
            return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
        if kind is bool:
            return "true or false"
        if kind in (int, float):
            noun = {int: "whole number", float: "number"}[kind]
            article = "an even" if self.meta.multiple_of == 2 else "a"
            low, high = self.meta.ge, self.meta.le
            return f"{article} {noun} from {low} to {high}"
        return "text"


@cache
def keys(section: type[Section]) -> tuple[Key, ...]:
    """The settings of a section in the order of the source."""
    hints = get_type_hints(section, include_extras=True)
    found = []
    for field in msgspec.structs.fields(section):
        hint = hints[field.name]
        annotated = next((kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Annotated), None)
        meta = annotated.__metadata__[0] if annotated else Meta()
        found.append(Key(field.name, hint, meta, field.required, field.default))
    return tuple(found)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _alternatives(kind: Any) -> list[Any]:
    """The members of a union without None, or the one type."""
    bare = _bare(kind)
    members = get_args(bare) if get_origin(bare) in (typing.Union, UnionType) else (bare,)
    return [_bare(member) for member in members if member is not NoneType]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
