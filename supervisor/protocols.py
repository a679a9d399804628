"""What is asked about the protocols of sources, in a process of its own: PyAV, which has them, is the workers'."""

import json
import subprocess
import sys

from camfleet.core.wire import NetLive

from . import StartError
from .config import Settings

COMMAND = [sys.executable, "-P", "-m", "camfleet.workers.sources.netlive.protocols"]
TIMEOUT_S = 30.0
OURS = frozenset({"http", "https"})  # with a client of ours


def complaints(settings: Settings) -> list[str]:
    """Streams whose source's protocol PyAV was built without. Raises StartError."""
    wanted = {
        f"{camera.id}-{stream.id}": stream.source.url.partition(":")[0]
        for camera in settings.cameras
        for stream in camera.streams
        if isinstance(stream.source, NetLive)
    }
    protocols = sorted(set(wanted.values()) - OURS)
    if not protocols:
        return []
    try:
        done = subprocess.run([*COMMAND, *protocols], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        lacking: list[str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise StartError(f"PyAV could not be asked for its protocols: {error}") from None
    return [
        f"{stream}: this build of PyAV has no {protocol.upper()}, so {protocol}:// cannot be read; "
        "one that is built from source with it can (docs/sources.md)"
        for stream, protocol in wanted.items()
        if protocol in lacking
    ]
