"""A worker process as the supervisor holds it: by pidfd, whether it was forked for us or for an earlier supervisor."""

import asyncio
import contextlib
import os
import signal
from typing import Self

# The fork server reaps a child as soon as it ends; its word is a moment behind the kernel's.
_STATUS_TIMEOUT_S = 0.2


class Process:
    """Owns the pidfd. `ended` is set as soon as the kernel says so; a reused pid can neither be waited for nor hit."""

    def __init__(self, pid: int, pidfd: int) -> None:
        loop = asyncio.get_running_loop()
        self.pid = pid
        self.ended = asyncio.Event()
        self.exit_status: asyncio.Future[int] = loop.create_future()  # only the parent of a process learns it
        self._pidfd = pidfd
        loop.add_reader(pidfd, self._on_end)

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

    async def status(self) -> int | None:
        """How it ended, as of os.waitstatus_to_exitcode; None when nobody told us."""
        await self.ended.wait()
        try:
            async with asyncio.timeout(_STATUS_TIMEOUT_S):
                return await asyncio.shield(self.exit_status)
        except TimeoutError:
            return None

    def forget(self) -> None:
        """Stop watching; the process lives on."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _on_end(self) -> None:
        self.forget()
        self.ended.set()


def describe(status: int | None) -> str:
    """An exit status for people."""
    if status is None:
        return "ended"
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"
