"""The whole description, and what it does with values that would break it."""

from typing import Any

import pytest
from camfleet.core.sdp import describe
from camfleet.core.sdp.fmtp import fmtp, h264_fmtp, h265_fmtp

from tests.kit.access_units import H265_PPS, H265_SPS, H265_VPS

SPS = bytes.fromhex("6742c01fd9005005bb0110000003001000000303c8f1832480")  # x264, 1280x720, level 3.1
PPS = bytes.fromhex("68cb83cb20")
STREAM: dict[str, Any] = {
    "origin_id": 42,
    "version": 7,
    "name": "Lobby",
    "codec": "h264",
    "parameter_sets": (SPS, PPS),
    "payload_type": 96,
    "fps": 29.97,
    "width": 1280,
    "height": 720,
    "bitrate_bps": 2_000_001,
}


def test_live() -> None:
    assert describe(**STREAM).split("\r\n") == [
        "v=0",
        "o=- 42 7 IN IP4 0.0.0.0",
        "s=Lobby",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
        "m=video 0 RTP/AVP 96",
        "b=AS:2001",
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 packetization-mode=1;profile-level-id=42C01F;"
        "sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPI8YMkgA==,aMuDyyA=",
        "a=framerate:29.97",
        "a=x-dimensions:1280,720",
        "a=control:trackID=0",
        "",
    ]


def test_what_is_not_known_is_left_out() -> None:
    text = describe(**(STREAM | {"fps": 0, "width": 0, "height": 0, "bitrate_bps": 0}))
    assert not any(word in text for word in ("framerate", "x-dimensions", "b=AS"))


@pytest.mark.parametrize(
    ("name", "line"),
    [("", " "), ("a\r\na=evil", "a  a=evil"), ("\x00\x1b\x85\u2028", "    "), ("J\xe4ger", "J\xe4ger")],
)
def test_names(name: str, line: str) -> None:
    text = describe(**(STREAM | {"name": name}))
    assert text.split("\r\n")[2] == f"s={line}"
    assert len(text.splitlines()) == 14


@pytest.mark.parametrize(
    ("sps", "pps"),
    [
        (b"", PPS),
        (SPS, b""),
        (PPS, SPS),
        (b"\x00\x00\x00\x01" + SPS, PPS),
        (SPS[:3], PPS),
        (b"\xe7" + SPS[1:], PPS),  # forbidden_zero_bit
    ],
)
def test_parameter_sets_that_are_none(sps: bytes, pps: bytes) -> None:
    with pytest.raises(ValueError, match=r"SPS|PPS"):
        h264_fmtp(sps, pps)


@pytest.mark.parametrize(("nal_ref_idc", "profile"), [(1, "42C01F"), (2, "42C01F"), (3, "42C01F")])
def test_any_nal_ref_idc(nal_ref_idc: int, profile: str) -> None:
    sps = bytes([nal_ref_idc << 5 | 7]) + SPS[1:]
    assert f"profile-level-id={profile};" in h264_fmtp(sps, bytes([nal_ref_idc << 5 | 8]) + PPS[1:])


def test_h265() -> None:
    """x265 at 160x96: Main profile, main tier, level 1, progressive and frames only (H.265 7.3.3)."""
    lines = describe(**(STREAM | {"codec": "h265", "parameter_sets": (H265_VPS, H265_SPS, H265_PPS)})).split("\r\n")
    assert lines[9:11] == [
        "a=rtpmap:96 H265/90000",
        "a=fmtp:96 profile-id=1;tier-flag=0;level-id=30;interop-constraints=900000000000;"
        "sprop-vps=QAEMAf//AWAAAAMAkAAAAwAAAwAelZQJ;"
        "sprop-sps=QgEBAWAAAAMAkAAAAwAAAwAeoBQgYWWVlSkwuaAgAAADACAAAAMDwQ==;sprop-pps=RAHAc8CJ",
    ]


@pytest.mark.parametrize(
    ("profile", "level", "fields"),
    [
        (b"\x01", 93, "profile-id=1;tier-flag=0;level-id=93;"),
        (b"\x22", 153, "profile-id=2;tier-flag=1;level-id=153;"),  # Main 10, high tier
        (b"\xc4", 0, "profile-space=3;profile-id=4;tier-flag=0;level-id=0;"),
    ],
)
def test_profile_tier_and_level_of_h265(profile: bytes, level: int, fields: str) -> None:
    """Without zeros, so that no emulation prevention stands between the bytes."""
    sps = b"\x42\x01\x01" + profile + b"\x60\x11\x11\x11" + b"\x91\x22\x33\x44\x55\x66" + bytes([level, 0x80])
    text = h265_fmtp(H265_VPS, sps, H265_PPS)
    assert text.startswith(fields + "interop-constraints=912233445566;")


@pytest.mark.parametrize(
    ("vps", "sps", "pps"),
    [
        (b"", H265_SPS, H265_PPS),
        (H265_VPS, b"\x42", H265_PPS),
        (H265_SPS, H265_VPS, H265_PPS),
        (H265_VPS, H265_SPS[:16], H265_PPS),  # 14 bytes without emulation prevention
        (H265_VPS, b"\xc2" + H265_SPS[1:], H265_PPS),  # forbidden_zero_bit
        (H265_VPS, SPS, H265_PPS),
    ],
)
def test_parameter_sets_of_h265_that_are_none(vps: bytes, sps: bytes, pps: bytes) -> None:
    with pytest.raises(ValueError, match=r"VPS|SPS|PPS"):
        h265_fmtp(vps, sps, pps)


def test_the_first_set_of_each_kind_is_taken() -> None:
    h264 = (SPS, SPS + b"2", PPS, PPS + b"2")
    assert fmtp("h264", h264) == h264_fmtp(SPS, PPS)
    h265 = (H265_VPS, H265_SPS, H265_SPS + b"2", H265_PPS, H265_PPS + b"2")
    assert fmtp("h265", h265) == h265_fmtp(H265_VPS, H265_SPS, H265_PPS)
    with pytest.raises(ValueError, match="VPS"):
        fmtp("h265", h264)
    with pytest.raises(ValueError, match="vp9"):
        fmtp("vp9", h264)
