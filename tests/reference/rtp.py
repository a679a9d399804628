"""RFC 3550 5.1 and RFC 6184 in plain Python: slow, strict, written from the RFCs and not from core/rtp."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_PAYLOAD_SIZE = 1428
START_CODE = b"\0\0\0\1"
NEVER_SENT = {0, 9, 10, 11, 12, *range(24, 32)}
X264_UUID = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")


@dataclass(frozen=True)
class Packet:
    channel: int
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass
class AccessUnit:
    timestamp: int
    units: list[bytes] = field(default_factory=list)


def annex_b(units: list[bytes], start_code: bytes = START_CODE) -> bytes:
    return b"".join(start_code + unit for unit in units)


def nal_units(access_unit: bytes) -> list[bytes]:
    """The NAL units between start codes, without trailing zeros and empty ones."""
    parts = [part.rstrip(b"\0") for part in access_unit.split(b"\0\0\1")]
    assert parts[0] == b"", "something stands before the first start code"
    return [part for part in parts[1:] if part]


def is_sent(unit: bytes) -> bool:
    x264_settings = unit[0] & 31 == 6 and unit[1:2] == b"\5" and unit[2:].lstrip(b"\xff")[1:17] == X264_UUID
    return unit[0] & 31 not in NEVER_SENT and not x264_settings


def payloads(units: list[bytes]) -> list[bytes]:
    """The payloads of one access unit: neighbours together while they fit, large units in full-size fragments."""
    out: list[bytes] = []
    rest = [unit for unit in units if is_sent(unit)]
    while rest:
        count = 1
        while count < len(rest) and 1 + sum(2 + len(unit) for unit in rest[: count + 1]) <= MAX_PAYLOAD_SIZE:
            count += 1
        group, rest = rest[:count], rest[count:]
        if count > 1:
            header = max(unit[0] & 0x60 for unit in group) | max(unit[0] & 0x80 for unit in group) | 24
            out.append(bytes([header]) + b"".join(struct.pack("!H", len(unit)) + unit for unit in group))
        elif len(group[0]) <= MAX_PAYLOAD_SIZE:
            out.append(group[0])
        else:
            unit, step = group[0], MAX_PAYLOAD_SIZE - 2
            for at in range(1, len(unit), step):
                flags = (0x80 if at == 1 else 0) | (0x40 if at + step >= len(unit) else 0)
                out.append(bytes([unit[0] & 0xE0 | 28, flags | unit[0] & 31]) + unit[at : at + step])
    return out


def packetize(
    access_unit: bytes,
    *,
    ssrc: int,
    sequence: int,
    payload_type: int,
    channel: int,
    timestamp: int,
    payloads: Callable[[list[bytes]], list[bytes]] = payloads,
) -> bytes:
    """`payloads`: of the codec; that of H.265 stands in h265.py."""
    parts = payloads(nal_units(access_unit))
    out = bytearray()
    for index, payload in enumerate(parts):
        marker = 0x80 if index == len(parts) - 1 else 0
        out += struct.pack("!BBH", 0x24, channel, 12 + len(payload))
        out += struct.pack("!BBHII", 0x80, marker | payload_type, (sequence + index) % 65536, timestamp, ssrc) + payload
    return bytes(out)


def packets(data: bytes) -> list[Packet]:
    """Interleaved frames that each hold one RTP packet without CSRC, padding or extension."""
    out = []
    while data:
        dollar, channel, size = struct.unpack_from("!BBH", data)
        assert dollar == 0x24
        frame, data = data[4 : 4 + size], data[4 + size :]
        assert len(frame) == size
        out.append(packet(channel, frame))
    return out


def packet(channel: int, data: bytes) -> Packet:
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    assert first == 0x80
    return Packet(channel, second >= 128, second & 127, sequence, timestamp, ssrc, data[12:])


def depacketize(received: list[Packet]) -> list[AccessUnit]:
    """The access units of a gapless run of packets; asserts every rule of RFC 6184 5.6-5.8 that a sender can break."""
    out: list[AccessUnit] = []
    fragments = b""
    previous: Packet | None = None
    for packet in received:
        if previous:
            assert packet.sequence == (previous.sequence + 1) % 65536
            assert (packet.timestamp == previous.timestamp) == (not previous.marker)
        if previous is None or previous.marker:
            out.append(AccessUnit(packet.timestamp))
        payload, kind = packet.payload, packet.payload[0] & 31
        assert len(payload) <= MAX_PAYLOAD_SIZE
        assert not fragments or kind == 28
        if kind == 28:
            start, end = payload[1] & 0x80, payload[1] & 0x40
            assert not payload[1] & 0x20
            assert bool(start) == (not fragments)
            assert not (start and end)
            assert len(payload) > 2
            header = bytes([payload[0] & 0xE0 | payload[1] & 31])
            assert start or header == fragments[:1]
            fragments = (fragments or header) + payload[2:]
            if end:
                out[-1].units.append(fragments)
                fragments = b""
            else:
                assert not packet.marker
        elif kind == 24:
            rest, importance, forbidden = payload[1:], 0, 0
            assert rest
            while rest:
                (size,) = struct.unpack_from("!H", rest)
                assert 0 < size <= len(rest) - 2
                unit, rest = rest[2 : 2 + size], rest[2 + size :]
                importance, forbidden = max(importance, unit[0] & 0x60), forbidden | unit[0] & 0x80
                out[-1].units.append(unit)
            assert payload[0] & 0xE0 == importance | forbidden
        else:
            assert 1 <= kind <= 23
            out[-1].units.append(payload)
        previous = packet
    assert previous is None or previous.marker
    return out
