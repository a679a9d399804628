from typing import NamedTuple

class SenderInfo(NamedTuple):
    """The sender's clock (RFC 3550 6.4.1)."""

    ssrc: int
    ntp: int
    rtp_timestamp: int

class Report(NamedTuple):
    packets: int  # RTCP packets in the compound
    receiver_report: bool  # a report block about us; the next three are from it
    fraction_lost: int  # /256
    cumulative_lost: int
    jitter: int  # RTP clock ticks
    key_frame_wanted: bool
    bye: bool
    sender: SenderInfo | None = None  # from a sender report
    bye_ssrc: int | None = None

def sender_report(
    *,
    ssrc: int,
    channel: int,
    cname: bytes,
    ntp: int,
    rtp_timestamp: int,
    packets: int,
    octets: int,
    capacity: int | None = None,
) -> bytes:
    """SR + SDES behind their $ header. Raises ValueError for a CNAME over 64 bytes, BufferError over `capacity`."""

def bye(*, ssrc: int, channel: int, cname: bytes, capacity: int | None = None) -> bytes:
    """Empty RR + SDES + BYE behind their $ header. Raises like sender_report."""

def receiver_report(
    *,
    ssrc: int,
    cname: bytes,
    sender: int,
    fraction_lost: int,
    cumulative_lost: int,
    highest_sequence: int,
    jitter: int,
    last_report: int,
    since_last: int,
    key_frame_wanted: bool,
) -> bytes:
    """RR + SDES, and PLI when a key frame is wanted; no $ header. Raises ValueError for a CNAME over 64 bytes."""

def parse(data: bytes | bytearray | memoryview, ssrc: int) -> Report:
    """What a compound packet (no $ header) says about `ssrc`. Raises ValueError when it is malformed."""
