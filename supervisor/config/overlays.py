"""`[[cameras.streams.overlays]]`: text in the pictures."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from camfleet.core import wire
from msgspec import Meta

from .files import absolute, readable
from .section import Check, Complaint, Section

_COLOUR = r"^#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?\Z"
_COLOUR_WORDS = '"#rrggbb", or "#rrggbbaa" with the opacity'
KNOWN = ("camera", "ms")


def _placeholders(_: Path, text: str) -> Iterator[Complaint]:
    for name in re.findall(r"\{(.*?)\}", text):
        if name not in KNOWN:
            yield Complaint("text", f"{{{name}}} is not known", "{camera} and {ms}")


def _font(folder: Path, font: str) -> Iterator[Complaint]:
    if font:
        yield from readable(folder, "font", font)


class Overlay(Section, frozen=True, kw_only=True):
    """A line of text, painted by the encoder. Lines at the same position stand one below the other."""

    text: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,128}\Z",
            description="`{camera}` is the camera's name; strftime's codes are the wall clock, as in `%H:%M:%S`, and "
            "`{ms}` its milliseconds; `%%` is a percent sign.",
            extra={"allowed": "1 to 128 characters without control characters"},
        ),
    ] = "{camera}  %Y-%m-%d %H:%M:%S"
    position: Annotated[
        Literal["top-left", "top", "top-right", "bottom-left", "bottom", "bottom-right"],
        Meta(description="Where it stands."),
    ] = "top-left"
    size: Annotated[float, Meta(ge=0.01, le=0.5, description="Height of the line by that of the picture.")] = 0.05
    colour: Annotated[str, Meta(pattern=_COLOUR, description="Of the letters.", extra={"allowed": _COLOUR_WORDS})] = (
        "#ffffff"
    )
    box: Annotated[
        str,
        Meta(
            pattern=_COLOUR,
            description="What lies under them; `#00000000`: nothing.",
            extra={"allowed": _COLOUR_WORDS},
        ),
    ] = "#00000080"
    font: Annotated[
        str,
        Meta(
            min_length=1,
            description="Font file (TrueType, OpenType); a relative path starts at the configuration file. Absent: "
            "DejaVu Sans where it is installed, else a font that has ASCII only.",
            extra={"allowed": "a path"},
        ),
    ] = ""

    checks: ClassVar = (Check(("text",), _placeholders), Check(("font",), _font))

    def spec(self, folder: Path) -> wire.OverlaySpec:
        return wire.OverlaySpec(
            text=self.text,
            position=self.position,
            size=self.size,
            colour=_rgba(self.colour),
            box=_rgba(self.box),
            font=absolute(folder, self.font),
        )


def _rgba(colour: str) -> int:
    return int(colour[1:].ljust(8, "f"), 16)
