"""core.rtp against the plain Python of tests/reference, for random access units and for random noise."""

import contextlib

from camfleet.core.rtp import annexb
from camfleet.core.rtp import rtcp as ours
from camfleet.core.rtp.depacketizer import Depacketizer
from camfleet.core.rtp.packetizer import Packetizer
from hypothesis import example, given
from hypothesis import strategies as st

from tests.reference import h265, rtcp, rtp

UINT32 = st.integers(0, 2**32 - 1)
# around what decides: nothing, a STAP-A's room, one packet, two and three fragments
SIZES = st.one_of(
    st.integers(1, 40),
    st.integers(700, 720),
    st.integers(1415, 1440),
    st.integers(2845, 2860),
    st.integers(4270, 4290),
    st.integers(1, 6000),
)


@st.composite
def nal_unit(draw: st.DrawFn) -> bytes:
    """Any type and importance; the body comes from a seed and holds no 00 00 00-03 and no zero at its end."""
    size, header = draw(SIZES), draw(st.integers(1, 255))
    body = draw(st.randoms(use_true_random=False)).randbytes(size - 1)
    for start in (b"\0\0\0", b"\0\0\1", b"\0\0\2", b"\0\0\3"):
        body = body.replace(start, b"\0\x80\0")
    return bytes([header]) + (body[:-1] + b"\x80" if body else b"")


CODECS = st.sampled_from(["h264", "h265"])
START_CODE = b"\0\0\0\1"
START_CODES = st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\0\1"])


@st.composite
def access_units(draw: st.DrawFn, codec: str) -> bytes:
    units = draw(st.lists(nal_unit(), min_size=1, max_size=12))
    to_send = {"h264": [b"\x65\x88", b"\x41\x9a"], "h265": [b"\x26\x01\xaf", b"\x02\x01\xd0"]}[codec]
    units.insert(draw(st.integers(0, len(units))), draw(st.sampled_from(to_send)))
    return b"".join(draw(START_CODES) + unit for unit in units) + bytes(draw(st.integers(0, 3)))


@given(st.data(), CODECS, UINT32, UINT32, st.integers(0, 65_535), st.integers(0, 127), st.integers(0, 254))
def test_the_same_bytes_as_the_reference(
    data: st.DataObject, codec: str, ssrc: int, timestamp: int, sequence: int, payload_type: int, channel: int
) -> None:
    access_unit = data.draw(access_units(codec))
    ours = Packetizer(codec, ssrc=ssrc, sequence=sequence, payload_type=payload_type, channel=channel)
    written = ours.packetize(access_unit, timestamp)
    assert written == rtp.packetize(
        access_unit,
        ssrc=ssrc,
        sequence=sequence,
        payload_type=payload_type,
        channel=channel,
        timestamp=timestamp,
        payloads={"h264": rtp.payloads, "h265": h265.payloads}[codec],
    )
    assert ours.measure(access_unit).size == len(written)
    assert ours.measure(access_unit).packets == ours.packets == len(rtp.packets(written))


@given(st.data(), CODECS, st.integers(1, 4), st.integers(65_500, 65_540), st.integers(2**32 - 9000, 2**32))
def test_depacketized_units_are_what_was_sent(
    data: st.DataObject, codec: str, count: int, sequence: int, timestamp: int
) -> None:
    access = [data.draw(access_units(codec)) for _ in range(count)]
    reference = {"h264": rtp, "h265": h265}[codec]
    packetizer = Packetizer(codec, sequence=sequence % 65_536)
    sent = b"".join(packetizer.packetize(one, (timestamp + 3000 * n) % 2**32) for n, one in enumerate(access))
    back = reference.depacketize(rtp.packets(sent))
    assert [unit.units for unit in back] == [[u for u in rtp.nal_units(one) if reference.is_sent(u)] for one in access]
    assert [unit.timestamp for unit in back] == [(timestamp + 3000 * n) % 2**32 for n in range(len(access))]


