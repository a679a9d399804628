"""RFC 3550 6 with struct: what a peer sends us, and a reading of what we send."""

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Packet:
    kind: int
    count: int
    body: bytes  # behind the 4-byte header, padding removed


def packet(kind: int, count: int, body: bytes = b"", *, version: int = 2, padding: int = 0) -> bytes:
    """One RTCP packet; `padding` octets are appended, the last of which says how many."""
    tail = bytes(padding - 1) + bytes([padding]) if padding else b""
    first = version << 6 | (0x20 if padding else 0) | count
    assert (len(body) + padding) % 4 == 0
    return struct.pack("!BBH", first, kind, (len(body) + padding) // 4) + body + tail


def report_block(ssrc: int, *, fraction: int = 0, lost: int = 0, jitter: int = 0) -> bytes:
    return struct.pack("!IIIIII", ssrc, fraction << 24 | lost & 0xFFFFFF, 7, jitter, 8, 9)


def receiver_report(*blocks: bytes, sender: int = 99, padding: int = 0) -> bytes:
    return packet(201, len(blocks), struct.pack("!I", sender) + b"".join(blocks), padding=padding)


def sender_report(*blocks: bytes, sender: int = 99) -> bytes:
    return packet(200, len(blocks), struct.pack("!IQIII", sender, 1, 2, 3, 4) + b"".join(blocks))


def picture_loss(media: int, sender: int = 99) -> bytes:
    return packet(206, 1, struct.pack("!II", sender, media))


def full_intra_request(*targets: int, sender: int = 99) -> bytes:
    entries = b"".join(struct.pack("!IBxxx", target, index) for index, target in enumerate(targets))
    return packet(206, 4, struct.pack("!II", sender, 0) + entries)


def goodbye(*sources: int) -> bytes:
    return packet(203, len(sources), struct.pack(f"!{len(sources)}I", *sources))


def split(compound: bytes) -> list[Packet]:
    out = []
    while compound:
        first, kind, words = struct.unpack_from("!BBH", compound)
        assert first >> 6 == 2
        body = compound[4 : 4 + 4 * words]
        assert len(body) == 4 * words
        out.append(Packet(kind, first & 31, body[: -body[-1]] if first & 0x20 else body))
        compound = compound[4 + 4 * words :]
    return out


def canonical_name(description: Packet) -> bytes:
    """The CNAME of an SDES packet with one chunk that holds nothing else; the end of the item list is checked."""
    assert (description.kind, description.count) == (202, 1)
    kind, size = description.body[4:6]
    assert kind == 1
    end = description.body[6 + size :]
    assert 1 <= len(end) <= 4
    assert not any(end)
    return description.body[6 : 6 + size]
