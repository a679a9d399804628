"""Every kind of damage is made on purpose and must be counted once, for what it is."""

import struct
from collections.abc import Callable
from itertools import pairwise

import pytest
from camfleet.bench.load.media import Counters, Probe, delay_us
from camfleet.core.clock import ntp_from_unix_ns

from tests.reference import h265, rtp

MS = 1_000_000
KEY = rtp.annex_b([b"\x67\x42\xc0\x1f", b"\x68\xce\x3c\x80", b"\x65" + b"k" * 4000])  # STAP-A and three FU-A
SMALL_KEY = rtp.annex_b([b"\x67\x42\xc0\x1f", b"\x68\xce\x3c\x80", b"\x65" + b"k" * 40])  # one STAP-A
LONE_KEY = rtp.annex_b([b"\x65" + b"k" * 40])  # a single NAL unit packet
DELTA = rtp.annex_b([b"\x41" + b"d" * 3000])  # three FU-A
SLICES = rtp.annex_b([b"\x41" + b"d" * 1000] * 3)  # three single NAL unit packets


H265_KEY = rtp.annex_b([b"\x40\x01v", b"\x42\x01s", b"\x44\x01p", b"\x2a\x01" + b"k" * 4000])  # AP and three FU; CRA
H265_SMALL_KEY = rtp.annex_b([b"\x40\x01v", b"\x42\x01s", b"\x44\x01p", b"\x26\x01" + b"k" * 40])  # one AP; IDR
H265_LONE_KEY = rtp.annex_b([b"\x20\x01" + b"k" * 40])  # BLA
H265_DELTA = rtp.annex_b([b"\x02\x01" + b"d" * 3000])
H265_SLICES = rtp.annex_b([b"\x10\x01" + b"d" * 1000] * 3)  # RASL_N


def stream(
    *access_units: bytes,
    sequence: int = 65_530,
    timestamp: int = 2**32 - 7000,
    payloads: Callable[[list[bytes]], list[bytes]] = rtp.payloads,
) -> list[list[bytes]]:
    """The RTP packets of each access unit, 3000 ticks apart, over the wrap of both numbers."""
    frames = []
    for number, access_unit in enumerate(access_units):
        data = rtp.packetize(
            access_unit,
            ssrc=1,
            sequence=sequence,
            payload_type=96,
            channel=0,
            timestamp=(timestamp + 3000 * number) % 2**32,
            payloads=payloads,
        )
        packets = []
        while data:
            size = 4 + struct.unpack_from("!H", data, 2)[0]
            packets.append(data[4:size])
            data = data[size:]
        frames.append(packets)
        sequence = (sequence + len(packets)) % 65_536
    return frames


def count(frames: list[list[bytes]], codec: str = "h264") -> Counters:
    probe = Probe(codec=codec)
    for packet in (packet for frame in frames for packet in frame):
        probe.rtp(packet, 5)
    return probe.counters()


def damages(counters: Counters) -> tuple[int, int, int, int, int, int]:
    """(sequence gaps, packets missing, incomplete frames, frame gaps, frames missing, malformed)."""
    c = counters
    return c.sequence_gaps, c.packets_missing, c.frames_incomplete, c.frame_gaps, c.frames_missing, c.malformed


def without(*places: tuple[int, int]) -> Callable[[list[list[bytes]]], list[list[bytes]]]:
    """Drop these (frame, packet)."""
    return lambda frames: [
        [packet for place, packet in enumerate(frame) if (number, place) not in places]
        for number, frame in enumerate(frames)
    ]


def unmarked(frames: list[list[bytes]]) -> list[list[bytes]]:
    """The third frame's marker is missing."""
    last = bytearray(frames[2][-1])
    last[1] &= 0x7F
    frames[2][-1] = bytes(last)
    return frames


def unended(frames: list[list[bytes]]) -> list[list[bytes]]:
    """The third frame's last fragment has the marker, but not the end bit."""
    last = bytearray(frames[2][-1])
    last[13] &= 0xBF
    frames[2][-1] = bytes(last)
    return frames


def repeated(frames: list[list[bytes]]) -> list[list[bytes]]:
    frames[2].insert(1, frames[2][0])
    return frames


def broken(frames: list[list[bytes]]) -> list[list[bytes]]:
    frames[2].insert(0, b"\x40" + frames[2][0][1:])
    frames[2].insert(0, frames[2][0][:11])
    return frames


def test_a_whole_stream() -> None:
    frames = stream(KEY, *[DELTA, SLICES, SMALL_KEY, LONE_KEY] * 20)
    counters = count(frames)
    assert damages(counters) == (0,) * 6
    assert (counters.frames, counters.key_frames) == (81, 41)
    assert counters.packets == sum(len(frame) for frame in frames)


