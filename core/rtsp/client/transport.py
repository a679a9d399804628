"""Transport (RFC 2326 12.39) as a client asks for it, and what the server makes of it."""

import re
from dataclasses import dataclass

from .errors import ServerError

CHANNELS = (0, 1)
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class UDPPorts:
    """RTP and RTCP."""

    rtp: int
    rtcp: int


def wanted(ports: UDPPorts | None) -> str:
    """`ports`: ours; None: interleaved in the connection."""
    if ports is None:
        return f"Transport: RTP/AVP/TCP;unicast;interleaved={CHANNELS[0]}-{CHANNELS[1]}"
    return f"Transport: RTP/AVP;unicast;client_port={ports.rtp}-{ports.rtcp}"


def channels(answer: str) -> tuple[int, int]:
    """The server's choice of channels; ours when it names none. Raises ServerError when it is not interleaved."""
    parameters = _parameters(answer, "RTP/AVP/TCP")
    match = _RANGE.fullmatch(parameters.get("interleaved", ""))
    if match is None:
        return CHANNELS
    first = int(match[1])
    second = int(match[2] or first + 1)
    if first == second or max(first, second) > 255:
        raise ServerError("names channels that there are not")
    return first, second


def server_ports(answer: str) -> UDPPorts | None:
    """Where the server sends from; None: it does not say. Its `destination` and `source` are nobody's business.

    Raises ServerError when it is not UDP.
    """
    parameters = _parameters(answer, "RTP/AVP", "RTP/AVP/UDP")
    match = _RANGE.fullmatch(parameters.get("server_port", ""))
    if match is None:
        return None
    first = int(match[1])
    second = int(match[2] or first + 1)
    if not 0 < first <= 65535 or not 0 < second <= 65535:
        raise ServerError("names ports that there are not")
    return UDPPorts(first, second)


def _parameters(answer: str, *specifiers: str) -> dict[str, str]:
    specifier, *rest = (part.strip() for part in answer.partition(",")[0].split(";"))
    if specifier.upper() not in specifiers or any(part.lower() == "multicast" for part in rest):
        raise ServerError("answers with a transport that was not asked for; try the other `transport`")
    return {name.strip().lower(): text.strip() for name, _, text in (part.partition("=") for part in rest)}
