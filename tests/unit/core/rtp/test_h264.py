import pytest
from camfleet.core.rtp.packetizer import Packetizer

from tests.kit.clips import encode_noise
from tests.reference import rtp

HEADERS = 4 + 12
NOT_AN_ACCESS_UNIT = "not an h264 access unit"
SPS, PPS = b"\x67\x42\xc0\x1f\xda", b"\x68\xce\x3c\x80"
X264_SEI = b"\x06\x05" + b"\xff\xff\x99" + rtp.X264_UUID + b"x264 - core 165 " * 40 + b"\x80"
USER_SEI = b"\x06\x05\x18" + bytes(range(16)) + b"my stamp\x80"


def unit(kind: int, size: int, importance: int = 3) -> bytes:
    """A NAL unit of `size` bytes without zeros, so that no start code can occur in it."""
    return (bytes([importance << 5 | kind]) + bytes(range(1, 256)) * (size // 255 + 1))[:size]


def described(units: list[bytes]) -> str:
    """How the packets of an access unit look: a type, 24(...) for a STAP-A, 28:type*fragments, ! for the marker."""
    words: list[str] = []
    for packet in rtp.packets(Packetizer().packetize(rtp.annex_b(units), 0)):
        kind, mark = packet.payload[0] & 31, "!" if packet.marker else ""
        if kind == 28 and not packet.payload[1] & 0x80:
            name, count = words.pop().split("*")
            words.append(f"{name}*{int(count) + 1}{mark}")
        elif kind == 28:
            words.append(f"28:{packet.payload[1] & 31}*1{mark}")
        elif kind == 24:
            inside, at = [], 1
            while at < len(packet.payload):
                inside.append(str(packet.payload[at + 2] & 31))
                at += 2 + int.from_bytes(packet.payload[at : at + 2])
            words.append(f"24({','.join(inside)}){mark}")
        else:
            words.append(f"{kind}{mark}")
    return " ".join(words)


@pytest.mark.parametrize(
    ("units", "packets"),
    [
        ([unit(1, 100)], "1!"),
        ([unit(1, 1)], "1!"),
        ([unit(1, 1428)], "1!"),
        ([unit(1, 1429)], "28:1*2!"),
        ([unit(1, 1 + 1426 * 2)], "28:1*2!"),
        ([unit(1, 1 + 1426 * 2 + 1)], "28:1*3!"),
        ([SPS, PPS, unit(5, 9000)], "24(7,8) 28:5*7!"),
        ([SPS, PPS, unit(5, 500)], "24(7,8,5)!"),
        ([unit(6, 30), SPS, PPS, unit(5, 9000)], "24(6,7,8) 28:5*7!"),
        # 1 + 2 + 711 + 2 + 712 = 1428
        ([unit(1, 711), unit(1, 712)], "24(1,1)!"),
        ([unit(1, 712), unit(1, 712)], "1 1!"),
        ([unit(1, 711), unit(1, 712), unit(1, 1)], "24(1,1) 1!"),
        # a unit that needs a packet of its own ends the group before it and begins none
        ([unit(6, 20), unit(1, 1428), unit(1, 20)], "6 1 1!"),
        ([unit(1, 3000), unit(1, 20), unit(1, 20)], "28:1*3 24(1,1)!"),
        ([unit(1, 20), unit(1, 3000)], "1 28:1*3!"),
        # delimiter, end of sequence, end of stream, filler, unspecified: not sent, and the marker is not left behind
        ([unit(9, 2), SPS, PPS, unit(5, 20), unit(10, 1), unit(11, 1), unit(12, 900)], "24(7,8,5)!"),
        ([unit(9, 2), unit(1, 2000), unit(12, 5000)], "28:1*2!"),
        ([unit(0, 9), unit(1, 20), unit(24, 9), unit(28, 2000), unit(31, 9)], "1!"),
        # neighbours meet over a unit that is dropped
        ([unit(1, 20), unit(12, 5000), unit(1, 20)], "24(1,1)!"),
        ([X264_SEI, SPS, PPS, unit(5, 2000)], "24(7,8) 28:5*2!"),
        ([USER_SEI, unit(5, 2000)], "6 28:5*2!"),
        # cut inside the UUID: not x264's, and nothing is read behind the unit's end
        ([X264_SEI[:20], unit(1, 9)], "24(6,1)!"),
        ([b"\x06", unit(1, 9)], "24(6,1)!"),
        ([b"\x06\x05\xff\xff", unit(1, 9)], "24(6,1)!"),
    ],
)
def test_packets(units: list[bytes], packets: str) -> None:
    assert described(units) == packets


@pytest.mark.parametrize(
    ("headers", "stap_a"),
    [((0x67, 0x68), 0x78), ((0x06, 0x27), 0x38), ((0x06, 0x86), 0x98), ((0x41, 0xE5, 0x01), 0xF8)],
)
def test_stap_a_header_is_the_highest_importance_and_any_forbidden_bit(headers: tuple[int, ...], stap_a: int) -> None:
    data = Packetizer().packetize(rtp.annex_b([bytes([header, 7]) for header in headers]), 0)
    assert data[HEADERS] == stap_a


def test_bytes_of_one_packet() -> None:
    packetizer = Packetizer(ssrc=0x11223344, sequence=0xABCD, payload_type=97, channel=2)
    data = packetizer.packetize(b"\0\0\1\x65\x88\x84", 0xDEADBEEF)
    assert data.hex(" ") == "24 02 00 0f 80 e1 ab cd de ad be ef 11 22 33 44 65 88 84"
    assert (packetizer.sequence, packetizer.packets, packetizer.octets) == (0xABCE, 1, 3)


def test_fragments_are_of_one_size_but_the_last() -> None:
    sizes = [len(packet.payload) for packet in rtp.packets(Packetizer().packetize(b"\0\0\1" + unit(5, 20_000), 0))]
    assert sizes == [1428] * 14 + [2 + (20_000 - 1) % 1426]


def test_numbering_goes_on_over_access_units_and_wraps() -> None:
    packetizer = Packetizer(sequence=65_530)
    access_unit = rtp.annex_b([SPS, PPS, unit(5, 9000)])
    data = b"".join(packetizer.packetize(access_unit, 2**32 - 3000 + 3000 * n & 0xFFFFFFFF) for n in range(3))
    received = rtp.packets(data)
    assert [packet.sequence for packet in received] == [n % 65_536 for n in range(65_530, 65_530 + 24)]
    assert [unit.timestamp for unit in rtp.depacketize(received)] == [2**32 - 3000, 0, 3000]
    assert packetizer.packets == 24
    assert packetizer.octets == sum(len(packet.payload) for packet in received)


@pytest.mark.parametrize(
    ("units", "key_frame", "parameter_sets"),
    [
        ([SPS, PPS, unit(5, 4000)], True, True),
        ([unit(5, 4000)], True, False),
        ([SPS, PPS, unit(1, 4000)], False, True),
        ([SPS, unit(1, 40)], False, False),
        ([PPS, unit(1, 40)], False, False),
        ([unit(1, 4000), unit(1, 40), unit(1, 4000), unit(5, 40)], True, False),
        ([unit(1, 40), unit(5, 40)], True, False),
    ],
)
def test_measure_says_what_is_inside(units: list[bytes], key_frame: bool, parameter_sets: bool) -> None:
    access_unit = rtp.annex_b(units)
    access = Packetizer().measure(access_unit)
    data = Packetizer().packetize(access_unit, 0)
    assert access == (len(data), len(rtp.packets(data)), key_frame, parameter_sets)


@pytest.mark.parametrize(
    "access_unit",
    [
        b"",
        b"\0\0\1",
        b"\0\0\0\x05\x65\x88\x84\0\1",
        b"\0\0\1\x09\x10",
        rtp.annex_b([unit(9, 2), unit(12, 90), X264_SEI]),
    ],
)
def test_nothing_to_send_is_refused_and_numbers_nothing(access_unit: bytes) -> None:
    packetizer = Packetizer(sequence=5)
    with pytest.raises(ValueError, match=NOT_AN_ACCESS_UNIT):
        Packetizer().measure(access_unit)
    with pytest.raises(ValueError, match=NOT_AN_ACCESS_UNIT):
        packetizer.packetize(access_unit, 0, capacity=100)
    assert (packetizer.sequence, packetizer.packets, packetizer.octets) == (5, 0, 0)


def test_more_packets_than_half_the_sequence_numbers() -> None:
    assert Packetizer().measure(b"\0\0\1" + unit(5, 1 + 1426 * 32_768)).packets == 32_768
    with pytest.raises(ValueError, match=NOT_AN_ACCESS_UNIT):
        Packetizer().measure(b"\0\0\1" + unit(5, 1 + 1426 * 32_768 + 1))


def test_every_capacity_that_is_too_small() -> None:
    access_unit = rtp.annex_b([SPS, PPS, unit(5, 1500), unit(1, 5)])
    packetizer = Packetizer(sequence=9)
    whole = packetizer.packetize(access_unit, 1)
    for capacity in range(len(whole)):
        with pytest.raises(BufferError):
            packetizer.packetize(access_unit, 1, capacity=capacity)
    assert packetizer.packets == len(rtp.packets(whole))
    assert packetizer.packetize(access_unit, 1, capacity=len(whole) + 9)[4 + 4 :] != b""


def test_settings_cut_inside_their_uuid_are_not_recognized_by_what_lies_behind() -> None:
    whole = rtp.annex_b([X264_SEI])
    for end in range(len(rtp.START_CODE) + 2, whole.index(rtp.X264_UUID) + 16):
        assert Packetizer().measure(memoryview(whole)[:end]).packets == 1
    with pytest.raises(ValueError, match=NOT_AN_ACCESS_UNIT):
        Packetizer().measure(memoryview(whole)[: whole.index(rtp.X264_UUID) + 16])


@pytest.fixture(scope="module")
def x264_access_units() -> list[bytes]:
    """Forty access units of noise: sizes from one packet to many, several slices, parameter sets before each IDR."""
    options = {"tune": "zerolatency", "preset": "ultrafast", "g": "10", "slices": "3", "aud": "1"}
    return encode_noise("libx264", options)


def test_x264_output_comes_back(x264_access_units: list[bytes]) -> None:
    packetizer = Packetizer(sequence=65_000)
    data = b"".join(packetizer.packetize(access, 3000 * n) for n, access in enumerate(x264_access_units))
    back = rtp.depacketize(rtp.packets(data))
    assert [unit.timestamp for unit in back] == [3000 * n for n in range(40)]
    sent = [[unit for unit in rtp.nal_units(access) if rtp.is_sent(unit)] for access in x264_access_units]
    assert [unit.units for unit in back] == sent
    kinds = {unit[0] & 31 for access in x264_access_units for unit in rtp.nal_units(access)}
    assert kinds == {1, 5, 6, 7, 8, 9}
    assert rtp.X264_UUID in b"".join(x264_access_units)
    assert rtp.X264_UUID not in data
    measured = [Packetizer().measure(access) for access in x264_access_units]
    assert [n for n, access in enumerate(measured) if access.key_frame and access.parameter_sets] == [0, 10, 20, 30]
