from typing import NamedTuple

CODECS: tuple[str, ...]

class Access(NamedTuple):
    size: int  # bytes of all packets, $ and RTP headers included
    packets: int
    key_frame: bool  # H.264: holds an IDR slice; H.265: of an IDR, CRA or BLA picture
    parameter_sets: bool  # holds all kinds of them: VPS (H.265), SPS and PPS

class Packetizer:
    """The numbering of one RTP stream for tests and benchmarks; the pipeline packetizes through core.ring."""

    def __init__(
        self, codec: str = "h264", *, ssrc: int = 0, sequence: int = 0, payload_type: int = 96, channel: int = 0
    ) -> None:
        """`codec`: "h264" or "h265"."""

    def measure(self, access_unit: bytes | bytearray | memoryview) -> Access:
        """What one Annex B access unit becomes; numbers nothing. Raises ValueError when it is none."""

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
