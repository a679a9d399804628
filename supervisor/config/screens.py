"""`source = { kind = "screenlive" }` and `{ kind = "windowlive" }`: what X11 servers show."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from camfleet.core import wire
from msgspec import Meta

from .files import absolute, readable
from .section import Check, Complaint
from .sources import Source
from .values import Region

_LINE = r"^[^\x00-\x1f\x7f-\x9f]{1,256}\Z"
_TEXT = "1 to 256 characters without control characters"


class X11Source(Source, frozen=True, kw_only=True):
    """Base of both."""

    display: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{0,64}:[0-9]{1,4}(\.[0-9])?\Z",
            description="The X server.",
            extra={"allowed": 'an X display, as in ":0"'},
        ),
    ] = ":0"
    xauthority: Annotated[
        str,
        Meta(
            min_length=1,
            description="File with the key of the X server, which must be readable for the server's user; a relative "
            "path starts at the configuration file. Absent: `$XAUTHORITY`, or `~/.Xauthority`.",
            extra={"allowed": "a path"},
        ),
    ] = ""
    cursor: Annotated[bool, Meta(description="Whether the mouse pointer is in the picture.")] = True
    max_fps: Annotated[
        int,
        Meta(ge=1, le=120, description="Pictures a second that are taken at most, whatever the streams' `fps`."),
    ] = 60

    checks: ClassVar[tuple[Check, ...]] = (
        Check(("xauthority",), lambda folder, path: readable(folder, "xauthority", path) if path else iter(())),
    )


def _one_area(_: Path, monitor: int | str | None, region: Region | None, follow_mouse: bool) -> Iterator[Complaint]:
    if monitor is not None and region is not None:
        yield Complaint("region", "stands beside monitor", "only one of both")
    if follow_mouse and region is None:
        yield Complaint("follow_mouse", "is without a region that could follow", 'a region, as in "1280x720"')


class ScreenLive(X11Source, tag="screenlive", frozen=True, kw_only=True):
    """An X11 desktop, live: all of it, a monitor, or a region. See [sources](sources.md#screenlive)."""

    monitor: (
        Annotated[
            Annotated[int, Meta(ge=1, le=64)] | Annotated[str, Meta(pattern=_LINE)],
            Meta(
                description='Only this monitor: its name, "primary", or its number, 1 being the leftmost.',
                extra={"allowed": 'a name, as in "HDMI-1", or a whole number from 1 to 64'},
            ),
        ]
        | None
    ) = None
    region: (
        Annotated[
            Region,
            Meta(
                description="Only this part of the desktop: width x height + x + y in pixels.",
                extra={"allowed": 'a region, as in "1280x720+100+50"'},
            ),
        ]
        | None
    ) = None
    follow_mouse: Annotated[bool, Meta(description="The region moves with the mouse pointer, which is its centre.")] = (
        False
    )

    checks: ClassVar[tuple[Check, ...]] = (*X11Source.checks, Check(("monitor", "region", "follow_mouse"), _one_area))

    def spec(self, folder: Path) -> wire.Source:
        return wire.ScreenLive(
            display=self.display,
            xauthority=absolute(folder, self.xauthority),
            cursor=self.cursor,
            max_fps=self.max_fps,
            monitor=self.monitor,
            region=self.region,
            follow_mouse=self.follow_mouse,
        )


def _some_window(_: Path, number: int, title: str, exact: bool, program: str) -> Iterator[Complaint]:
    if not (number or title or program):
        yield Complaint("", "says of no window that it is meant", "one of id, title, program, or more")
    elif exact and not title:
        yield Complaint("exact", "is without a title", 'a title, as in "Report"')


class WindowLive(X11Source, tag="windowlive", frozen=True, kw_only=True):
    """One window of an X11 desktop, live, also behind others. See [sources](sources.md#windowlive)."""

    id: Annotated[
        int,
        Meta(
            ge=0,
            le=2**32 - 1,
            description="Its number, as `xwininfo` says. 0: any.",
            extra={"allowed": "a whole number, as in 0x3a00007"},
        ),
    ] = 0
    title: Annotated[
        str,
        Meta(
            pattern=_LINE,
            description="A part of its title; upper and lower case matter. Of several windows the topmost is taken.",
            extra={"allowed": _TEXT},
        ),
    ] = ""
    exact: Annotated[bool, Meta(description="`title` is the whole title.")] = False
    program: Annotated[
        str,
        Meta(
            pattern=_LINE,
            description="The program whose window it is: a name of its WM_CLASS, as `xprop WM_CLASS` says.",
            extra={"allowed": _TEXT},
        ),
    ] = ""

    checks: ClassVar[tuple[Check, ...]] = (*X11Source.checks, Check(("id", "title", "exact", "program"), _some_window))

    def spec(self, folder: Path) -> wire.Source:
        return wire.WindowLive(
            display=self.display,
            xauthority=absolute(folder, self.xauthority),
            cursor=self.cursor,
            max_fps=self.max_fps,
            id=self.id,
            title=self.title,
            exact=self.exact,
            program=self.program,
        )
