import struct

import pytest
from camfleet.core.rtp import rtcp as ours

from tests.reference import rtcp

US, THEM = 0x11223344, 0x55667788
BLOCK = rtcp.report_block(US, fraction=64, lost=-2, jitter=300)
OTHER = rtcp.report_block(THEM, fraction=1, lost=2, jitter=3)
NOTHING = ours.Report(1, False, 0, 0, 0, False, False)


@pytest.mark.parametrize("size", [*range(9), 63, 64])
def test_sender_report(size: int) -> None:
    name = b"x" * size
    data = ours.sender_report(
        ssrc=US, channel=3, cname=name, ntp=0x0102030405060708, rtp_timestamp=0x90A0B0C0, packets=17, octets=2**32 - 1
    )
    dollar, channel, length = struct.unpack_from("!BBH", data)
    assert (dollar, channel, length) == (0x24, 3, len(data) - 4)
    report, description = rtcp.split(data[4:])
    assert (report.kind, report.count) == (200, 0)
    assert struct.unpack("!IQIII", report.body) == (US, 0x0102030405060708, 0x90A0B0C0, 17, 2**32 - 1)
    assert description.body[:4] == struct.pack("!I", US)
    assert rtcp.canonical_name(description) == name
    for capacity in range(len(data)):
        with pytest.raises(BufferError):
            ours.sender_report(
                ssrc=US, channel=3, cname=name, ntp=0, rtp_timestamp=0, packets=0, octets=0, capacity=capacity
            )


@pytest.mark.parametrize("size", [0, 1, 5, 6, 63, 64])
def test_bye_stands_behind_a_report_and_a_name(size: int) -> None:
    data = ours.bye(ssrc=US, channel=1, cname=b"x" * size)
    assert struct.unpack_from("!BBH", data) == (0x24, 1, len(data) - 4)
    report, description, goodbye = rtcp.split(data[4:])
    assert (report.kind, report.count, report.body) == (201, 0, struct.pack("!I", US))
    assert rtcp.canonical_name(description) == b"x" * size
    assert (goodbye.kind, goodbye.count, goodbye.body) == (203, 1, struct.pack("!I", US))
    for capacity in range(len(data)):
        with pytest.raises(BufferError):
            ours.bye(ssrc=US, channel=1, cname=b"x" * size, capacity=capacity)


@pytest.mark.parametrize("wanted", [False, True])
def test_what_a_receiver_says(wanted: bool) -> None:
    data = ours.receiver_report(
        ssrc=US, cname=b"camera", sender=THEM, fraction_lost=64, cumulative_lost=-2, highest_sequence=0x00012345,
        jitter=300, last_report=0x0A0B0C0D, since_last=65536, key_frame_wanted=wanted,
    )  # fmt: skip
    report, description, *feedback = rtcp.split(data)
    assert (report.kind, report.count) == (201, 1)
    values = struct.unpack("!IIIIIII", report.body)
    assert values == (US, THEM, 64 << 24 | 0xFFFFFE, 0x00012345, 300, 0x0A0B0C0D, 65536)
    assert rtcp.canonical_name(description) == b"camera"
    assert data.endswith(rtcp.picture_loss(THEM, sender=US)) == wanted == bool(feedback)
    assert ours.parse(data, THEM) == ours.Report(2 + wanted, True, 64, -2, 300, wanted, False)


def test_a_name_of_65_octets_is_refused() -> None:
    with pytest.raises(ValueError, match="CNAME"):
        ours.bye(ssrc=US, channel=1, cname=b"x" * 65)


