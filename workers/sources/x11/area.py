"""What x11grab is opened for."""

from dataclasses import dataclass
from typing import Protocol

from ..shared import Absence

MIN_SIDE = 2  # chroma has a sample for each 2 x 2 pixels


@dataclass(frozen=True, slots=True)
class Area:
    """Part of a drawable; for another one x11grab has to be opened again."""

    width: int
    height: int
    x: int = 0
    y: int = 0
    window: int = 0  # 0: the whole screen, and all that is on it
    follow_mouse: bool = False


class Finder(Protocol):
    """Where the pictures are to be taken now. Belongs to the capture's thread."""

    def find(self) -> Area | Absence:
        """Raises SourceError, Xlib.error.XError, or what `connection.LOST` names."""

    def close(self) -> None: ...
