"""Questions that only the workers' libraries can answer: asked of a process of its own, which may crash or hang."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

from .environment import for_workers


async def ask(module: str, arguments: list[str], timeout_s: float) -> Any:
    """What the module prints, which is JSON. Raises OSError (TimeoutError too), subprocess.SubprocessError, ValueError.

    Who is cancelled leaves no process: it is killed together with those that it has started.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=for_workers(),
        start_new_session=True,  # Ctrl-C is for us
    )
    try:
        async with asyncio.timeout(timeout_s):
            answer, _ = await process.communicate()
    except TimeoutError:
        raise TimeoutError(f"no answer within {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return json.loads(answer)
