def ntp_from_unix_ns(unix_ns: int) -> int:
    """NTP-64 timestamp (RFC 5905 6), modulo 2^64, rounded down."""

def unix_ns_from_ntp(ntp: int) -> int:
    """The inverse, for times between 1968 and 2104."""

def rtp_ticks(capture_ns: int, clock_rate: int) -> int:
    """Ticks of an RTP clock since its zero, modulo 2^32, rounded down."""
