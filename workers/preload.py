"""What the fork server imports before the first camera: everything, so that a worker begins with its memory shared.

Nothing here or below may leave a thread, an event loop, a ZeroMQ context or a codec behind: a child cannot use what
belongs to a thread that it does not have, and may hang in it.
"""

import asyncio
import gc
import hmac
import importlib
import pkgutil
import sys
from pathlib import Path

import camfleet.core
import camfleet.workers  # sets the environment that PyAV and NumPy read

# A frame takes the interpreter's lock about five times on its way (wake, encode, push), and each time may wait for so
# long when another thread is busy. The default of 5 ms would cost most of a frame's 33 ms.
SWITCH_INTERVAL_S = 0.0001
# The interpreter rewrites a function's code in place when it has run some times (PEP 659). An event loop that has begun
# and ended here saves each worker 0.4 MB of pages that it would copy for that.
REHEARSALS = 10
LATE_IMPORTS = ("av.subtitles.stream", "PIL.ImageFile")  # those of libraries: with the first file, the first text


def preload() -> None:
    """Import all rooms of a worker and freeze them. Raises RuntimeError when that started a thread."""
    for package in (camfleet.core, camfleet.workers):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    for algorithm in ("md5", "sha256"):
        hmac.digest(b"key", b"", algorithm)  # libcrypto looks for its implementations once: 0.4 MB
    if sys.version_info < (3, 12):
        # The names that the imports have left in the cache of methods are written to when a worker's push them out.
        sys._clear_type_cache()
    for _ in range(REHEARSALS):
        asyncio.run(asyncio.sleep(0))
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise RuntimeError(f"{threads} threads after the imports: a fork would leave all but one behind")
    sys.setswitchinterval(SWITCH_INTERVAL_S)  # a child keeps it
    gc.collect()
    gc.freeze()  # else the first collection in a child touches, and so copies, every object


preload()
