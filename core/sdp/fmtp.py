"""a=fmtp from the parameter sets themselves: a description that lies about the SPS is refused by some recorders."""

from base64 import b64encode
from collections.abc import Sequence

H264_SPS, H264_PPS = 7, 8
H265_VPS, H265_SPS, H265_PPS = 32, 33, 34
# H.265 7.3.2.2.1 and 7.3.3, in bytes: NAL unit header 2, what comes before profile_tier_level 1, profile space, tier
# and profile 1, compatibility flags 4, constraint flags 6, level.
H265_PROFILE_AT, H265_CONSTRAINTS_AT, H265_LEVEL_AT = 2 + 1, 2 + 1 + 1 + 4, 2 + 1 + 1 + 4 + 6


def fmtp(codec: str, parameter_sets: Sequence[bytes]) -> str:
    """Of several sets of a kind the first: a file may have more, which are in band. Raises ValueError."""
    if codec == "h264":
        sps, pps = (_first(parameter_sets, kind, 0x1F, 0) for kind in (H264_SPS, H264_PPS))
        return h264_fmtp(sps, pps)
    if codec == "h265":
        vps, sps, pps = (_first(parameter_sets, kind, 0x3F, 1) for kind in (H265_VPS, H265_SPS, H265_PPS))
        return h265_fmtp(vps, sps, pps)
    raise ValueError(f"unknown codec {codec!r}")


def h264_fmtp(sps: bytes, pps: bytes) -> str:
    """RFC 6184 8.1 from one SPS and one PPS, from NAL header to trailing bits. ValueError on anything else."""
    for nal, nal_type, name in ((sps, H264_SPS, "SPS"), (pps, H264_PPS, "PPS")):
        if not nal or nal[0] & 0x9F != nal_type:  # forbidden_zero_bit 0, any nal_ref_idc
            raise ValueError(f"not a NAL unit of type {name}")
    if len(sps) < 4:
        raise ValueError("SPS without profile and level")
    profile_level_id = sps[1:4].hex().upper()  # profile_idc, constraint flags, level_idc
    return (
        f"packetization-mode=1;profile-level-id={profile_level_id};sprop-parameter-sets={_base64(sps)},{_base64(pps)}"
    )


def h265_fmtp(vps: bytes, sps: bytes, pps: bytes) -> str:
    """RFC 7798 7.1 from one set of each kind, from NAL header to trailing bits. ValueError on anything else."""
    for nal, nal_type, name in ((vps, H265_VPS, "VPS"), (sps, H265_SPS, "SPS"), (pps, H265_PPS, "PPS")):
        if len(nal) < 2 or nal[0] >> 1 != nal_type:  # forbidden_zero_bit 0
            raise ValueError(f"not a NAL unit of type {name}")
    bits = sps.replace(b"\x00\x00\x03", b"\x00\x00")  # emulation prevention (7.3.1.1)
    if len(bits) <= H265_LEVEL_AT:
        raise ValueError("SPS without profile and level")
    profile, level = bits[H265_PROFILE_AT], bits[H265_LEVEL_AT]
    constraints = bits[H265_CONSTRAINTS_AT:H265_LEVEL_AT]
    fields = [f"profile-space={profile >> 6}"] if profile >> 6 else []
    fields += [
        f"profile-id={profile & 0x1F}",
        f"tier-flag={profile >> 5 & 1}",
        f"level-id={level}",
        f"interop-constraints={constraints.hex().upper()}",
        f"sprop-vps={_base64(vps)}",
        f"sprop-sps={_base64(sps)}",
        f"sprop-pps={_base64(pps)}",
    ]
    return ";".join(fields)


def _first(units: Sequence[bytes], kind: int, mask: int, shift: int) -> bytes:
    return next((unit for unit in units if unit and unit[0] >> shift & mask == kind), b"")


def _base64(unit: bytes) -> str:
    return b64encode(unit).decode()
