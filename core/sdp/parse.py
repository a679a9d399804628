"""The video track of a session description (RFC 8866) that somebody else wrote: as much as playing it needs."""

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, replace

CLOCK_RATE = 90_000  # RFC 6184 8.1, RFC 7798 7.1
MAX_MEDIA = 16  # that somebody announces
MAX_PARAMETER_SETS = 16
MAX_PARAMETER_SETS_SIZE = 4096  # of all; those of cameras have 30 to 150 bytes
_CODECS = {"H264": "h264", "H265": "h265", "HEVC": "h265"}  # HEVC: Dahua's older firmware
_MEDIA = re.compile(r"m=video[ \t]+\d+(?:/\d+)?[ \t]+\S+[ \t]+(\d{1,3})(?:[ \t].*)?", re.IGNORECASE)
_RTPMAP = re.compile(r"a=rtpmap:(\d{1,3})[ \t]+([A-Za-z0-9_.-]+)/(\d{1,9})(?:/.*)?", re.IGNORECASE)
_FMTP = re.compile(r"a=fmtp:(\d{1,3})[ \t]+(.*)", re.IGNORECASE)
_CONTROL = re.compile(r"a=control:[ \t]*(\S*)", re.IGNORECASE)  # lines are stripped; blanks twice would be quadratic


class DescriptionError(ValueError):
    """There is nothing in it that can be played; the text says why."""


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """`parameter_sets`: NAL units in the order that a decoder needs; may be empty; what they hold is not checked."""

    codec: str  # "h264" or "h265"
    payload_type: int
    control: str  # as written
    parameter_sets: tuple[bytes, ...]
    place: int = 0  # among all media


def parse_video(description: bytes) -> VideoTrack:
    """The first video track of a codec that we know. Raises DescriptionError."""
    others = []
    for place, section in enumerate(_sections(description)):
        media = _MEDIA.fullmatch(section[0])
        if media is None:
            continue
        found = _read_section(int(media[1]), section[1:])
        if isinstance(found, VideoTrack):
            return replace(found, place=place)
        others.append(found)
    if others:
        raise DescriptionError(f"has no H.264 or H.265 video, but {', '.join(others[:4])}")
    raise DescriptionError("has no video")


def media_controls(description: bytes) -> tuple[str, ...]:
    """The control attribute of each of the media, as written; empty: it has none. Raises DescriptionError."""
    sections = _sections(description)
    if len(sections) > MAX_MEDIA:
        raise DescriptionError(f"has over {MAX_MEDIA} media")
    found = [[control[1] for line in section if (control := _CONTROL.fullmatch(line))] for section in sections]
    return tuple(controls[-1] if controls else "" for controls in found)


def _sections(description: bytes) -> list[list[str]]:
    """The lines of each of the media."""
    lines = description.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    sections: list[list[str]] = []
    for line in lines:
        if line[:2].lower() == "m=":
            sections.append([])
        if sections:
            sections[-1].append(line.strip())
    return sections


def _read_section(payload_type: int, lines: list[str]) -> VideoTrack | str:
    """The track, or the name of its codec."""
    name, rate, control = "", 0, ""
    parameters: dict[str, str] = {}
    for line in lines:
        if (found := _RTPMAP.fullmatch(line)) and int(found[1]) == payload_type:
            name, rate = found[2].upper(), int(found[3])
        elif (found := _FMTP.fullmatch(line)) and int(found[1]) == payload_type:
            pairs = (part.partition("=") for part in found[2].split(";"))
            parameters = {key.strip().lower(): value.strip() for key, _, value in pairs}
        elif found := _CONTROL.fullmatch(line):
            control = found[1]
    codec = _CODECS.get(name, "")
    if not codec:
        return name[:16] or f"payload type {payload_type}"
    if payload_type > 127:
        raise DescriptionError("has a payload type over 127")
    if rate != CLOCK_RATE:
        raise DescriptionError(f"has a clock rate of {rate}, where {name} needs {CLOCK_RATE}")
    if codec == "h264" and parameters.get("packetization-mode") == "2":
        raise DescriptionError("sends interleaved NAL units (packetization-mode 2), which are not read here")
    if codec == "h265" and parameters.get("sprop-max-don-diff", "0") != "0":
        raise DescriptionError("sends NAL units out of order (sprop-max-don-diff), which are not read here")
    return VideoTrack(codec, payload_type, control, _parameter_sets(codec, parameters))


def _parameter_sets(codec: str, parameters: dict[str, str]) -> tuple[bytes, ...]:
    """Those that can be read; a sender with broken ones may have good ones in band."""
    keys = ("sprop-vps", "sprop-sps", "sprop-pps") if codec == "h265" else ("sprop-parameter-sets",)
    texts = [text for key in keys for text in parameters.get(key, "").split(",") if text]
    found = []
    for text in texts[:MAX_PARAMETER_SETS]:
        try:
            unit = b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        unit = unit.removeprefix(b"\x00\x00\x00\x01").rstrip(b"\x00")  # some put the start code with it
        if unit:
            found.append(unit)
    return tuple(found) if sum(map(len, found)) <= MAX_PARAMETER_SETS_SIZE else ()
