from typing import NamedTuple

from typing_extensions import Buffer

class ReceivedUnit(NamedTuple):
    data: bytes  # Annex B
    timestamp: int  # of RTP, 32 bits
    key_frame: bool
    parameter_sets: bool  # holds one at least
    is_first: bool  # of all, or after a loss

class Reception(NamedTuple):
    """RFC 3550 A.3, A.8; sequence numbers are extended by their cycles."""

    ssrc: int
    highest_sequence: int
    expected: int  # since the sender began
    received: int
    jitter: int  # ticks

class Depacketizer:
    """Whole access units of one sender from RTP packets, the first one a key frame. Belongs to one thread.

    A unit of which something is lost or malformed, and all up to the next key frame, are left out.
    """

    def __init__(self, codec: str, *, payload_type: int) -> None:
        """`codec`: "h264" or "h265". Other payload types are passed over."""

    def take_frames(self, data: Buffer, at: int, channel: int, now_ns: int) -> int:
        """Take the whole `$` frames of this channel (RFC 2326 10.12) that stand in `data` from `at` on.

        Returns where something else begins: the rest of a frame that is not all here, another channel, a message.
        """

    def take_packet(self, packet: Buffer, now_ns: int) -> None:
        """One datagram. Packets of UDP have to be put in order before."""

    def take_units(self) -> list[ReceivedUnit]:
        """What is complete since the last call."""

    @property
    def needs_key_frame(self) -> bool:
        """Nothing will come before the next key frame."""

    @property
    def damaged_units(self) -> int:
        """Left out so far."""

    @property
    def strange_packets(self) -> int:
        """No RTP, of another payload type, repeated, or long out of order."""

    def reception(self) -> Reception | None:
        """None before the first packet."""
