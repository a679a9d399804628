"""What is asked of the encoders, in a process of its own: they are the workers' room, and a driver may crash."""

import json
import subprocess
import sys
from pathlib import Path

from . import StartError
from .config import Settings

COMMAND = [sys.executable, "-P", "-m", "camfleet.workers.encoders"]
TIMEOUT_S = 120.0  # each encoder has ten seconds there


def show(run_dir: Path) -> int:
    """Try all and print what came of it; running cameras go by it from then on. The exit code."""
    kept = ["--run-dir", str(run_dir)] if run_dir.is_dir() else []
    return subprocess.run([*COMMAND, *kept], check=False).returncode


def complaints(settings: Settings) -> list[str]:
    """Streams whose encoder was asked for by name and cannot be had. Raises StartError."""
    wanted = {
        f"{camera.id}-{stream.id}": f"{stream.video.codec}/{stream.video.encoder}"
        for camera in settings.cameras
        for stream in camera.streams
        if stream.video and stream.video.encoder != "auto"
    }
    if not wanted:
        return []
    command = [*COMMAND, "--json", *sorted(set(wanted.values()))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        reasons: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise StartError(f"the encoders could not be tried: {error}") from None
    return [
        f'{stream}: encoder "{name.partition("/")[2]}" cannot be used for {name.partition("/")[0]}: {reasons[name]}'
        for stream, name in wanted.items()
        if reasons[name]
    ]
