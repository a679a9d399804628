"""The session description (RFC 8866, RFC 2326 Appendix C) of one video stream."""

from collections.abc import Sequence

from .fmtp import fmtp

CONTROL = "trackID=0"  # relative, and with the number that Grandstream's GXV3500 needs


def describe(
    *,
    origin_id: int,
    version: int,
    name: str,
    codec: str,
    parameter_sets: Sequence[bytes],
    payload_type: int,
    fps: float,
    width: int,
    height: int,
    bitrate_bps: int,
) -> str:
    """`version` must rise when anything here changes (RFC 8866 5.2). Raises ValueError.

    A field that is not known is 0 and left out. Control characters in `name` become spaces.
    """
    lines = [
        "v=0",
        f"o=- {origin_id} {version} IN IP4 0.0.0.0",
        f"s={_text(name)}",
        "c=IN IP4 0.0.0.0",  # Darwin-era clients fail without it
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",  # live; a file in an endless loop as well
        f"m=video 0 RTP/AVP {payload_type}",
    ]
    if bitrate_bps:
        lines.append(f"b=AS:{-(-bitrate_bps // 1000)}")  # kilobits, rounded up
    lines += [
        f"a=rtpmap:{payload_type} {codec.upper()}/90000",
        f"a=fmtp:{payload_type} {fmtp(codec, parameter_sets)}",
    ]
    if fps:
        lines.append(f"a=framerate:{fps:g}")
    if width and height:
        lines.append(f"a=x-dimensions:{width},{height}")
    lines.append(f"a=control:{CONTROL}")
    return "\r\n".join(lines) + "\r\n"


def _text(name: str) -> str:
    """RFC 8866 byte-string; never empty (RFC 8866 5.3)."""
    return "".join(c if c.isprintable() else " " for c in name) or " "
