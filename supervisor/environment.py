"""What of our environment the processes get that run foreign code: codecs, drivers, parsers of media."""

import os

from camfleet.core.log import LEVEL_VARIABLE, level

# Where programs, libraries, the clock's zone and a desktop are. Some webcams are read through libv4l's v4l2convert.so,
# which is preloaded. Everything else, which may be secret, stays out.
NAMES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "DISPLAY", "XAUTHORITY",
         "WAYLAND_DISPLAY", "XDG_SESSION_TYPE", "XDG_RUNTIME_DIR", "TMPDIR")  # fmt: skip


def for_workers() -> dict[str, str]:
    """For whoever answers in their name, too: a driver may be found, or not, by a variable."""
    return {name: os.environ[name] for name in NAMES if name in os.environ} | {LEVEL_VARIABLE: level()}
