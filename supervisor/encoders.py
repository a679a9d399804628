"""What is asked of the encoders, in a process of its own: they are the workers' room, and a driver may crash."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from camfleet.core.wire import CameraSpec

from . import StartError
from .environment import for_workers
from .questions import ask

MODULE = "camfleet.workers.encoders"
TIMEOUT_S = 120.0  # each encoder has ten seconds there


def show(run_dir: Path) -> int:
    """Try all and print what came of it; running cameras go by it from then on. The exit code."""
    kept = ["--run-dir", str(run_dir)] if run_dir.is_dir() else []
    return subprocess.run([sys.executable, "-P", "-m", MODULE, *kept], env=for_workers(), check=False).returncode


async def complaints(cameras: Iterable[CameraSpec], running: Iterable[CameraSpec] = ()) -> list[str]:
    """Streams whose encoder was asked for by name and cannot be had, but not of those of `running` that have asked for
    the same. Raises StartError."""
    before = _named(running)
    wanted = {stream: name for stream, name in _named(cameras).items() if before.get(stream) != name}
    if not wanted:
        return []
    try:
        reasons: dict[str, str] = await ask(MODULE, ["--json", *sorted(set(wanted.values()))], TIMEOUT_S)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise StartError(f"the encoders could not be tried: {error}") from None
    return [
        f'{stream}: encoder "{name.partition("/")[2]}" cannot be used for {name.partition("/")[0]}: {reasons[name]}'
        for stream, name in wanted.items()
        if reasons[name]
    ]


def _named(cameras: Iterable[CameraSpec]) -> dict[str, str]:
    """Of each stream that says which: codec and encoder."""
    return {
        f"{camera.id}-{stream.id}": f"{stream.video.codec}/{stream.video.encoder}"
        for camera in cameras
        for stream in camera.streams
        if stream.video and stream.video.encoder != "auto"
    }
