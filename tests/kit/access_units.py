"""Access units without an encoder: right in form, recognisable in content. H.264, and H.265 where the name says so."""

SPS = bytes.fromhex("6742c01fda014016e9a808080a000003000200000300781e306540")
PPS = bytes.fromhex("68ce3c80")
START = b"\x00\x00\x00\x01"
# x265, 160x96, Main, level 1 (30)
H265_VPS = bytes.fromhex("40010c01ffff01600000030090000003000003001e959409")
H265_SPS = bytes.fromhex("42010101600000030090000003000003001ea01420616595952930b9a020000003002000000303c1")
H265_PPS = bytes.fromhex("4401c073c089")


def slice_nal(nal_type: int, number: int, size: int) -> bytes:
    """A NAL unit of `size` bytes whose payload tells the frame's number; no byte pattern of a start code inside."""
    return _marked(bytes([0x60 | nal_type]), number, size)


def key_access_unit(number: int, size: int = 20_000) -> bytes:
    return START + SPS + START + PPS + START + slice_nal(5, number, size)


def access_unit(number: int, size: int = 4_000) -> bytes:
    return START + slice_nal(1, number, size)


def h265_key_access_unit(number: int, size: int = 20_000) -> bytes:
    sets = b"".join(START + unit for unit in (H265_VPS, H265_SPS, H265_PPS))
    return sets + START + _marked(b"\x26\x01", number, size)  # IDR_W_RADL


def h265_access_unit(number: int, size: int = 4_000) -> bytes:
    return START + _marked(b"\x02\x01", number, size)  # TRAIL_R


def _marked(header: bytes, number: int, size: int) -> bytes:
    mark = b"frame%08d." % number
    return header + (mark * (size // len(mark) + 1))[: size - len(header)]
