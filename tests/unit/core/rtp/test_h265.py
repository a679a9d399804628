import pytest
from camfleet.core.rtp.packetizer import Packetizer

from tests.kit.clips import encode_noise
from tests.reference import h265, rtp

HEADERS = 4 + 12
VPS, SPS, PPS = h265.header(32) + b"\x0c\x01", h265.header(33) + b"\x01\x01\x60", h265.header(34) + b"\xc1\x73"
X265_SEI = h265.header(39) + b"\x05\xff\xff\x99" + h265.X265_UUID + b"x265 (build 215) " * 38 + b"\x80"
USER_SEI = h265.header(39) + b"\x05\x18" + bytes(range(16)) + b"my stamp\x80"
TRAIL, IDR, CRA, BLA, RASL_N = 1, 19, 21, 16, 8


def unit(kind: int, size: int, layer: int = 0, tid: int = 1) -> bytes:
    """A NAL unit of `size` bytes without zeros behind its header, so that no start code can occur in it."""
    return (h265.header(kind, layer, tid) + bytes(range(1, 256)) * (size // 255 + 1))[:size]


def packetizer(**numbering: int) -> Packetizer:
    return Packetizer("h265", **numbering)


def described(units: list[bytes]) -> str:
    """How the packets of an access unit look: a type, 48(...) for an AP, 49:type*fragments, ! for the marker."""
    words: list[str] = []
    for packet in rtp.packets(packetizer().packetize(rtp.annex_b(units), 0)):
        kind, mark = packet.payload[0] >> 1 & 63, "!" if packet.marker else ""
        if kind == 49 and not packet.payload[2] & 0x80:
            name, count = words.pop().split("*")
            words.append(f"{name}*{int(count) + 1}{mark}")
        elif kind == 49:
            words.append(f"49:{packet.payload[2] & 63}*1{mark}")
        elif kind == 48:
            inside, at = [], 2
            while at < len(packet.payload):
                inside.append(str(packet.payload[at + 2] >> 1 & 63))
                at += 2 + int.from_bytes(packet.payload[at : at + 2])
            words.append(f"48({','.join(inside)}){mark}")
        else:
            words.append(f"{kind}{mark}")
    return " ".join(words)


@pytest.mark.parametrize(
    ("units", "packets"),
    [
        ([unit(TRAIL, 100)], "1!"),
        ([unit(TRAIL, 2)], "1!"),
        ([unit(TRAIL, 1428)], "1!"),
        ([unit(TRAIL, 1429)], "49:1*2!"),
        ([unit(TRAIL, 2 + 1425 * 2)], "49:1*2!"),
        ([unit(TRAIL, 2 + 1425 * 2 + 1)], "49:1*3!"),
        ([VPS, SPS, PPS, unit(IDR, 9000)], "48(32,33,34) 49:19*7!"),
        ([VPS, SPS, PPS, unit(IDR, 500)], "48(32,33,34,19)!"),
        ([VPS, SPS, PPS, unit(39, 30), unit(CRA, 9000)], "48(32,33,34,39) 49:21*7!"),
        # 2 + 2 + 711 + 2 + 711 = 1428
        ([unit(TRAIL, 711), unit(TRAIL, 711)], "48(1,1)!"),
        ([unit(TRAIL, 711), unit(TRAIL, 712)], "1 1!"),
        ([unit(TRAIL, 711), unit(TRAIL, 711), unit(TRAIL, 2)], "48(1,1) 1!"),
        # a unit that needs a packet of its own ends the group before it and begins none
        ([unit(39, 20), unit(TRAIL, 1428), unit(TRAIL, 20)], "39 1 1!"),
        ([unit(TRAIL, 3000), unit(TRAIL, 20), unit(40, 20)], "49:1*3 48(1,40)!"),
        # delimiter, filler, unspecified: not sent, and the marker is not left behind; the end of a sequence is
        ([unit(35, 3), VPS, SPS, PPS, unit(IDR, 20), unit(38, 900)], "48(32,33,34,19)!"),
        ([unit(TRAIL, 20), unit(36, 2), unit(37, 2)], "48(1,36,37)!"),
        ([unit(35, 3), unit(TRAIL, 2000), unit(38, 5000)], "49:1*2!"),
        ([unit(48, 9), unit(TRAIL, 20), unit(49, 2000), unit(50, 9), unit(63, 9)], "1!"),
        ([unit(41, 9), unit(47, 9)], "48(41,47)!"),  # reserved: a decoder leaves them out
        # neighbours meet over a unit that is dropped; one byte is no NAL unit of H.265
        ([unit(TRAIL, 20), unit(38, 5000), unit(TRAIL, 20)], "48(1,1)!"),
        ([unit(TRAIL, 20), b"\x02", unit(TRAIL, 20)], "48(1,1)!"),
        ([X265_SEI, VPS, SPS, PPS, unit(IDR, 2000)], "48(32,33,34) 49:19*2!"),
        ([USER_SEI, unit(IDR, 2000)], "39 49:19*2!"),
        # cut inside the UUID: not x265's, and nothing is read behind the unit's end
        ([X265_SEI[:20], unit(TRAIL, 9)], "48(39,1)!"),
        ([X265_SEI[:2], unit(TRAIL, 9)], "48(39,1)!"),
        ([X265_SEI[:3], unit(TRAIL, 9)], "48(39,1)!"),
        ([X265_SEI[:5], unit(TRAIL, 9)], "48(39,1)!"),
    ],
)
def test_packets(units: list[bytes], packets: str) -> None:
    assert described(units) == packets


@pytest.mark.parametrize(
    ("headers", "ap"),
    [
        ((h265.header(32), h265.header(33)), h265.header(48)),
        # the lowest layer and the lowest TID, each by itself
        ((h265.header(1, 5, 3), h265.header(39, 2, 4)), h265.header(48, 2, 3)),
        ((h265.header(1, 31, 7), h265.header(1, 32, 1)), h265.header(48, 31, 1)),
        ((h265.header(1, 63, 2), h265.header(1, 33, 2)), h265.header(48, 33, 2)),
        ((h265.header(1), h265.header(1, forbidden=1), h265.header(1)), h265.header(48, forbidden=1)),
    ],
)
def test_header_of_an_aggregation_packet(headers: tuple[bytes, ...], ap: bytes) -> None:
    data = packetizer().packetize(rtp.annex_b([header + b"\x07" for header in headers]), 0)
    assert data[HEADERS : HEADERS + 2] == ap


def test_fragments_keep_layer_and_tid() -> None:
    packets = rtp.packets(packetizer().packetize(b"\0\0\1" + unit(CRA, 5000, layer=33, tid=5), 0))
    assert {packet.payload[:2] for packet in packets} == {h265.header(49, 33, 5)}
    assert [packet.payload[2] for packet in packets] == [0x80 | CRA, CRA, CRA, 0x40 | CRA]


def test_bytes_of_one_packet() -> None:
    one = packetizer(ssrc=0x11223344, sequence=0xABCD, payload_type=97, channel=2)
    data = one.packetize(b"\0\0\1\x26\x01\xaf\x06", 0xDEADBEEF)
    assert data.hex(" ") == "24 02 00 10 80 e1 ab cd de ad be ef 11 22 33 44 26 01 af 06"
    assert (one.sequence, one.packets, one.octets) == (0xABCE, 1, 4)


def test_bytes_of_an_aggregation_packet() -> None:
    """RFC 7798 figure 7: PayloadHdr, then size and unit, size and unit."""
    data = packetizer(sequence=7).packetize(rtp.annex_b([b"\x40\x01\x0c", b"\x42\x01\x01\x60"]), 3)
    assert data.hex(" ") == "24 00 00 19 80 e0 00 07 00 00 00 03 00 00 00 00 60 01 00 03 40 01 0c 00 04 42 01 01 60"


def test_fragments_are_of_one_size_but_the_last() -> None:
    sizes = [len(packet.payload) for packet in rtp.packets(packetizer().packetize(b"\0\0\1" + unit(IDR, 20_000), 0))]
    assert sizes == [1428] * 14 + [3 + (20_000 - 2) % 1425]


@pytest.mark.parametrize("kind", range(48))
def test_decoding_starts_at_every_kind_of_irap_picture_and_at_no_other(kind: int) -> None:
    access = packetizer().measure(rtp.annex_b([unit(TRAIL, 40), unit(kind, 40)]))
    assert access.key_frame == (kind in (16, 17, 18, 19, 20, 21))


@pytest.mark.parametrize(
    ("units", "key_frame", "parameter_sets"),
    [
        ([VPS, SPS, PPS, unit(IDR, 4000)], True, True),
        ([SPS, PPS, unit(IDR, 4000)], True, False),
        ([VPS, PPS, unit(20, 40)], True, False),
        ([VPS, SPS, unit(BLA, 40)], True, False),
        ([VPS, SPS, PPS, unit(RASL_N, 4000)], False, True),
        ([unit(TRAIL, 40), unit(CRA, 40)], True, False),
    ],
)
def test_measure_says_what_is_inside(units: list[bytes], key_frame: bool, parameter_sets: bool) -> None:
    access_unit = rtp.annex_b(units)
    data = packetizer().packetize(access_unit, 0)
    expected = (len(data), len(rtp.packets(data)), key_frame, parameter_sets)
    assert packetizer().measure(access_unit) == expected


@pytest.mark.parametrize(
    "access_unit",
    [b"", b"\0\0\1", b"\0\0\0\5\x26\1\xaf", rtp.annex_b([b"\x26"]), rtp.annex_b([unit(35, 3), unit(38, 90), X265_SEI])],
)
def test_nothing_to_send_is_refused_and_numbers_nothing(access_unit: bytes) -> None:
    one = packetizer(sequence=5)
    with pytest.raises(ValueError, match="not an h265 access unit"):
        one.measure(access_unit)
    with pytest.raises(ValueError, match="not an h265 access unit"):
        one.packetize(access_unit, 0, capacity=100)
    assert (one.sequence, one.packets, one.octets) == (5, 0, 0)


def test_every_capacity_that_is_too_small() -> None:
    access_unit = rtp.annex_b([VPS, SPS, PPS, unit(IDR, 1500), unit(TRAIL, 5)])
    one = packetizer(sequence=9)
    whole = one.packetize(access_unit, 1)
    for capacity in range(len(whole)):
        with pytest.raises(BufferError):
            one.packetize(access_unit, 1, capacity=capacity)
    assert one.packets == len(rtp.packets(whole))


@pytest.mark.parametrize("codec", ["", "hevc", "H265"])
def test_codecs_have_one_name(codec: str) -> None:
    with pytest.raises(ValueError, match="codec"):
        Packetizer(codec)


@pytest.fixture(scope="module")
def x265_access_units() -> list[bytes]:
    """Forty access units of noise: sizes from one packet to many, B pictures, open GOPs."""
    settings = "log-level=none:pools=none:keyint=11:min-keyint=11:scenecut=0:bframes=2:aud=1:repeat-headers=1"
    return encode_noise("libx265", {"preset": "ultrafast", "crf": "20", "x265-params": settings})


def test_x265_output_comes_back(x265_access_units: list[bytes]) -> None:
    one = packetizer(sequence=65_000)
    data = b"".join(one.packetize(access, 3000 * n) for n, access in enumerate(x265_access_units))
    back = h265.depacketize(rtp.packets(data))
    assert [unit.timestamp for unit in back] == [3000 * n for n in range(40)]
    sent = [[unit for unit in rtp.nal_units(access) if h265.is_sent(unit)] for access in x265_access_units]
    assert [unit.units for unit in back] == sent
    kinds = {unit[0] >> 1 & 63 for access in x265_access_units for unit in rtp.nal_units(access)}
    assert {32, 33, 34, 35, 39, CRA, RASL_N} <= kinds
    assert h265.X265_UUID in b"".join(x265_access_units)
    assert h265.X265_UUID not in data
    measured = [one.measure(access) for access in x265_access_units]
    assert sum(access.key_frame and access.parameter_sets for access in measured) == 4
