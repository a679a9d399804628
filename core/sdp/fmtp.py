"""a=fmtp from the parameter sets themselves: a description that lies about the SPS is refused by some recorders."""

from base64 import b64encode

NAL_TYPE_SPS, NAL_TYPE_PPS = 7, 8


def h264_fmtp(sps: bytes, pps: bytes) -> str:
    """RFC 6184 8.1 from one SPS and one PPS, from NAL header to trailing bits. ValueError on anything else."""
    for nal, nal_type, name in ((sps, NAL_TYPE_SPS, "SPS"), (pps, NAL_TYPE_PPS, "PPS")):
        if not nal or nal[0] & 0x9F != nal_type:  # forbidden_zero_bit 0, any nal_ref_idc
            raise ValueError(f"not a NAL unit of type {name}")
    if len(sps) < 4:
        raise ValueError("SPS without profile and level")
    profile_level_id = sps[1:4].hex().upper()  # profile_idc, constraint flags, level_idc
    sprop = f"{b64encode(sps).decode()},{b64encode(pps).decode()}"
    return f"packetization-mode=1;profile-level-id={profile_level_id};sprop-parameter-sets={sprop}"
