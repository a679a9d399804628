"""X servers without a screen, and the windows of programs on them."""

import os
import secrets
import signal
import struct
import subprocess
from pathlib import Path
from typing import Self

from camfleet.workers.sources.x11.connection import connect, disconnect
from Xlib import X
from Xlib.display import Display
from Xlib.ext import randr
from Xlib.protocol import rq
from Xlib.xobject.drawable import Window

WIDTH, HEIGHT = 640, 360
RED, GREEN, BLUE, YELLOW, WHITE, GREY = 0xFF0000, 0x00FF00, 0x0000FF, 0xFFFF00, 0xFFFFFF, 0x404040
# Luma, Cb and Cr of BT.709 in limited range.
YUV = {
    RED: (63, 102, 240),
    GREEN: (173, 42, 26),
    BLUE: (32, 240, 118),
    YELLOW: (219, 16, 138),
    WHITE: (235, 128, 128),
    GREY: (71, 128, 128),
    0: (16, 128, 128),
    0xBF0000: (51, 109, 212),
    0xBFBF00: (168, 44, 136),
}
NEAR = 3  # levels: what scaling may do, and a good encoder
FAMILY_WILD = 0xFFFF  # of Xauthority files: whatever the host is called


class SetMonitor(rq.Request):
    """RRSetMonitor of RandR 1.5: a part of the screen is a monitor. (python-xlib's own cannot be packed.)"""

    _request = rq.Struct(
        rq.Card8("opcode"),
        rq.Opcode(43),
        rq.RequestLength(),
        rq.Window("window"),
        rq.Card32("name"),
        rq.Bool("primary"),
        rq.Bool("automatic"),
        rq.LengthOf("outputs", 2),
        *(rq.Int16(name) for name in ("x", "y", "width", "height")),
        *(rq.Card32(name) for name in ("width_mm", "height_mm")),
        rq.List("outputs", rq.Card32Obj),
    )


def set_monitor(
    display: Display, name: str, area: tuple[int, int, int, int], outputs: list[int], *, primary: bool = False
) -> None:
    x, y, width, height = area
    SetMonitor(
        display=display.display,
        opcode=display.display.get_extension_major(randr.extname),
        window=display.screen().root,
        name=display.intern_atom(name),
        primary=primary,
        automatic=False,
        x=x,
        y=y,
        width=width,
        height=height,
        width_mm=100,
        height_mm=100,
        outputs=outputs,
    )
    display.sync()


def delete_monitor(display: Display, name: str) -> None:
    atom = display.intern_atom(name)
    randr.delete_monitor(display.screen().root, atom)  # type: ignore[arg-type]  # the stub says: a name
    display.sync()


def is_near(found: tuple[int, ...] | None, colour: int, by: int = NEAR) -> bool:
    """Whether these luma, Cb and Cr are that RGB colour."""
    return found is not None and all(abs(a - b) <= by for a, b in zip(found, YUV[colour], strict=True))


class XServer:
    """An Xvfb that lets in who has the key in `xauthority`. `kill` and `start` again keep the display's number."""

    def __init__(self, folder: Path, *, depth: int = 24, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.xauthority = folder / "Xauthority"
        self.display = ""
        self._screen = f"{width}x{height}x{depth}"
        self._process: subprocess.Popen[bytes] | None = None
        self.xauthority.write_bytes(_authority(secrets.token_bytes(16)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()  # it takes its socket and its lock along
            self._process.send_signal(signal.SIGCONT)  # one that is frozen would not hear
            self._process.wait()

    def start(self) -> None:
        read, write = os.pipe()
        with os.fdopen(read) as ready:
            command = ["Xvfb", *filter(None, [self.display]), "-displayfd", str(write), "-auth", str(self.xauthority)]
            options = ["-screen", "0", self._screen, "-nolisten", "tcp", "-noreset"]
            self._process = subprocess.Popen(
                [*command, *options], pass_fds=[write], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            os.close(write)
            number = ready.readline().strip()
        assert number, f"Xvfb ended with {self._process.wait()}"
        self.display = f":{number}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def connect(self) -> Display:
        return connect(self.display, str(self.xauthority))


def _of_16_bits(colour: int) -> int:
    return colour >> 8 & 0xF800 | colour >> 5 & 0x07E0 | colour >> 3 & 0x001F


def _authority(key: bytes) -> bytes:
    """An Xauthority file (Xau(3)): family, address, display, name and data, each with its length before it."""
    fields = (b"", b"", b"MIT-MAGIC-COOKIE-1", key)
    return struct.pack(">H", FAMILY_WILD) + b"".join(struct.pack(">H", len(field)) + field for field in fields)


class Program:
    """A program with a connection and a window of its own: each quarter has a colour."""

    def __init__(
        self,
        server: XServer,
        title: str,
        *,
        at: tuple[int, int] = (0, 0),
        size: tuple[int, int] = (200, 120),
        colours: tuple[int, int, int, int] = (RED, GREEN, BLUE, YELLOW),
        name: str = "",
        parent: int = 0,
        shown: bool = True,
    ) -> None:
        self.display = server.connect()
        self.colours = colours
        screen = self.display.screen()
        self.window: Window = self.display.create_resource_object("window", parent or screen.root.id).create_window(
            *at, *size, 0, screen.root_depth, X.InputOutput, X.CopyFromParent, event_mask=X.ExposureMask
        )
        self._size, self._depth = size, screen.root_depth
        self._context = self.window.create_gc()
        self.rename(title)
        if name:
            self.window.set_wm_class(name.lower(), name)
        if shown:
            self.show()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        disconnect(self.display)

    @property
    def id(self) -> int:
        return int(self.window.id)

    def rename(self, title: str) -> None:
        utf8, name = (self.display.intern_atom(atom) for atom in ("UTF8_STRING", "_NET_WM_NAME"))
        self.window.change_property(name, utf8, 8, title.encode())
        self.display.sync()

    def show(self) -> None:
        self.window.map()
        self.paint()

    def hide(self) -> None:
        self.window.unmap()
        self.display.sync()

    def move(self, x: int, y: int) -> None:
        self.window.configure(x=x, y=y)
        self.display.sync()

    def resize(self, width: int, height: int) -> None:
        self._size = width, height
        self.window.configure(width=width, height=height)
        self.paint()

    def to_the_top(self) -> None:
        self.window.raise_window()
        self.display.sync()

    def answer(self) -> None:
        """As programs do all the time: paint what the server has asked for."""
        asked = [self.display.next_event() for _ in range(self.display.pending_events())]
        if asked:
            self.paint()

    def paint(self) -> None:
        width, height = self._size
        for index, colour in enumerate(self.colours):
            x, y = index % 2 * (width // 2), index // 2 * (height // 2)
            self._context.change(foreground=colour if self._depth > 16 else _of_16_bits(colour))
            self.window.fill_rectangle(self._context.id, x, y, width - width // 2, height - height // 2)
        self.display.sync()

    def destroy(self) -> None:
        self.window.destroy()
        self.display.sync()
