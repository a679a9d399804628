"""As much of H.264 (ITU-T H.264 Annex B, RFC 6184) as a worker must see: where NAL units begin and what they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

IDR_SLICE, SPS, PPS, AUD = 5, 7, 8, 9  # nal_unit_type, Table 7-1
SLICES = frozenset(range(1, 6))
START_CODE = b"\x00\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture as Annex B, presented at `capture_ns` of the monotonic clock; readers get it from `due_ns` on."""

    data: bytes | memoryview
    capture_ns: int
    key_frame: bool
    due_ns: int = 0  # 0: at once

    def later(self, ns: int) -> "AccessUnit":
        return AccessUnit(self.data, self.capture_ns + ns, self.key_frame, self.due_ns + ns)


@dataclass(frozen=True, slots=True)
class Description:
    """What DESCRIBE says of a stream. Parameter sets are NAL units without start code: all SPS, then all PPS."""

    width: int
    height: int
    fps: float
    parameter_sets: tuple[bytes, ...]
    codec: str = "h264"


class Colours(NamedTuple):
    """The colour description of ITU-T H.273, 2 = unspecified; `range`: 1 = limited, 2 = full, 0 = unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


BT709 = Colours(1, 1, 1, 1)


def _nal_starts(annex_b: bytes) -> Iterator[int]:
    """Offset of each NAL unit's first byte, found lazily: a caller that stops at the first slice has not read it."""
    at = annex_b.find(b"\x00\x00\x01") + 3
    while 3 <= at < len(annex_b):
        yield at
        at = annex_b.find(b"\x00\x00\x01", at) + 3


def leading_types(annex_b: bytes) -> set[int]:
    """NAL unit types up to and with the first slice: whether this is an IDR picture and brings its parameter sets."""
    types = set()
    for start in _nal_starts(annex_b):
        kind = annex_b[start] & 0x1F
        types.add(kind)
        if kind in SLICES:
            break
    return types


def parameter_sets(annex_b: bytes) -> tuple[bytes, ...]:
    """The SPS and PPS units in `annex_b`, SPS first."""
    found: dict[int, list[bytes]] = {SPS: [], PPS: []}
    for start in _nal_starts(annex_b):
        if (kind := annex_b[start] & 0x1F) in found:
            end = annex_b.find(b"\x00\x00\x01", start)
            # Trailing zeros are not the unit's own: trailing_zero_8bits and the next start code's zero_byte (B.1.1).
            found[kind].append(annex_b[start : end if end >= 0 else None].rstrip(b"\x00"))
    return tuple(found[SPS] + found[PPS])


def with_parameter_sets(access_unit: bytes, units: tuple[bytes, ...]) -> bytes:
    """The access unit with these in front, but behind its delimiter, which must stay the first (7.4.1.2.3)."""
    starts = _nal_starts(access_unit)
    first = next(starts)
    at = next(starts) - 3 if access_unit[first] & 0x1F == AUD else 0
    return access_unit[:at] + b"".join(START_CODE + unit for unit in units) + access_unit[at:]
