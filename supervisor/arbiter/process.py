"""A worker process as the supervisor holds it: by pidfd, whether it was forked for us or for an earlier supervisor."""

import asyncio
import contextlib
import os
import signal
from typing import Self


class Process:
    """Owns the pidfd. `ended` is set as soon as the kernel says so; a reused pid can neither be waited for nor hit."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        self._pidfd = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._on_end)

    @classmethod
    def open(cls, pid: int) -> Self:
        """Raises ProcessLookupError when there is no such process."""
        return cls(pid, os.pidfd_open(pid))

    def kill(self) -> None:
        """SIGKILL; nothing when it has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def end_within(self, timeout_s: float) -> bool:
        """Wait for the end, and enforce it at the time-out; False when it had to be killed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.ended.wait()
        except TimeoutError:
            self.kill()
            await self.ended.wait()
            return False
        return True

    def forget(self) -> None:
        """Stop watching; the process lives on."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _on_end(self) -> None:
        self.forget()
        self.ended.set()
