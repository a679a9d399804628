"""A desktop, one of its monitors, or a region of it."""

from typing import NamedTuple

from camfleet.core.wire import ScreenLive
from Xlib import X
from Xlib.display import Display
from Xlib.ext import randr

from ..base import SourceError
from .area import Area
from .connection import INSTEAD_OF_WAYLAND, disconnect


class Monitor(NamedTuple):
    name: str
    is_primary: bool
    area: Area

    def __str__(self) -> str:
        return f"{self.name} ({self.area.width}x{self.area.height}+{self.area.x}+{self.area.y})"


class DesktopFinder:
    def __init__(self, display: Display, wanted: ScreenLive) -> None:
        self._display = display
        self._root = display.screen().root
        self._wanted = wanted
        if _shows_only_windows(display):
            raise SourceError(
                f"display {wanted.display} is the Xwayland of a Wayland session, where X programs see no desktop. "
                f"What works: {INSTEAD_OF_WAYLAND}"
            )

    def find(self) -> Area:
        wanted = self._wanted
        if wanted.monitor is not None:
            return self._monitor(wanted.monitor).area
        screen = self._root.get_geometry()
        if wanted.region is None:
            return Area(screen.width, screen.height)
        area = Area(*wanted.region, follow_mouse=wanted.follow_mouse)
        if area.x + area.width > screen.width or area.y + area.height > screen.height:
            raise SourceError(
                f"the region {area.width}x{area.height}+{area.x}+{area.y} is not all on the screen: "
                f"display {wanted.display} is {screen.width}x{screen.height}"
            )
        return area

    def close(self) -> None:
        disconnect(self._display)

    def _monitor(self, wanted: int | str) -> Monitor:
        there = monitors(self._display)
        for number, monitor in enumerate(there, 1):
            if wanted in (number, monitor.name) or (wanted == "primary" and monitor.is_primary):
                return monitor
        known = ", ".join(f"{number}: {monitor}" for number, monitor in enumerate(there, 1))
        raise SourceError(f"display {self._wanted.display} has no monitor {wanted}; it has {known or 'none'}")


def monitors(display: Display) -> list[Monitor]:
    """From left to right, and from top to bottom where they stand one above the other."""
    if not display.has_extension("RANDR"):
        return []
    found = [
        Monitor(
            display.get_atom_name(each.name),
            bool(each.primary),
            Area(each.width_in_pixels, each.height_in_pixels, each.x, each.y),
        )
        for each in randr.get_monitors(display.screen().root).monitors
    ]
    return sorted(found, key=lambda monitor: (monitor.area.x, monitor.area.y, monitor.name))


def _shows_only_windows(display: Display) -> bool:
    """An Xwayland whose windows a Wayland compositor shows each by itself; its root window is black for ever."""
    is_xwayland = display.has_extension("XWAYLAND") or any(  # since 23.1; before, its monitors have such names
        monitor.name.startswith("XWAYLAND") for monitor in monitors(display)
    )
    return is_xwayland and display.get_selection_owner(display.intern_atom("_NET_WM_CM_S0")) != X.NONE
