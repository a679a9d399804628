"""How long to wait before a worker is started again; pure.

A single crash must not be felt: the camera answers again within a second, so the first restart comes at once. A worker
that keeps dying must not burn the machine of its neighbours: the pauses double up to half a minute, and a worker that
lived as long as the longest pause is healthy again.
"""

from dataclasses import dataclass

PAUSES_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
HEALTHY_AFTER_S = 30.0
# A worker that says it could not come up (EXIT_BOOT_FAILED) meets the same settings and machine again: no quick tries.
BOOT_FAILED = PAUSES_S.index(4.0)


@dataclass
class Backoff:
    failures: int = 0  # in a row

    def pause_s(self, lived_s: float, *, boot_failed: bool = False) -> float:
        """The pause after a worker that ended unasked, having lived for so long."""
        if lived_s >= HEALTHY_AFTER_S:
            self.failures = 0
        if boot_failed:
            self.failures = max(self.failures, BOOT_FAILED)
        pause = PAUSES_S[min(self.failures, len(PAUSES_S) - 1)]
        self.failures += 1
        return pause
