from collections.abc import Sequence
from typing import NamedTuple

class Reference(NamedTuple):
    """One instant on three clocks: the time at which the next frame is due, and the RTP timestamp that it will have."""

    rtp_timestamp: int
    unix_ns: int

class Floor:
    """Sends `frames` (each of whole $ frames, as core.rtp makes them) again and again to every reader, at `fps`.

    With `tls` every reader gets records of its own key, else the same plain bytes. `run` is a thread's body, without
    the GIL; the other methods may be called from any thread.
    """

    def __init__(self, frames: Sequence[bytes], fps: int, tls: bool) -> None: ...
    def add(self, descriptor: int, key: bytes = b"", iv: bytes = b"", sequence: int = 0) -> None:
        """From the next frame on. `key` and `iv`: the traffic keys of AES-128-GCM (RFC 8446 7.3), and the number of the
        next record. The descriptor stays the caller's. Raises ValueError when it must not be both or neither."""

    def remove(self, descriptor: int) -> None: ...
    def reference(self) -> Reference: ...
    def run(self) -> None: ...
    def stop(self) -> None: ...
    @property
    def late(self) -> int:
        """How often a socket could not take a whole frame, or was not asked to since it had not taken the last one."""
