"""A connection to an X server, or why there is none."""

import os
import pwd
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from Xlib import xauth
from Xlib.display import Display
from Xlib.error import ConnectionClosedError, DisplayConnectionError, DisplayError

from ..base import SourceError

# What a request may raise when the server has gone, besides Xlib.error.XError, with which it answers.
LOST = (ConnectionClosedError, OSError)

INSTEAD_OF_WAYLAND = (
    'a session of the kind "Xorg" or "X11", chosen at login; a virtual desktop (Xvfb, Xvnc); with Xwayland, '
    "`windowlive` for the windows of X programs"
)

_FAMILY_WILD = 0xFFFF
_VARIABLE = "XAUTHORITY"
_as_started = os.environ.get(_VARIABLE)
_AT_HOME = f"{os.environ.get('HOME', '')}/.Xauthority"


class _Told(threading.local):
    """What a thread connects with; who has not been told uses what others would."""

    file = ""


_keys = _Told()

# libxcb connects in a few milliseconds; a server that takes so long has hung.
TURN_S = 1.0
_environment = threading.Lock()
_using_it = ""  # the display that has the turn


class _Keys(xauth.Xauthority):
    """Of the file that `connect` was told, whatever the environment says just now.

    python-xlib overlooks keys that are good for every host's name, as containers have them (FamilyWild).
    """

    def __init__(self, filename: Any = None) -> None:
        super().__init__(filename or _keys.file or _as_started or _AT_HOME)

    def get_best_auth(  # its stub calls numbers bytes
        self, family: Any, address: bytes, dispno: Any, types: tuple[bytes, ...] = (b"MIT-MAGIC-COOKIE-1",)
    ) -> tuple[bytes, bytes]:
        entries: list[Any] = self.entries
        wild = [(family, address, *entry[2:]) for entry in entries if entry[0] == _FAMILY_WILD]
        self.entries = wild + entries  # the last that fits is taken
        return super().get_best_auth(family, address, dispno, types)


xauth.Xauthority = _Keys  # type: ignore[misc]  # python-xlib has no other way in


@contextmanager
def authority(display: str, file: str) -> Iterator[None]:
    """Inside, FFmpeg's libxcb connects to the display with the keys in `file`; "" stands for the usual one.

    It can be told of the file in the environment only, which all threads share: one connects after the other. Raises
    SourceError when the one before does not come to an end: its X server hangs.
    """
    global _using_it
    if not _environment.acquire(timeout=TURN_S):
        raise SourceError(
            f"display {display} cannot be captured while the X server at display {_using_it} does not answer: "
            "end that server, or take its stream away"
        )
    try:
        _using_it = display
        wanted = file or _as_started
        if wanted is None:
            os.environ.pop(_VARIABLE, None)
        elif os.environ.get(_VARIABLE) != wanted:
            os.environ[_VARIABLE] = wanted
        yield
    finally:
        _environment.release()


def connect(display: str, xauthority: str) -> Display:
    """Raises SourceError."""
    try:
        _keys.file = xauthority
        connection = Display(display)
    except DisplayConnectionError as error:
        if isinstance(error.__context__, OSError):
            raise SourceError(_no_server(display, error.__context__)) from error
        raise SourceError(_refused(display, xauthority, error.msg)) from error
    except (DisplayError, *LOST) as error:
        raise SourceError(f"display {display}: {error}") from error
    connection.set_error_handler(_ignore)  # else printed; they are of requests about windows that have just gone
    return connection


def disconnect(connection: Display) -> None:
    with suppress(*LOST):  # sends what has not been sent
        connection.close()


def _ignore(*_: object) -> None:
    pass


def _no_server(display: str, error: OSError) -> str:
    if os.environ.get("WAYLAND_DISPLAY") or os.environ.get("XDG_SESSION_TYPE") == "wayland":
        return (
            f"this is a Wayland session without an X server at display {display}, and Wayland gives no picture of a "
            f"desktop without asking somebody. What works: {INSTEAD_OF_WAYLAND}"
        )
    return (
        f"no X server at display {display} ({error.strerror or error}): is anybody logged in there? "
        "`ls /tmp/.X11-unix` lists those that run: X0 is :0; `display` chooses one"
    )


def _refused(display: str, xauthority: str, reason: object) -> str:
    said = reason.decode("latin-1") if isinstance(reason, bytes) else str(reason)
    user = pwd.getpwuid(os.geteuid()).pw_name
    keys = f"the keys in {xauthority} are not its own" if xauthority else "it wants a key"
    return (
        f"the X server at display {display} does not let the user {user} in ({said.strip()}): {keys}. Set `xauthority` "
        f"to what `echo $XAUTHORITY` prints in its session, a file that {user} must be able to read, or run "
        f"`xhost +si:localuser:{user}` in that session"
    )
