"""What is asked about the protocols of sources, in a process of its own: PyAV, which has them, is the workers'."""

import subprocess
from collections.abc import Iterable

from camfleet.core.wire import CameraSpec, NetLive

from . import StartError
from .questions import ask

MODULE = "camfleet.workers.sources.netlive.protocols"
TIMEOUT_S = 30.0
OURS = frozenset({"http", "https"})  # with a client of ours


async def complaints(cameras: Iterable[CameraSpec], running: Iterable[CameraSpec] = ()) -> list[str]:
    """Streams whose source's protocol PyAV was built without, but not of those of `running` that have the same. Raises
    StartError."""
    before = _protocols(running)
    wanted = {stream: name for stream, name in _protocols(cameras).items() if before.get(stream) != name}
    if not wanted:
        return []
    try:
        lacking: list[str] = await ask(MODULE, sorted(set(wanted.values())), TIMEOUT_S)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise StartError(f"PyAV could not be asked for its protocols: {error}") from None
    return [
        f"{stream}: this build of PyAV has no {protocol.upper()}, so {protocol}:// cannot be read; "
        "one that is built from source with it can (docs/sources.md)"
        for stream, protocol in wanted.items()
        if protocol in lacking
    ]


def _protocols(cameras: Iterable[CameraSpec]) -> dict[str, str]:
    """Of each stream that needs PyAV for it."""
    return {
        f"{camera.id}-{stream.id}": protocol
        for camera in cameras
        for stream in camera.streams
        if isinstance(stream.source, NetLive) and (protocol := stream.source.url.partition(":")[0]) not in OURS
    }
