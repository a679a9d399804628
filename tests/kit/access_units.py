"""H.264 access units without an encoder: right in form, recognisable in content."""

SPS = bytes.fromhex("6742c01fda014016e9a808080a000003000200000300781e306540")
PPS = bytes.fromhex("68ce3c80")
START = b"\x00\x00\x00\x01"


def slice_nal(nal_type: int, number: int, size: int) -> bytes:
    """A NAL unit of `size` bytes whose payload tells the frame's number; no byte pattern of a start code inside."""
    mark = b"frame%08d." % number
    return bytes([0x60 | nal_type]) + (mark * (size // len(mark) + 1))[: size - 1]


def key_access_unit(number: int, size: int = 20_000) -> bytes:
    return START + SPS + START + PPS + START + slice_nal(5, number, size)


def access_unit(number: int, size: int = 4_000) -> bytes:
    return START + slice_nal(1, number, size)
