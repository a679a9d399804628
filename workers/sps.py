"""The size and rate of pictures from a sequence parameter set (ITU-T H.264 7.3.2.1, H.265 7.3.2.2) of any source."""

from typing import NamedTuple

MAX_SIZE = 4096  # bytes; encoders write 10 to 100
_MAX_GOLOMB_ZEROS = 32
# profile_idc of those that say more about chroma (H.264 7.3.2.1.1)
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_EXTENDED_SAR = 255


class PictureFormat(NamedTuple):
    width: int
    height: int
    fps: float  # 0: not said


class _Bits:
    """A reader of bits; at the end it raises ValueError."""

    def __init__(self, rbsp: bytes) -> None:
        self._value = int.from_bytes(rbsp)
        self._left = 8 * len(rbsp)

    def take(self, count: int) -> int:
        """u(n)"""
        if count > self._left:
            raise ValueError("ends too early")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """ue(v)"""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _MAX_GOLOMB_ZEROS:
                raise ValueError("a number of more than 32 bits")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """se(v)"""
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def picture_format(codec: str, sps: bytes) -> PictureFormat:
    """`sps`: a NAL unit. Raises ValueError for one that is broken or has no picture."""
    if len(sps) > MAX_SIZE:
        raise ValueError(f"a parameter set of {len(sps)} bytes")
    bits = _Bits(sps.replace(b"\x00\x00\x03", b"\x00\x00"))  # emulation_prevention_three_byte, 7.4.1
    found = _h265(bits) if codec == "h265" else _h264(bits)
    if found.width <= 0 or found.height <= 0:
        raise ValueError("a picture of no size")
    return found


def _h264(bits: _Bits) -> PictureFormat:
    bits.take(8)  # NAL unit header
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    chroma, planes = 1, 0
    if profile in _HIGH_PROFILES:
        chroma = bits.golomb()
        if chroma == 3:
            planes = bits.take(1)
        bits.golomb(), bits.golomb(), bits.take(1)  # bit depths, lossless
        if bits.take(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.golomb()  # log2_max_frame_num
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1), bits.golomb(), bits.golomb()
        for _ in range(_limited(bits.golomb(), 255)):
            bits.golomb()
    bits.golomb(), bits.take(1)
    width, map_units = bits.golomb() + 1, bits.golomb() + 1
    frames_only = bits.take(1)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    left, right, top, bottom = (bits.golomb() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    unit_x, unit_y = _crop_units(0 if planes else chroma)
    unit_y *= 2 - frames_only
    return PictureFormat(
        16 * width - unit_x * (left + right),
        16 * map_units * (2 - frames_only) - unit_y * (top + bottom),
        _h264_rate(bits) if bits.take(1) else 0.0,
    )


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """7.3.2.1.1.1"""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) % 256
        last = following or last


def _h264_rate(bits: _Bits) -> float:
    """The frame rate in the VUI parameters (E.1.1): a tick is a field."""
    if bits.take(1) and bits.take(8) == _EXTENDED_SAR:
        bits.take(32)
    if bits.take(1):
        bits.take(1)
    if bits.take(1):
        bits.take(4)
        if bits.take(1):
            bits.take(24)
    if bits.take(1):
        bits.golomb(), bits.golomb()
    if not bits.take(1):
        return 0.0
    units, scale = bits.take(32), bits.take(32)
    rate = scale / (2 * units) if units else 0.0
    return rate if 0.1 <= rate <= 1000 else 0.0


def _h265(bits: _Bits) -> PictureFormat:
    """Without the rate, which stands behind all that there is."""
    bits.take(16)  # NAL unit header
    bits.take(4)
    sub_layers = bits.take(3)
    bits.take(1)
    bits.take(88 + 8)  # profile_tier_level, general part
    present = [(bits.take(1), bits.take(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.take(2 * (8 - sub_layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.golomb()
    chroma, planes = bits.golomb(), 0
    if chroma == 3:
        planes = bits.take(1)
    width, height = bits.golomb(), bits.golomb()
    left, right, top, bottom = (bits.golomb() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    unit_x, unit_y = _crop_units(0 if planes else chroma)
    return PictureFormat(width - unit_x * (left + right), height - unit_y * (top + bottom), 0.0)


def _crop_units(chroma: int) -> tuple[int, int]:
    """SubWidthC, SubHeightC: Table 6-1"""
    return {1: (2, 2), 2: (2, 1)}.get(chroma, (1, 1))


def _limited(value: int, most: int) -> int:
    if value > most:
        raise ValueError(f"{value} where at most {most} may be")
    return value
