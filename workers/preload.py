"""What the fork server does before the first camera, so that a worker begins with its memory shared, and keeps it so:
it imports everything, and lets a camera live once (docs/decisions/0019).

Nothing here or below may leave a thread, an event loop, a ZeroMQ context or a codec behind: a child cannot use what
belongs to a thread that it does not have, and may hang in it.
"""

import gc
import importlib
import pkgutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import NoReturn

import camfleet.core
import camfleet.workers  # sets the environment that PyAV and NumPy read

from .malloc import fill_gaps, keep_no_large_blocks

# A frame takes the interpreter's lock about five times on its way (wake, encode, push), and each time may wait for so
# long when another thread is busy. The default of 5 ms would cost most of a frame's 33 ms.
SWITCH_INTERVAL_S = 0.0001
CLIENTS = 3  # of the second rehearsal; more of them change nothing any more
LEAVING_S = 1.0  # a thread that has been joined is still in the kernel's list for a moment
REHEARSAL_TIMEOUT_S = 4.0  # the supervisor waits 10 s for a fork server, which may then have to begin again
LATE_IMPORTS = ("av.subtitles.stream", "PIL.ImageFile")  # those of libraries: with the first file, the first text


def preload(give_up: Callable[[str], NoReturn] | None) -> None:
    """Import all rooms of a worker, rehearse, and freeze.

    `give_up` is told, maybe from a signal's handler, why the rehearsal failed; of that anything may be left, so this
    process must not fork any more. None: no rehearsal.
    """
    keep_no_large_blocks()
    for package in (camfleet.core, camfleet.workers):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    if give_up is not None:
        _rehearse(give_up)
    sys.setswitchinterval(SWITCH_INTERVAL_S)  # a child keeps it
    gc.collect()
    fill_gaps()
    gc.freeze()  # else the first collection in a child touches, and so copies, every object


def _rehearse(give_up: Callable[[str], NoReturn]) -> None:
    """Once to see what runs, and when that has its place, again."""
    from .rehearsal import rehearse, watched

    signal.signal(signal.SIGALRM, lambda *_: give_up(f"it was not over after {REHEARSAL_TIMEOUT_S:g} s"))
    signal.setitimer(signal.ITIMER_REAL, REHEARSAL_TIMEOUT_S)
    try:
        with watched() as ran:
            rehearse(1)
        fill_gaps()
        _gather(ran)
        if sys.version_info < (3, 12):
            # The names that the imports have left in the cache of methods are written to when a worker's push them out.
            sys._clear_type_cache()
        rehearse(CLIENTS)
    except Exception as error:
        give_up(f"{type(error).__name__}: {error}")
    deadline = time.monotonic() + LEAVING_S
    while (threads := len(list(Path("/proc/self/task").iterdir()))) != 1:
        if time.monotonic() > deadline:
            give_up(f"{threads} threads were there after it, and a fork would leave all but one behind")
        time.sleep(0.001)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _gather(ran: Mapping[int, CodeType]) -> None:
    """Put the code that runs side by side. Each call writes to it, as it counts references, so of every page with a
    piece of it each worker has a copy; and where it was loaded, most of what lies around it never runs.
    """
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and id(function.__code__) in ran:
            _left_behind.append(function.__code__)
            function.__code__ = _copy(function.__code__)


def _copy(code: CodeType) -> CodeType:
    """With the comprehensions and functions inside."""
    constants = tuple(_copy(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_consts=constants)


_left_behind: list[CodeType] = []  # so that it leaves no gaps
