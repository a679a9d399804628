def nal_units(access_unit: bytes | bytearray | memoryview) -> list[bytes]:
    """The NAL units without start codes and trailing zeros. Raises ValueError when no start code comes first."""

def parameter_sets(access_unit: bytes | bytearray | memoryview) -> tuple[bytes, bytes] | None:
    """The first SPS and the first PPS, for the SDP; None unless both are there."""