def test_a_whole_stream_of_h265() -> None:
    units = [H265_KEY, *[H265_DELTA, H265_SLICES, H265_SMALL_KEY, H265_LONE_KEY] * 20]
    frames = stream(*units, payloads=h265.payloads)
    counters = count(frames, "h265")
    assert damages(counters) == (0,) * 6
    assert (counters.frames, counters.key_frames) == (81, 41)


@pytest.mark.parametrize(
    ("lost", "counted", "frames"),
    [
        ((2, 0), (1, 1, 1, 0, 0, 0), 9),  # the beginning of a fragmented unit, its middle, its end
        ((2, 1), (1, 1, 1, 0, 0, 0), 9),
        ((2, 2), (1, 1, 1, 0, 0, 0), 9),
    ],
)
def test_damage_of_h265(lost: tuple[int, int], counted: tuple[int, ...], frames: int) -> None:
    counters = count(without(lost)(stream(H265_KEY, *[H265_DELTA] * 9, payloads=h265.payloads)), "h265")
    assert damages(counters) == counted
    assert counters.frames == frames


@pytest.mark.parametrize(
    ("damage", "counted", "frames"),
    [
        (without((2, 0)), (1, 1, 1, 0, 0, 0), 9),  # the beginning of a fragmented unit
        (without((2, 1)), (1, 1, 1, 0, 0, 0), 9),  # its middle
        (without((2, 2)), (1, 1, 1, 0, 0, 0), 9),  # its end and the marker
        (without((2, 0), (2, 2)), (2, 2, 1, 0, 0, 0), 9),
        (without((2, 1), (4, 1)), (2, 2, 2, 0, 0, 0), 8),
        (without((2, 2), (3, 0)), (1, 2, 2, 0, 0, 0), 8),  # one gap that hurts two frames
        (without((2, 0), (2, 1), (2, 2)), (1, 3, 0, 1, 1, 0), 9),  # a whole frame
        (without(*((n, p) for n in (2, 3, 4) for p in range(3))), (1, 9, 0, 1, 3, 0), 7),
        (without(*((n, p) for n in (2, 6) for p in range(3))), (2, 6, 0, 2, 2, 0), 8),
        # the end of a frame, a whole one, the beginning of the next
        (without((2, 2), (3, 0), (3, 1), (3, 2), (4, 0)), (1, 5, 2, 1, 1, 0), 7),
        (unmarked, (0, 0, 1, 0, 0, 0), 9),
        (unended, (0, 0, 1, 0, 0, 0), 9),
        (repeated, (1, 0, 1, 0, 0, 0), 9),  # a jump back
        (broken, (0, 0, 0, 0, 0, 2), 10),
    ],
)
def test_damage(
    damage: Callable[[list[list[bytes]]], list[list[bytes]]], counted: tuple[int, ...], frames: int
) -> None:
    counters = count(damage(stream(KEY, *[DELTA] * 9)))
    assert damages(counters) == counted
    assert counters.frames == frames


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_frame_of_single_packets_that_lacks_one(place: int) -> None:
    """Its first packet cannot be missed by what follows: it is taken for the frame before, which is whole."""
    counters = count(without((2, place))(stream(KEY, *[SLICES] * 5)))
    assert counters.frames_incomplete == (place > 0)
    assert counters.sequence_gaps == 1


def test_frames_left_out_by_the_source() -> None:
    """No packet is missing, but time is: 3 of 40 frames never existed."""
    data = stream(KEY, *[DELTA] * 39)
    renumbered = stream(KEY, *[DELTA] * 36)
    kept = [frame for number, frame in enumerate(data) if number not in (10, 20, 21)]
    frames = [
        [new[:4] + old[4:8] + new[8:] for new, old in zip(new_frame, old_frame, strict=True)]
        for new_frame, old_frame in zip(renumbered, kept, strict=True)
    ]
    assert damages(count(frames)) == (0, 0, 0, 2, 3, 0)


def test_losses_do_not_change_what_a_usual_step_is() -> None:
    """Every third frame is lost: the mean step is 1.5 frames then, and still each loss is one."""
    lost = [(number, packet) for number in range(3, 60, 3) for packet in range(3)]
    assert damages(count(without(*lost)(stream(KEY, *[DELTA] * 59)))) == (19, 57, 0, 19, 19, 0)


