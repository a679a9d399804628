"""One window, by its number, its title or its program: there or not, and how large."""

from collections.abc import Iterator

from camfleet.core.wire import WindowLive
from Xlib import X
from Xlib.display import Display
from Xlib.error import BadDrawable, BadWindow, CatchError
from Xlib.ext import composite
from Xlib.xobject.drawable import Window

from ..shared import Absence
from .area import MIN_SIDE, Area
from .connection import disconnect


class WindowFinder:
    """Stays with a window as long as it is what is wanted and can be seen; then it looks for another one.

    The window is "redirected" (Composite extension): the server keeps all of its picture, also what lies behind other
    windows or outside the screen. Without, x11grab finds those parts black.
    """

    def __init__(self, display: Display, wanted: WindowLive) -> None:
        self._display = display
        self._wanted = wanted
        self._window: Window | None = None
        self._redirected = 0
        self._atoms = {
            name: display.intern_atom(name)
            for name in ("_NET_CLIENT_LIST_STACKING", "_NET_CLIENT_LIST", "_NET_WM_NAME", "UTF8_STRING")
        }

    def find(self) -> Area | Absence:
        window = self._window
        if window is None or not (self._is_wanted(window) and self._is_viewable(window)):
            self._window = window = self._search()
            if window is None:
                return Absence(f"there is no window {self._description()}")
            if not self._is_viewable(window):
                return Absence(f"the window {self._description()} is minimised, or on another workspace")
        size = window.get_geometry()
        if min(size.width, size.height) < MIN_SIDE:
            return Absence(f"the window {self._description()} is only {size.width}x{size.height}")
        self._redirect(window)
        return Area(size.width, size.height, window=window.id)

    def close(self) -> None:
        disconnect(self._display)

    def _search(self) -> Window | None:
        """The topmost that can be seen; if none can, any."""
        hidden = None
        for window in self._candidates():
            if self._is_wanted(window):
                if self._is_viewable(window):
                    return window
                hidden = hidden or window
        return hidden

    def _candidates(self) -> Iterator[Window]:
        """All windows that programs have made for people, topmost first."""
        if self._wanted.id:
            yield self._display.create_resource_object("window", self._wanted.id)
            return
        root = self._display.screen().root
        for name in ("_NET_CLIENT_LIST_STACKING", "_NET_CLIENT_LIST"):
            listed = root.get_full_property(self._atoms[name], X.AnyPropertyType)
            if listed is not None:
                for window in reversed(listed.value):
                    yield self._display.create_resource_object("window", window)
                return
        # No window manager, or one that does not say: its frames hold the programs' windows.
        for child in reversed(root.query_tree().children):
            yield child
            try:
                yield from reversed(child.query_tree().children)
            except BadWindow:
                continue

    def _is_wanted(self, window: Window) -> bool:
        wanted = self._wanted
        try:
            if wanted.id:
                window.get_attributes()  # it exists
            if wanted.program:
                names = window.get_wm_class() or ()
                if wanted.program.casefold() not in (name.casefold() for name in names):
                    return False
            if wanted.title:
                title = self._title(window)
                return title == wanted.title if wanted.exact else wanted.title in title
            return True
        except (BadWindow, BadDrawable):
            return False

    def _is_viewable(self, window: Window) -> bool:
        """Not if a frame around it is unmapped either."""
        try:
            return bool(window.get_attributes().map_state == X.IsViewable)
        except (BadWindow, BadDrawable):
            return False

    def _title(self, window: Window) -> str:
        named = window.get_full_property(self._atoms["_NET_WM_NAME"], self._atoms["UTF8_STRING"])
        if named is None or named.property_type != self._atoms["UTF8_STRING"]:  # xdotool's is a STRING, and empty here
            named = window.get_full_property(self._display.get_atom("WM_NAME"), X.AnyPropertyType)
            encoding = "latin-1"
        else:
            encoding = "utf-8"
        if named is None:
            return ""
        return str(named.value, encoding, "replace") if isinstance(named.value, bytes) else str(named.value)

    def _redirect(self, window: Window) -> None:
        if window.id == self._redirected or not self._display.has_extension("Composite"):
            return
        composite.RedirectWindow(
            display=self._display.display,
            onerror=CatchError(),
            opcode=self._display.display.get_extension_major(composite.extname),
            window=window,
            update=composite.RedirectAutomatic,
        )
        self._display.sync()  # x11grab comes by another connection
        self._redirected = window.id

    def _description(self) -> str:
        wanted = self._wanted
        said = [f"0x{wanted.id:x}"] if wanted.id else []
        if wanted.title:
            said.append(
                f'{"titled" if wanted.exact else "with"} "{wanted.title}"' + ("" if wanted.exact else " in its title")
            )
        if wanted.program:
            said.append(f"of the program {wanted.program}")
        return " ".join(said)