@given(
    st.lists(st.sampled_from([b"\0", b"\1", b"\0\0\1", b"\3", b"\x65", b"\x09", b"\x06\5"]), max_size=40).map(b"".join)
)
@example(b"\0\0\1")
def test_nal_units_of_start_code_soup(data: bytes) -> None:
    expected: list[bytes] | None
    try:
        expected = rtp.nal_units(data) if b"\0\0\1" in data else None
    except AssertionError:
        expected = None
    try:
        found: list[bytes] | None = annexb.nal_units(data)
    except ValueError:
        found = None
    assert found == expected


@given(st.binary(max_size=64), UINT32)
def test_rtcp_noise_is_parsed_or_refused(data: bytes, ssrc: int) -> None:
    try:
        report = ours.parse(data, ssrc)
    except ValueError:
        return
    assert report.packets == len(rtcp.split(data))


BLOCKS = st.lists(st.tuples(UINT32, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), UINT32), max_size=31)


@given(BLOCKS, st.data())
def test_cuts_and_flips_of_a_report_are_survived(blocks: list[tuple[int, int, int, int]], data: st.DataObject) -> None:
    compound = bytearray(
        rtcp.receiver_report(*(rtcp.report_block(s, fraction=f, lost=n, jitter=j) for s, f, n, j in blocks))
        + rtcp.picture_loss(5)
    )
    ssrc = data.draw(st.sampled_from([s for s, *_ in blocks] or [1]))
    about = [block for block in blocks if block[0] == ssrc]
    expected = (True, *about[-1][1:]) if about else (False, 0, 0, 0)
    assert ours.parse(compound, ssrc)[1:5] == expected
    at = data.draw(st.integers(0, len(compound) - 1))
    compound[at] ^= data.draw(st.integers(1, 255))
    cut = bytes(compound[: data.draw(st.integers(0, len(compound)))])
    with contextlib.suppress(ValueError):
        ours.parse(cut, ssrc)


@given(st.data(), CODECS, st.integers(1, 4), st.integers(0, 65_535), UINT32, st.integers(1, 3000))
def test_our_depacketizer_gives_back_what_was_sent_however_it_is_cut(
    data: st.DataObject, codec: str, count: int, sequence: int, timestamp: int, step: int
) -> None:
    """Of units that hold a picture and begin with its first slice; the first one is a key frame."""
    reference = {"h264": rtp, "h265": h265}[codec]
    key, other = {"h264": (b"\x65\x88", b"\x41\x9a"), "h265": (b"\x26\x01\xaf", b"\x02\x01\xd0")}[codec]
    access = [START_CODE + key, *(data.draw(access_units(codec)) for _ in range(count))]
    access = [START_CODE + (key if n == 0 else other) + one for n, one in enumerate(access)]
    packetizer = Packetizer(codec, sequence=sequence)
    sent = b"".join(packetizer.packetize(one, (timestamp + 3000 * n) % 2**32) for n, one in enumerate(access))
    depacketizer, buffer = Depacketizer(codec, payload_type=96), bytearray()
    for at in range(0, len(sent), step):
        buffer += sent[at : at + step]
        del buffer[: depacketizer.take_frames(buffer, 0, 0, 0)]
    back = depacketizer.take_units()
    if all(not unit[0] & 0x80 for one in access for unit in rtp.nal_units(one) if reference.is_sent(unit)):
        wanted = [[u for u in rtp.nal_units(one) if reference.is_sent(u)] for one in access]
        assert [rtp.nal_units(unit.data) for unit in back] == wanted
    assert not buffer


@given(CODECS, st.lists(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda b: b"\x80\x60" + b))))
def test_noise_gives_at_most_annex_b(codec: str, noise: list[bytes]) -> None:
    depacketizer = Depacketizer(codec, payload_type=96)
    for packet in noise:
        depacketizer.take_packet(packet, 0)
    for unit in depacketizer.take_units():
        assert annexb.nal_units(unit.data)
    stream = b"".join(noise)
    assert 0 <= Depacketizer(codec, payload_type=96).take_frames(stream, 0, 0, 0) <= len(stream)
