"""The whole description, and what it does with values that would break it."""

from typing import Any

import pytest
from camfleet.core.sdp import describe
from camfleet.core.sdp.fmtp import h264_fmtp

SPS = bytes.fromhex("6742c01fd9005005bb0110000003001000000303c8f1832480")  # x264, 1280x720, level 3.1
PPS = bytes.fromhex("68cb83cb20")
STREAM: dict[str, Any] = {
    "origin_id": 42,
    "version": 7,
    "name": "Lobby",
    "sps": SPS,
    "pps": PPS,
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
