"""Packets of a sender that loses, damages, reorders and lies, and what is made of them."""

import struct
from collections.abc import Iterable

import pytest
from camfleet.core.rtp.depacketizer import Depacketizer, ReceivedUnit
from camfleet.core.rtp.packetizer import Packetizer

from tests.kit.access_units import PPS, SPS, START, access_unit, key_access_unit
from tests.reference import h265, rtp

PAYLOAD_TYPE = 96
FRAME = 3000  # ticks
SSRC = 0x11223344


def packet(
    payload: bytes,
    sequence: int,
    timestamp: int = 0,
    *,
    marker: bool = True,
    payload_type: int = PAYLOAD_TYPE,
    ssrc: int = SSRC,
    first: int = 0x80,
) -> bytes:
    second = (0x80 if marker else 0) | payload_type
    return struct.pack("!BBHII", first, second, sequence % 65536, timestamp % 2**32, ssrc) + payload


class Sender:
    """Access units of one stream as packets without `$` headers."""

    def __init__(self, codec: str = "h264", sequence: int = 65_530) -> None:
        self.packetizer = Packetizer(codec, ssrc=SSRC, sequence=sequence, payload_type=PAYLOAD_TYPE)
        self.timestamp = 2**32 - 2 * FRAME

    def send(self, unit: bytes) -> list[bytes]:
        framed = self.packetizer.packetize(unit, self.timestamp % 2**32)
        self.timestamp += FRAME
        out = []
        while framed:
            size = 4 + int.from_bytes(framed[2:4])
            out.append(framed[4:size])
            framed = framed[size:]
        return out


def framed(packets: Iterable[bytes], channel: int = 0) -> bytes:
    return b"".join(b"$" + bytes([channel]) + struct.pack("!H", len(each)) + each for each in packets)


def received(packets: Iterable[bytes], codec: str = "h264") -> list[ReceivedUnit]:
    depacketizer = Depacketizer(codec, payload_type=PAYLOAD_TYPE)
    for each in packets:
        depacketizer.take_packet(each, 0)
    return depacketizer.take_units()


def slice_nal(nal_type: int, number: int, size: int) -> bytes:
    """The first slice of a picture: first_mb_in_slice is 0, which is a set bit."""
    return (bytes([0x60 | nal_type, 0x80]) + b"frame%08d." % number * size)[:size]


KEY, SECOND, THIRD = key_access_unit(1), access_unit(2), access_unit(3)


def numbers(units: list[ReceivedUnit]) -> list[int]:
    return [int(unit.data.partition(b"frame")[2][:8]) for unit in units]


def test_units_come_as_they_were_sent_with_their_times() -> None:
    sender = Sender()
    packets = [each for unit in (KEY, SECOND, THIRD) for each in sender.send(unit)]
    start = 2**32 - 2 * FRAME
    assert received(packets) == [
        ReceivedUnit(KEY, start, True, True, True),
        ReceivedUnit(SECOND, start + FRAME, False, False, False),
        ReceivedUnit(THIRD, 0, False, False, False),
    ]


def test_frames_of_a_connection_wherever_it_is_cut() -> None:
    sender = Sender()
    stream = framed([each for unit in (KEY, SECOND) for each in sender.send(unit)])
    for step in (1, 3, 7, 1000, 1456, 65_536):
        depacketizer, buffer, units = Depacketizer("h264", payload_type=PAYLOAD_TYPE), bytearray(), []
        for at in range(0, len(stream), step):
            buffer += stream[at : at + step]
            del buffer[: depacketizer.take_frames(buffer, 0, 0, 0)]
            units += depacketizer.take_units()
        assert [unit.data for unit in units] == [KEY, SECOND]
        assert not buffer


def test_it_stops_at_what_is_not_a_frame_of_the_channel() -> None:
    frames = framed(Sender().send(KEY))
    for behind in (b"RTSP/1.0 200 OK\r\n\r\n", framed([b"report"], channel=1), frames[:20], b"$", b""):
        depacketizer = Depacketizer("h264", payload_type=PAYLOAD_TYPE)
        assert depacketizer.take_frames(b"...." + frames + behind, 4, 0, 0) == 4 + len(frames)
        assert len(depacketizer.take_units()) == 1


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_after_a_loss_the_next_picture_is_a_key_frame(codec: str) -> None:
    """Each packet in turn is lost. With the parameter sets goes a unit that does not show its first slice."""
    if codec == "h265":
        sets = [h265.header(32) + b"v\x80", h265.header(33) + b"s\x80", h265.header(34) + b"p\x80"]
        key = rtp.annex_b([*sets, h265.header(19) + b"\x40" + b"frame%08d." % 1 * 400])
        others = [rtp.annex_b([h265.header(1) + b"\x80" + b"frame%08d." % n * 300]) for n in (2, 3)]
    else:
        key, others = KEY, [SECOND, THIRD]
    units = [key, *others, key, *others]
    sender = Sender(codec)
    packets = [sender.send(unit) for unit in units]
    flat = [each for unit in packets for each in unit]
    owner = [number for number, unit in enumerate(packets) for _ in unit]
    for lost in range(len(flat) - 1):
        got = [unit.data for unit in received(flat[:lost] + flat[lost + 1 :], codec)]
        n = owner[lost]
        whole = [*units[:n], *units[3:]] if n < 3 else [*units[:n]]
        assert got == whole, lost


