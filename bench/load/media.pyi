from typing import NamedTuple

class Counters(NamedTuple):
    """See Track in media.pxd."""

    packets: int
    malformed: int
    sequence_gaps: int
    packets_missing: int
    frames: int
    frames_incomplete: int
    key_frames: int
    frame_gaps: int
    frames_missing: int
    first_key_ns: int
    last_frame_ns: int
    longest_ns: int

class Probe:
    """One track for tests."""

    def __init__(self, clock_rate: int = 90_000, codec: str = "h264") -> None: ...
    def rtp(self, packet: bytes, now_ns: int = 0, unix_ns: int = 0) -> None: ...
    def rtcp(self, packet: bytes) -> None: ...
    def counters(self) -> Counters: ...
    def delay_histogram(self) -> list[int]: ...

def delay_us(bucket: int) -> int:
    """The largest delay that falls into this bucket of a delay histogram, in microseconds."""
