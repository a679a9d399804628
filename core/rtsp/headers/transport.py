"""Transport (RFC 2326 12.39): choose the first alternative that we carry."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_CHANNELS = (0, 1)  # what every client asks for; frame blocks are framed for them
_RECORDS = ("record", "receive")  # some say the latter
_ALTERNATIVE = re.compile(r'(?:"[^"]*"|[^,])+')  # mode="PLAY,RECORD" is one (RFC 2326 12.39)
_INTERLEAVED = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class Transport:
    """RTP/AVP/TCP;unicast. `channels` of RTP and RTCP are consecutive and within 0-255. `records`: the client sends."""

    channels: tuple[int, int] = DEFAULT_CHANNELS
    records: bool = False

    def __str__(self) -> str:
        mode = ";mode=record" if self.records else ""
        return f"RTP/AVP/TCP;unicast;interleaved={self.channels[0]}-{self.channels[1]}{mode}"


def choose_transport(value: str, *, records: bool = False) -> Transport | None:
    """The first supported alternative of a comma list; None: answer 461, at once, since VLC and FFmpeg try UDP first.

    `records`: after an ANNOUNCE; it says enough, whatever the mode. `destination`, `source` and ports are ignored:
    media goes nowhere but to the peer of this connection, and comes from nowhere else.
    """
    for alternative in _ALTERNATIVE.findall(value):
        specifier, *parameters = (part.strip() for part in alternative.split(";"))
        if specifier.upper() != "RTP/AVP/TCP":
            continue
        channels = DEFAULT_CHANNELS
        for parameter in parameters:
            name, _, text = parameter.partition("=")
            match name.rstrip().lower():
                case "multicast":
                    break
                case "mode" if not records and text.strip(' "').lower() in _RECORDS:
                    break
                case "interleaved":
                    channels = _channels(text.strip())
        else:
            return Transport(channels, records)
    return None


def free_channels(wanted: tuple[int, int], taken: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """The pair itself, or the first one that is nobody's; None: there is none."""
    used = {channel for pair in taken for channel in pair}
    pairs = (wanted, *((first, first + 1) for first in range(0, 256, 2)))
    return next((pair for pair in pairs if used.isdisjoint(pair)), None)


def _channels(text: str) -> tuple[int, int]:
    """The client's pair when it is one; else ours, which the answer tells (QuickTime names none)."""
    match = _INTERLEAVED.fullmatch(text)
    if match is None:
        return DEFAULT_CHANNELS
    first = int(match[1])
    second = first + 1 if match[2] is None else int(match[2])
    return (first, second) if second == first + 1 and second <= 255 else DEFAULT_CHANNELS