def test_a_key_frame_is_whole_though_what_is_lost_may_have_been_before_it() -> None:
    sender = Sender()
    first, lost, key = sender.send(KEY), sender.send(SECOND), sender.send(KEY)
    assert [unit.is_first for unit in received([*first, *lost, *key])] == [True, False, False]
    assert [unit.is_first for unit in received([*first, *key])] == [True, True]
    # Slices without the first: something of this unit itself was lost.
    rest = START + bytes([0x65, 0x40]) + b"rest of a picture" * 10
    assert len(received([*first, *Sender(sequence=9).send(rest)])) == 1


def test_what_is_late_or_repeated_is_passed_over() -> None:
    sender = Sender()
    first, second = sender.send(KEY), sender.send(SECOND)
    assert numbers(received([*first, first[-1], *second, first[0], *second])) == [1, 2]


def test_a_sender_who_begins_anew_is_heard_from_his_second_packet_on() -> None:
    old, new = Sender(sequence=50_000), Sender(sequence=7)
    packets = [*old.send(KEY), *new.send(SECOND), *new.send(key_access_unit(3)), *new.send(access_unit(4))]
    assert numbers(received(packets)) == [1, 3, 4]


def test_another_ssrc_is_another_beginning() -> None:
    sender = Sender()
    packets = sender.send(KEY) + [each[:8] + b"\xaa\xbb\xcc\xdd" + each[12:] for each in Sender().send(KEY)]
    assert numbers(received(packets)) == [1, 1]


def test_units_end_with_their_timestamp_where_markers_are_missing_or_lie() -> None:
    """Some cameras mark no packet, others each slice."""
    parts = [slice_nal(5, 1, 300), slice_nal(1, 2, 300), slice_nal(1, 3, 300), slice_nal(1, 4, 300)]
    unmarked = [packet(part, n, n * FRAME, marker=False) for n, part in enumerate(parts)]
    assert numbers(received(unmarked)) == [1, 2, 3]
    sliced = []
    for n in range(6):
        slices = [bytes([0x65 if n == 0 else 0x61, 0x80 if s == 0 else 0x40]) + b"frame%08d." % n for s in range(3)]
        sliced += [packet(each, 3 * n + s, n * FRAME) for s, each in enumerate(slices)]
    assert [unit.data.count(START) for unit in received(sliced)] == [1, 2, 3, 3, 3, 3]  # and the last has not ended


@pytest.mark.parametrize("stamp", [0, FRAME])
def test_parameter_sets_with_a_marker_or_a_time_of_their_own_belong_to_the_picture(stamp: int) -> None:
    packets = [packet(SPS, 0), packet(PPS, 1), packet(slice_nal(5, 1, 300), 2, stamp)]
    (unit,) = received(packets)
    assert unit.data == START + SPS + START + PPS + START + slice_nal(5, 1, 300)
    assert unit.timestamp == stamp


def test_csrc_extension_and_padding_are_no_payload() -> None:
    unit = slice_nal(5, 1, 50)
    csrc = packet(bytes(8) + unit, 0, first=0x82)
    extension = packet(struct.pack("!HH", 0xBEDE, 2) + bytes(8) + unit, 1, FRAME, first=0x90)
    padding = packet(unit + b"\0\0\0\4", 2, 2 * FRAME, first=0xA0)
    assert [each.data for each in received([csrc, extension, padding])] == [START + unit] * 3


IDR = slice_nal(5, 1, 50)
FU = bytes([0x7C])  # indicator of an FU-A


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\xe5" + IDR[1:], id="F is set"),
        pytest.param(b"\x00" + IDR[1:], id="type 0"),
        pytest.param(b"\x1e" + IDR[1:], id="type 30"),
        pytest.param(b"\x78\x00\x32" + IDR + b"\x00", id="half a size in a STAP-A"),
        pytest.param(b"\x78\x00\x32" + IDR + b"\x00\x00", id="no size in a STAP-A"),
        pytest.param(b"\x78\x00\x33" + IDR, id="too large a size in a STAP-A"),
        pytest.param(b"\x78\x00\x02\x7c\x85", id="an FU-A in a STAP-A"),
        pytest.param(FU, id="an FU-A of one byte"),
        pytest.param(FU + b"\x85" + IDR[1:], id="an FU-A that does not end"),
        pytest.param(FU + b"\x05" + IDR[1:], id="an FU-A that does not begin"),
        pytest.param(FU + b"\x45" + IDR[1:], id="only the end of an FU-A"),
        pytest.param(b"\x79\x00\x00" + IDR, id="STAP-B"),
        pytest.param(b"\x7a\x00\x00" + IDR, id="MTAP16"),
        pytest.param(b"\x7d\x85\x00\x00" + IDR[1:], id="FU-B"),
    ],
)
def test_a_malformed_unit_costs_itself_only(payload: bytes) -> None:
    depacketizer = Depacketizer("h264", payload_type=PAYLOAD_TYPE)
    depacketizer.take_packet(packet(payload, 0), 0)
    depacketizer.take_packet(packet(slice_nal(1, 2, 50), 1, FRAME), 0)
    assert depacketizer.take_units() == []
    assert depacketizer.damaged_units == 2
    assert depacketizer.needs_key_frame
    depacketizer.take_packet(packet(slice_nal(5, 3, 50), 2, 2 * FRAME), 0)
    assert numbers(depacketizer.take_units()) == [3]


