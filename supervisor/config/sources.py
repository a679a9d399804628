"""`source = { kind = "..." }` of a stream: one section for each kind, and what the worker gets of it."""

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, ClassVar

from camfleet.core import wire
from msgspec import Meta

from .files import readable
from .section import Check, Section


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


class FileLive(Source, tag="filelive", frozen=True, kw_only=True):
    """A media file in an endless loop."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="MP4, MKV or TS file; a relative path starts at the configuration file.",
            extra={"allowed": "a path"},
        ),
    ]

    checks: ClassVar = (Check(("path",), lambda folder, path: readable(folder, "path", path)),)

    def spec(self, folder: Path) -> wire.Source:
        return wire.FileLive(str(folder / self.path))


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