def test_reordered_timestamps_are_no_gaps() -> None:
    """B frames: decoding order is not the order of time."""
    probe = Probe()
    order = [0] + [group + place for group in range(0, 90, 3) for place in (3, 1, 2)]
    for sequence, step in enumerate(order):
        packet = struct.pack("!BBHII", 0x80, 0xE0, sequence, 3000 * step, 1) + b"\x41x"
        probe.rtp(packet)
    assert damages(probe.counters())[3:5] == (0, 0)


@pytest.mark.parametrize("key", [KEY, SMALL_KEY, LONE_KEY])
def test_first_key_frame_is_the_first_complete_one(key: bytes) -> None:
    probe = Probe()
    for number, frame in enumerate(stream(DELTA, key, DELTA, key, key)):
        for packet in frame[: -1 if number == 1 else None]:
            probe.rtp(packet, 1000 + number)
    assert probe.counters().first_key_ns == 1003
    assert probe.counters().key_frames == 2


def test_silence_is_between_complete_frames() -> None:
    probe = Probe()
    for number, frame in enumerate(stream(KEY, *[DELTA] * 5)):
        for place, packet in enumerate(frame):
            if (number, place) != (3, 1):
                probe.rtp(packet, [10, 20, 30, 45, 57, 60][number])
    assert probe.counters().longest_ns == 27
    assert probe.counters().last_frame_ns == 60


def test_header_extension_contributors_and_padding() -> None:
    probe = Probe()
    for sequence, (first, prefix, suffix) in enumerate(
        [
            (0x80, b"", b""),
            (0x82, bytes(8), b""),
            (0x90, b"\0\0\0\2" + bytes(8), b""),
            (0xA0, b"", b"\0\0\3"),
            (0xB1, bytes(4) + b"\0\0\0\0", b"\1"),
        ]
    ):
        probe.rtp(struct.pack("!BBHII", first, 0xE0, sequence, sequence * 3000, 1) + prefix + b"\x65k" + suffix, 1)
    assert damages(probe.counters()) == (0,) * 6
    assert probe.counters().key_frames == 5
    for packet in (
        struct.pack("!BBHII", 0x81, 0xE0, 5, 0, 1) + b"\0",
        struct.pack("!BBHII", 0x90, 0xE0, 5, 0, 1) + b"\0\0\0\1",
        struct.pack("!BBHII", 0xA0, 0xE0, 5, 0, 1) + b"\x65\3",
    ):
        probe.rtp(packet)
    assert probe.counters().malformed == 3


def report(unix_ns: int, timestamp: int, kind: int = 200) -> bytes:
    return struct.pack("!BBHIQIII", 0x80, kind, 6, 1, ntp_from_unix_ns(unix_ns), timestamp, 0, 0)


def test_delay_is_from_the_capture_time_of_the_sender_report() -> None:
    start = 1_790_000_000 * 1_000_000_000
    probe = Probe()
    first, *rest = stream(LONE_KEY, *[rtp.annex_b([b"\x41x"])] * 99)
    probe.rtp(first[0], 0, start + 500 * MS)  # no report yet
    # the report is about a moment one second after the first frame
    probe.rtcp(report(start + 1000 * MS, (2**32 - 7000 + 90_000) % 2**32))
    for number, frame in enumerate(rest, 1):
        capture = start + number * 3000 * 1_000_000_000 // 90_000
        probe.rtp(frame[0], 0, capture + (7 if number < 99 else 90) * MS)
    buckets = probe.delay_histogram()
    assert sum(buckets) == 99
    delays = [delay_us(bucket) / 1000 for bucket, frames in enumerate(buckets) for _ in range(frames)]
    assert delays[:-1] == pytest.approx([7.0] * 98, rel=0.0626)
    assert delays[-1] == pytest.approx(90.0, rel=0.0626)
    assert min(delays) >= 7.0


def test_reports_that_say_nothing_about_time() -> None:
    probe = Probe()
    probe.rtcp(report(0, 0, kind=201))
    probe.rtcp(struct.pack("!BBHIQIII", 0x80, 200, 6, 1, 0, 0, 0, 0))
    probe.rtcp(report(0, 0)[:19])
    for frame in stream(LONE_KEY):
        probe.rtp(frame[0])
    assert sum(probe.delay_histogram()) == 0
    probe.rtcp(b"\x00\xc8\0\6" + bytes(24))
    assert probe.counters().malformed == 1


def test_delay_buckets_cover_every_delay_without_a_hole() -> None:
    edges = [delay_us(bucket) for bucket in range(464)]
    assert edges[:33] == [*range(32), 33]
    assert edges[-1] == 2**32 - 1
    assert all(low < high <= low * 1.0625 + 1 for low, high in pairwise(edges))
