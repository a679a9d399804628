"""RFC 7798 in plain Python: slow, strict, written from the RFC and not from core/rtp. Without DON."""

import struct

from .rtp import MAX_PAYLOAD_SIZE, AccessUnit, Packet

AP, FU = 48, 49
NEVER_SENT = {35, 38, *range(48, 64)}  # delimiter, filler, unspecified (H.265 Table 7-1)
X265_UUID = bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e")


def header(kind: int, layer: int = 0, tid: int = 1, forbidden: int = 0) -> bytes:
    """RFC 7798 1.1.4."""
    return struct.pack("!H", forbidden << 15 | kind << 9 | layer << 3 | tid)


def fields(unit: bytes) -> tuple[int, int, int, int]:
    """(type, layer, tid, forbidden) of a NAL unit or a payload."""
    (bits,) = struct.unpack_from("!H", unit)
    return bits >> 9 & 63, bits >> 3 & 63, bits & 7, bits >> 15


def is_sent(unit: bytes) -> bool:
    if len(unit) < 2 or fields(unit)[0] in NEVER_SENT:
        return False
    return not (fields(unit)[0] == 39 and unit[2:3] == b"\5" and unit[3:].lstrip(b"\xff")[1:17] == X265_UUID)


def payloads(units: list[bytes]) -> list[bytes]:
    """The payloads of one access unit: neighbours together while they fit, large units in full-size fragments."""
    out: list[bytes] = []
    rest = [unit for unit in units if is_sent(unit)]
    while rest:
        count = 1
        while count < len(rest) and 2 + sum(2 + len(unit) for unit in rest[: count + 1]) <= MAX_PAYLOAD_SIZE:
            count += 1
        group, rest = rest[:count], rest[count:]
        if count > 1:
            _, layers, tids, forbidden = zip(*map(fields, group), strict=True)
            ap = header(AP, min(layers), min(tids), max(forbidden))
            out.append(ap + b"".join(struct.pack("!H", len(unit)) + unit for unit in group))
        elif len(group[0]) <= MAX_PAYLOAD_SIZE:
            out.append(group[0])
        else:
            unit, step = group[0], MAX_PAYLOAD_SIZE - 3
            kind, layer, tid, one_forbidden = fields(unit)
            for at in range(2, len(unit), step):
                flags = (0x80 if at == 2 else 0) | (0x40 if at + step >= len(unit) else 0)
                out.append(header(FU, layer, tid, one_forbidden) + bytes([flags | kind]) + unit[at : at + step])
    return out


def depacketize(received: list[Packet]) -> list[AccessUnit]:
    """The access units of a gapless run of packets; asserts every rule of RFC 7798 4.4 that a sender can break."""
    out: list[AccessUnit] = []
    fragments = b""
    previous: Packet | None = None
    for packet in received:
        if previous:
            assert packet.sequence == (previous.sequence + 1) % 65536
            assert (packet.timestamp == previous.timestamp) == (not previous.marker)
        if previous is None or previous.marker:
            out.append(AccessUnit(packet.timestamp))
        payload = packet.payload
        kind, layer, tid, forbidden = fields(payload)
        assert len(payload) <= MAX_PAYLOAD_SIZE
        assert not fragments or kind == FU
        if kind == FU:
            start, end = payload[2] & 0x80, payload[2] & 0x40
            assert bool(start) == (not fragments)
            assert not (start and end)
            assert len(payload) > 3
            unit_header = header(payload[2] & 63, layer, tid, forbidden)
            assert payload[2] & 63 not in (AP, FU)
            assert start or unit_header == fragments[:2]
            fragments = (fragments or unit_header) + payload[3:]
            if end:
                out[-1].units.append(fragments)
                fragments = b""
            else:
                assert not packet.marker
        elif kind == AP:
            rest, inside = payload[2:], []
            while rest:
                (size,) = struct.unpack_from("!H", rest)
                assert 2 <= size <= len(rest) - 2
                unit, rest = rest[2 : 2 + size], rest[2 + size :]
                inside.append(unit)
            assert len(inside) >= 2
            assert all(fields(unit)[0] not in (AP, FU) for unit in inside)
            assert layer == min(fields(unit)[1] for unit in inside)
            assert tid == min(fields(unit)[2] for unit in inside)
            assert forbidden == max(fields(unit)[3] for unit in inside)
            out[-1].units += inside
        else:
            assert kind < AP
            out[-1].units.append(payload)
        previous = packet
    assert previous is None or previous.marker
    return out