@pytest.mark.parametrize(
    "payload", [b"", b"\x26", b"\x62\x01", b"\x60\x01\x00", b"\x60\x01\x00\x01\x26", b"\x64\x01\x26"]
)
def test_h265_payloads_of_a_few_bytes(payload: bytes) -> None:
    depacketizer = Depacketizer("h265", payload_type=PAYLOAD_TYPE)
    depacketizer.take_packet(packet(payload, 0), 0)
    depacketizer.take_packet(packet(h265.header(19) + b"\xaf" * 40, 1, FRAME), 0)
    assert [unit.data for unit in depacketizer.take_units()] == [START + h265.header(19) + b"\xaf" * 40]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        packet(IDR, 0, first=0x40),
        packet(IDR, 0, payload_type=97),
        packet(IDR, 0, first=0x8F),
        packet(bytes(2), 0, first=0x90),
        packet(b"\0\0\xff\xff", 0, first=0x90),
        packet(b"", 0, first=0xA0),
        packet(IDR + b"\0", 0, first=0xA0),
        packet(IDR + b"\xff", 0, first=0xA0),
    ],
)
def test_what_is_no_rtp_of_ours_is_counted(data: bytes) -> None:
    depacketizer = Depacketizer("h264", payload_type=PAYLOAD_TYPE)
    depacketizer.take_packet(data, 0)
    assert (depacketizer.strange_packets, depacketizer.reception(), depacketizer.take_units()) == (1, None, [])


def test_a_unit_without_end_costs_8_mib_and_then_nothing() -> None:
    depacketizer = Depacketizer("h264", payload_type=PAYLOAD_TYPE)
    depacketizer.take_packet(packet(FU + b"\x85\x80", 0, marker=False), 0)
    for n in range(1, 200):
        depacketizer.take_packet(packet(FU + b"\x05" + bytes(60_000), n, marker=False), 0)
    depacketizer.take_packet(packet(FU + b"\x45\x80", 200), 0)
    assert depacketizer.take_units() == []
    assert depacketizer.damaged_units == 1
    depacketizer.take_packet(packet(IDR, 201, FRAME), 0)
    assert len(depacketizer.take_units()) == 1


def test_a_unit_of_8_mib_goes_through() -> None:
    depacketizer = Depacketizer("h264", payload_type=PAYLOAD_TYPE)
    depacketizer.take_packet(packet(FU + b"\x85\x80", 0, marker=False), 0)
    for n in range(1, 140):
        depacketizer.take_packet(packet(FU + b"\x05" + bytes(60_000), n, marker=False), 0)
    depacketizer.take_packet(packet(FU + b"\x45\x80", 140), 0)
    (unit,) = depacketizer.take_units()
    assert len(unit.data) == 4 + 1 + 1 + 139 * 60_000 + 1


def test_reception_counts_what_is_missing_over_a_wrap() -> None:
    depacketizer = Depacketizer("h264", payload_type=PAYLOAD_TYPE)
    assert depacketizer.reception() is None
    for sequence in (65_534, 65_535, 0, 3):
        depacketizer.take_packet(packet(IDR, sequence, sequence * FRAME), 0)
    reception = depacketizer.reception()
    assert reception is not None
    assert (reception.ssrc, reception.highest_sequence) == (SSRC, 65_536 + 3)
    assert (reception.expected, reception.received) == (6, 4)


def test_jitter_is_that_of_rfc_3550() -> None:
    depacketizer = Depacketizer("h264", payload_type=PAYLOAD_TYPE)
    expected = 0.0
    transits = [1000, 1900, 1000, 1450, 1000]
    for n, transit in enumerate(transits):
        depacketizer.take_packet(packet(IDR, n, n * FRAME), (n * FRAME + transit) * 1_000_000_000 // 90_000 + 1)
        if n:
            expected += (abs(transit - transits[n - 1]) - expected) / 16
    reception = depacketizer.reception()
    assert reception is not None
    assert reception.jitter == pytest.approx(expected, abs=2)
