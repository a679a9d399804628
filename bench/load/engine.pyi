from typing import NamedTuple

from .connection import TLSClient

class Message(NamedTuple):
    """A whole RTSP message with its body."""

    reader: int
    data: bytes

class Closed(NamedTuple):
    """The connection could not go on; it is closed already."""

    reader: int
    reason: str

class Totals(NamedTuple):
    """Sums over all readers since their start; definitions in media.pxd."""

    octets: int
    packets: int
    malformed: int
    sequence_gaps: int
    packets_missing: int
    frames: int
    frames_incomplete: int
    key_frames: int
    frame_gaps: int
    frames_missing: int
    started: int  # readers that have a complete key frame
    reads: int
    full_reads: int  # reads that found more than READ_SIZE waiting
    cpu_ns: int  # of the thread that calls wait

class Times(NamedTuple):
    """Of one reader, on the monotonic clock; 0 = not yet."""

    connected_ns: int
    secure_ns: int  # TLS is up; without TLS as connected_ns
    first_key_ns: int
    last_frame_ns: int
    longest_ns: int  # between two complete frames
    first_sequences: tuple[int | None, ...]  # of each track

class Engine:
    """Up to `capacity` readers; ids count from 0 and are not used again.

    One thread calls it; `totals`, `times` and `delay_histogram` may be called by another one.
    """

    def __init__(self, capacity: int, tls: TLSClient) -> None: ...
    def open(self, descriptor: int, request: bytes, tls_name: bytes | None = None, is_address: bool = False) -> int:
        """Take over a connecting non-blocking socket; `request` leaves as soon as it can. `tls_name`: speak TLS."""

    def send(self, reader: int, data: bytes) -> None: ...
    def track(self, reader: int, rtp_channel: int, rtcp_channel: int, codec: str, clock_rate: int) -> None:
        """Count what comes on these channels; call before PLAY."""

    def close(self, reader: int) -> None: ...
    def wait(self, timeout_s: float) -> list[Message | Closed]:
        """Receive and count until something is for the caller or the time is over. Without the GIL."""

    def totals(self) -> Totals: ...
    def times(self, reader: int) -> Times: ...
    def delay_histogram(self) -> list[int]:
        """Complete frames by delay since capture; see delay_us."""
