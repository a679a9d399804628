"""As much of H.264 and H.265 (Annex B of both) as a worker must see: where NAL units begin and what they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

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
    """What DESCRIBE says of a stream. Parameter sets are NAL units without start code: (all VPS,) all SPS, all PPS."""

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


@dataclass(frozen=True, slots=True)
class Codec:
    """Types of NAL units are those of Table 7-1 of either standard."""

    name: str  # in settings, "h264"
    title: str  # for people, "H.264"
    type_shift: int  # where the type stands in a unit's first byte
    type_mask: int
    parameter_types: tuple[int, ...]
    slices: frozenset[int]
    key_frames: frozenset[int]  # slices of pictures that decoding can start with
    delimiter: int

    def kind(self, first: int) -> int:
        """The type of a NAL unit, from its first byte."""
        return first >> self.type_shift & self.type_mask

    def leading_types(self, annex_b: bytes) -> set[int]:
        """Types up to and with the first slice: whether this is a key frame and brings its parameter sets."""
        types = set()
        for start in nal_starts(annex_b):
            kind = self.kind(annex_b[start])
            types.add(kind)
            if kind in self.slices:
                break
        return types

    def parameter_sets(self, annex_b: bytes) -> tuple[bytes, ...]:
        """Those in `annex_b`, in the order of `parameter_types`."""
        found: dict[int, list[bytes]] = {kind: [] for kind in self.parameter_types}
        for start in nal_starts(annex_b):
            if (kind := self.kind(annex_b[start])) in found:
                end = annex_b.find(b"\x00\x00\x01", start)
                # Trailing zeros are not the unit's own: trailing_zero_8bits, the next start code's zero_byte (B.1.1).
                found[kind].append(annex_b[start : end if end >= 0 else None].rstrip(b"\x00"))
        return tuple(unit for units in found.values() for unit in units)

    def with_parameter_sets(self, access_unit: bytes, units: tuple[bytes, ...]) -> bytes:
        """The access unit with these in front, but behind its delimiter, which must stay the first (7.4.1.2.3)."""
        starts = nal_starts(access_unit)
        first = next(starts)
        at = next(starts) - 3 if self.kind(access_unit[first]) == self.delimiter else 0
        return access_unit[:at] + b"".join(START_CODE + unit for unit in units) + access_unit[at:]


H264 = Codec(
    name="h264",
    title="H.264",
    type_shift=0,
    type_mask=0x1F,
    parameter_types=(7, 8),  # SPS, PPS
    slices=frozenset(range(1, 6)),
    key_frames=frozenset({5}),  # IDR
    delimiter=9,
)
H265 = Codec(
    name="h265",
    title="H.265",
    type_shift=1,
    type_mask=0x3F,
    parameter_types=(32, 33, 34),  # VPS, SPS, PPS
    slices=frozenset(range(32)),
    key_frames=frozenset(range(16, 22)),  # IRAP: BLA, IDR, CRA
    delimiter=35,
)
CODECS = {codec.name: codec for codec in (H264, H265)}
BLA_W_LP, CRA = 16, 21


def cut_here(access_unit: bytes) -> bytes:
    """An H.265 access unit as the first after a cut: a CRA picture becomes a BLA picture, which says that what came
    before is not what the pictures that follow may refer to (H.265 7.4.2.2). Nothing else of it changes.
    """
    done = bytearray(access_unit)
    for start in nal_starts(access_unit):
        if H265.kind(done[start]) == CRA:
            done[start] = done[start] & 0x81 | BLA_W_LP << 1
    return bytes(done)


def nal_starts(annex_b: bytes) -> Iterator[int]:
    """Offset of each NAL unit's first byte, found lazily: a caller that stops at the first slice has not read it."""
    at = annex_b.find(b"\x00\x00\x01") + 3
    while 3 <= at < len(annex_b):
        yield at
        at = annex_b.find(b"\x00\x00\x01", at) + 3