@pytest.mark.parametrize(
    ("compound", "report"),
    [
        (rtcp.receiver_report(), NOTHING),
        (rtcp.receiver_report(BLOCK), ours.Report(1, True, 64, -2, 300, False, False)),
        (rtcp.receiver_report(OTHER, BLOCK, OTHER), ours.Report(1, True, 64, -2, 300, False, False)),
        (rtcp.receiver_report(OTHER), NOTHING),
        (rtcp.receiver_report(BLOCK, padding=8), ours.Report(1, True, 64, -2, 300, False, False)),
        (rtcp.receiver_report(BLOCK) + b"", ours.Report(1, True, 64, -2, 300, False, False)),
        (rtcp.sender_report(BLOCK), ours.Report(1, True, 64, -2, 300, False, False, ours.SenderInfo(99, 1, 2))),
        (
            rtcp.receiver_report(rtcp.report_block(US, fraction=255, lost=0x7FFFFF, jitter=2**32 - 1)),
            ours.Report(1, True, 255, 0x7FFFFF, 2**32 - 1, False, False),
        ),
        # profile-specific extensions may follow the blocks (RFC 3550 6.4.3)
        (rtcp.packet(201, 1, struct.pack("!I", 9) + BLOCK + bytes(8)), ours.Report(1, True, 64, -2, 300, False, False)),
        (rtcp.receiver_report() + rtcp.picture_loss(US), NOTHING._replace(packets=2, key_frame_wanted=True)),
        (rtcp.receiver_report() + rtcp.picture_loss(THEM), NOTHING._replace(packets=2)),
        # reduced size: feedback alone (RFC 5506)
        (rtcp.picture_loss(US), NOTHING._replace(key_frame_wanted=True)),
        (rtcp.full_intra_request(US), NOTHING._replace(key_frame_wanted=True)),
        (rtcp.full_intra_request(THEM, US), NOTHING._replace(key_frame_wanted=True)),
        (rtcp.full_intra_request(THEM), NOTHING),
        (rtcp.full_intra_request(), NOTHING),
        (rtcp.packet(206, 3, struct.pack("!II", 9, US)), NOTHING),
        (rtcp.goodbye(THEM), NOTHING._replace(bye=True, bye_ssrc=THEM)),
        (rtcp.goodbye(US, THEM), NOTHING._replace(bye=True, bye_ssrc=THEM)),
        (rtcp.goodbye(US), NOTHING),
        (rtcp.goodbye(), NOTHING),
        (rtcp.packet(203, 1, struct.pack("!I", THEM) + b"\x03bye"), NOTHING._replace(bye=True, bye_ssrc=THEM)),
        (rtcp.packet(204, 0, bytes(65_532)), NOTHING),
        (rtcp.packet(192, 0), NOTHING),
        (rtcp.receiver_report(BLOCK) * 50, ours.Report(50, True, 64, -2, 300, False, False)),
        (
            rtcp.receiver_report(BLOCK) + rtcp.packet(202, 0) + rtcp.picture_loss(US) + rtcp.goodbye(THEM),
            ours.Report(4, True, 64, -2, 300, True, True, None, THEM),
        ),
    ],
)
def test_parse(compound: bytes, report: ours.Report) -> None:
    assert ours.parse(compound, US) == report


@pytest.mark.parametrize(
    "compound",
    [
        b"",
        b"\x80",
        b"\x80\xc9\0",
        rtcp.packet(201, 0, struct.pack("!I", 9), version=0),
        rtcp.packet(201, 0, struct.pack("!I", 9), version=1),
        rtcp.packet(201, 0, struct.pack("!I", 9), version=3),
        rtcp.receiver_report(BLOCK)[:-1],
        rtcp.receiver_report(BLOCK) + b"\0",
        b"\x80\xc9\xff\xff" + bytes(8),  # length field too big
        rtcp.packet(201, 1, struct.pack("!I", 9)),  # a block is announced that is not there
        rtcp.packet(201, 31, struct.pack("!I", 9) + BLOCK),
        rtcp.packet(201, 0),
        rtcp.packet(200, 0, bytes(20)),
        rtcp.packet(206, 1, struct.pack("!I", 9)),
        rtcp.packet(206, 4, struct.pack("!III", 9, 0, US)),  # half an entry
        rtcp.packet(203, 2, struct.pack("!I", THEM)),
        b"\xa0\xc9\0\1" + b"\0\0\0\x0c",  # padding > packet
        b"\xa0\xc9\0\1" + b"\0\0\0\0",
        b"\xa0\xc9\0\2" + b"\0\0\0\x09\0\0\0\3",
        b"\xa0\xc9\0\0",  # padded and empty
        b"\xa0\xc9\0\1" + b"\0\0\0\4",  # padding takes the sender's SSRC away
        rtcp.receiver_report(padding=4) + rtcp.receiver_report(),  # only the last may be padded
        rtcp.receiver_report(BLOCK) + rtcp.picture_loss(US) + b"\x00\xc9\0\0",
    ],
)
def test_malformed(compound: bytes) -> None:
    with pytest.raises(ValueError, match="malformed"):
        ours.parse(compound, US)
