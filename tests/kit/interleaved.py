"""Read an interleaved RTSP stream as a client does: text, RTP and RTCP, checked for holes."""

import itertools
import struct
from dataclasses import dataclass, field
from typing import NamedTuple


class RTPPacket(NamedTuple):
    channel: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class RTCPPacket(NamedTuple):
    channel: int
    packet_type: int
    body: bytes


Element = RTPPacket | RTCPPacket | bytes


def parse_frame(channel: int, data: bytes) -> list[Element]:
    """One interleaved frame; RTCP compounds come apart. Odd channels carry RTCP."""
    if channel % 2 == 0:
        first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
        assert first == 0x80, f"RTP header {first:#x}"
        return [RTPPacket(channel, bool(second & 0x80), sequence, timestamp, ssrc, data[12:])]
    found: list[Element] = []
    while data:
        first, packet_type, words = struct.unpack_from("!BBH", data)
        assert first >> 6 == 2, f"RTCP header {first:#x}"
        found.append(RTCPPacket(channel, packet_type, data[: 4 * words + 4]))
        data = data[4 * words + 4 :]
    return found


@dataclass
class InterleavedReader:
    """Feed it bytes; complete elements come out in order. Text is given as one RTSP message (head and body)."""

    buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Element]:
        self.buffer += data
        found: list[Element] = []
        while self.buffer:
            if self.buffer[0] == 0x24:
                if len(self.buffer) < 4:
                    break
                size = 4 + int.from_bytes(self.buffer[2:4], "big")
                if len(self.buffer) < size:
                    break
                found += parse_frame(self.buffer[1], bytes(self.buffer[4:size]))
            else:
                head = self.buffer.find(b"\r\n\r\n")
                if head < 0:
                    break
                size = head + 4
                for line in bytes(self.buffer[:head]).split(b"\r\n"):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        size += int(value)
                if len(self.buffer) < size:
                    break
                found.append(bytes(self.buffer[:size]))
            del self.buffer[:size]
        return found


def holes(packets: list[RTPPacket]) -> int:
    """How often the sequence number does not follow."""
    return sum((b.sequence - a.sequence) & 0xFFFF != 1 for a, b in itertools.pairwise(packets))


def frames(packets: list[RTPPacket]) -> list[list[RTPPacket]]:
    """Packets grouped by timestamp; asserts that every frame but the last is whole (ends with the marker)."""
    grouped: list[list[RTPPacket]] = []
    for packet in packets:
        if not grouped or grouped[-1][-1].timestamp != packet.timestamp:
            if grouped:
                assert grouped[-1][-1].marker, "a frame was cut"
            grouped.append([])
        grouped[-1].append(packet)
    return grouped


def is_key_frame(frame: list[RTPPacket], codec: str = "h264") -> bool:
    """Holds the start of a slice that decoding can begin with: alone, aggregated, or in the first fragment.

    RFC 6184: IDR; RFC 7798: IRAP (BLA, IDR, CRA).
    """
    if codec == "h265":
        shift, mask, header, aggregation, fragmentation, keys = 1, 0x3F, 2, 48, 49, range(16, 22)
    else:
        shift, mask, header, aggregation, fragmentation, keys = 0, 0x1F, 1, 24, 28, range(5, 6)
    for packet in frame:
        kind = packet.payload[0] >> shift & mask
        if kind in keys:
            return True
        if kind == fragmentation and packet.payload[header] & 0x80 and packet.payload[header] & mask in keys:
            return True
        units = packet.payload[header:] if kind == aggregation else b""
        while units:
            if units[2] >> shift & mask in keys:
                return True
            units = units[2 + int.from_bytes(units[:2]) :]
    return False
