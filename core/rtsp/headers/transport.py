"""Transport (RFC 2326 12.39): choose the first alternative that we carry."""

import re
from dataclasses import dataclass

DEFAULT_CHANNELS = (0, 1)  # what every client asks for; frame blocks are framed for them
_INTERLEAVED = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class Transport:
    """RTP/AVP/TCP;unicast. `channels` of RTP and RTCP are consecutive and within 0-255."""

    channels: tuple[int, int] = DEFAULT_CHANNELS

    def __str__(self) -> str:
        return f"RTP/AVP/TCP;unicast;interleaved={self.channels[0]}-{self.channels[1]}"


def choose_transport(value: str) -> Transport | None:
    """The first supported alternative of a comma list; None: answer 461, at once, since VLC and FFmpeg try UDP first.

    `destination`, `source` and ports are ignored: media goes nowhere but to the peer of this connection.
    """
    for alternative in value.split(","):
        specifier, *parameters = (part.strip() for part in alternative.split(";"))
        if specifier.upper() != "RTP/AVP/TCP":
            continue
        channels = DEFAULT_CHANNELS
        for parameter in parameters:
            name, _, text = parameter.partition("=")
            match name.rstrip().lower():
                case "multicast":
                    break
                case "mode" if text.strip(' "').lower() != "play":  # RECORD, or "receive" as some say for it
                    break
                case "interleaved":
                    channels = _channels(text.strip())
        else:
            return Transport(channels)
    return None


def _channels(text: str) -> tuple[int, int]:
    """The client's pair when it is one; else ours, which the answer tells (QuickTime names none)."""
    match = _INTERLEAVED.fullmatch(text)
    if match is None:
        return DEFAULT_CHANNELS
    first = int(match[1])
    second = first + 1 if match[2] is None else int(match[2])
    return (first, second) if second == first + 1 and second <= 255 else DEFAULT_CHANNELS
