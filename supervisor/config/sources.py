"""`source = { kind = "..." }` of a stream: one section for each kind, and what the worker gets of it."""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from camfleet.core import wire
from msgspec import Meta

from .files import absolute, readable
from .section import Check, Complaint, Section


class Source(Section, frozen=True, kw_only=True, tag_field="kind"):
    """Base of all kinds."""

    @property
    def secret_file(self) -> str:
        """A file whose change is one of the settings."""
        return ""

    @abstractmethod
    def spec(self, folder: Path) -> wire.Source:
        """For the worker; relative paths start at `folder`."""


class TestLive(Source, tag="testlive", frozen=True, kw_only=True):
    """A test pattern with the wall clock and the frame number burnt in."""

    __test__ = False  # pytest would collect the name

    def spec(self, _folder: Path) -> wire.Source:
        return wire.TestLive()


def _one_of_both(_: Path, path: str, paths: tuple[str, ...]) -> Iterator[Complaint]:
    if not path and not paths:
        yield Complaint("path", "is missing", "a path, or a list as paths")
    elif path and paths:
        yield Complaint("paths", "and path are both there", "one of them")


def _film(folder: Path, key: str, path: str) -> Iterator[Complaint]:
    """A file, or a folder of them: what is in it may change at any time."""
    if not path:
        return
    try:
        is_folder = (folder / path).is_dir()
    except ValueError:  # a zero byte
        is_folder = False
    if not is_folder:
        yield from readable(folder, key, path)


def _films(folder: Path, paths: tuple[str, ...]) -> Iterator[Complaint]:
    for path in paths:
        yield from _film(folder, "paths", path)


class FileLive(Source, tag="filelive", frozen=True, kw_only=True):
    """A media file in an endless loop, or a list of them. See [sources](sources.md#filelive)."""

    path: Annotated[
        str,
        Meta(
            description="MP4, MKV or TS file, or a folder of them, played in the order of their names; a relative path "
            "starts at the configuration file.",
            extra={"allowed": "a path"},
        ),
    ] = ""
    paths: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            max_length=1000,
            description="Instead of `path`: files and folders, one after the other.",
            extra={"allowed": "a list of paths"},
        ),
    ] = ()
    shuffle: Annotated[bool, Meta(description="In another order each time; of a list or a folder.")] = False
    start_offset_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="Begin so far into the first file, at a key frame near it, in seconds: cameras with one "
            "film then show different things.",
        ),
    ] = 0.0

    checks: ClassVar = (
        Check(("path", "paths"), _one_of_both),
        Check(("path",), lambda folder, path: _film(folder, "path", path)),
        Check(("paths",), _films),
    )

    def spec(self, folder: Path) -> wire.Source:
        return wire.FileLive(
            absolute(folder, self.path),
            tuple(str(folder / path) for path in self.paths),
            self.shuffle,
            self.start_offset_s,
        )


class Image(Source, tag="image", frozen=True, kw_only=True):
    """A picture that does not change. It costs no more than a film that is passed through, unless it has overlays."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="PNG or JPEG file; a relative path starts at the configuration file.",
            extra={"allowed": "a path"},
        ),
    ]

    checks: ClassVar = (Check(("path",), lambda folder, path: readable(folder, "path", path)),)

    def spec(self, folder: Path) -> wire.Source:
        return wire.Image(path=str(folder / self.path))
