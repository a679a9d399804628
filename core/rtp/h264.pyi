from typing import NamedTuple

class Access(NamedTuple):
    size: int  # bytes of all packets, $ and RTP headers included
    packets: int
    key_frame: bool  # holds an IDR slice
    parameter_sets: bool  # holds SPS and PPS

def measure(access_unit: bytes | bytearray | memoryview) -> Access:
    """What one Annex B access unit becomes in packetization-mode 1. Raises ValueError when it is none."""

class Packetizer:
    """The numbering of one RTP stream for tests and benchmarks; the pipeline uses h264_write through core.ring."""

    def __init__(self, *, ssrc: int = 0, sequence: int = 0, payload_type: int = 96, channel: int = 0) -> None: ...
    def packetize(
        self, access_unit: bytes | bytearray | memoryview, timestamp: int, capacity: int | None = None
    ) -> bytes:
        """All packets of an access unit, each behind its $ header.

        Raises ValueError for a malformed access unit, BufferError when `capacity` (default: what it needs) is too
        small; the numbering is then unchanged.
        """

    @property
    def sequence(self) -> int:
        """Of the next packet."""

    @property
    def packets(self) -> int: ...
    @property
    def octets(self) -> int: ...
