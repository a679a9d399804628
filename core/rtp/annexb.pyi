def nal_units(access_unit: bytes | bytearray | memoryview) -> list[bytes]:
    """The NAL units without start codes and trailing zeros. Raises ValueError when no start code comes first."""
