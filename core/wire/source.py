"""Where a stream's pictures come from: one struct for each kind, whose tag is the last part of the stream's URL."""

from typing import ClassVar, get_args

import msgspec


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all kinds."""

    # It has access units of its own, which go out as they are unless the stream has `video` settings.
    passes_through: ClassVar[bool] = False


class TestLive(SourceSpec, frozen=True, tag="testlive"):
    """A test pattern with wall clock and frame number."""

    __test__ = False  # pytest would collect the name


class FileLive(SourceSpec, frozen=True, kw_only=False, tag="filelive"):
    """A media file in an endless loop; the path is absolute."""

    passes_through = True
    path: str


Source = TestLive | FileLive
KINDS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Source))
