"""Value types of the configuration file that are written otherwise than they are kept."""

import ipaddress
import re
from typing import Any, Self

from camfleet.core.bitrate import Bitrate

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_REGION = re.compile(r"([0-9]{1,5})x([0-9]{1,5})(?:\+([0-9]{1,5})\+([0-9]{1,5}))?")


class Addresses(tuple[str, ...]):
    """IP addresses to listen on, written as one string or a list of them."""

    __slots__ = ()

    @classmethod
    def parse(cls, raw: Any) -> Self:
        """Raises ValueError for an empty list, a repetition, or anything that is not an IPv4 or IPv6 address."""
        texts = [raw] if isinstance(raw, str) else raw
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("not a list of addresses")
        found = [str(ipaddress.ip_address(text)) for text in texts]
        if len(set(found)) < len(found):
            raise ValueError("an address twice")
        return cls(found)


class Address(str):
    """One IP address of the host."""

    __slots__ = ()

    @classmethod
    def parse(cls, raw: Any) -> Self:
        """Raises ValueError for anything but an address as RFC 5952 writes it, so that equal ones are equal texts."""
        address = ipaddress.ip_address(raw if isinstance(raw, str) else "")
        if str(address) != raw or address.is_unspecified:
            raise ValueError("not one address in its shortest form")
        return cls(raw)


class Region(tuple[int, int, int, int]):
    """Part of a screen: width, height, x, y. Written as X11 does, "1280x720+100+50", or "1280x720" for its corner."""

    __slots__ = ()

    @classmethod
    def parse(cls, raw: Any) -> Self:
        """Raises ValueError for anything but a region whose sides have two pixels or more."""
        match = _REGION.fullmatch(raw) if isinstance(raw, str) else None
        if match is None:
            raise ValueError("not a region")
        numbers = [int(number or 0) for number in match.groups()]
        if min(numbers[:2]) < 2 or max(numbers) >= 2**15:
            raise ValueError("out of range")
        return cls(numbers)


class Size(tuple[int, int]):
    """Width and height in pixels, written "1280x720"."""

    __slots__ = ()

    @classmethod
    def parse(cls, raw: Any) -> Self:
        """Raises ValueError for anything but a size whose sides have two pixels or more."""
        match = _SIZE.fullmatch(raw) if isinstance(raw, str) else None
        if match is None:
            raise ValueError("not a size")
        width, height = int(match[1]), int(match[2])
        if min(width, height) < 2 or max(width, height) >= 2**15:
            raise ValueError("out of range")
        return cls((width, height))


def decode(kind: type, raw: Any) -> Any:
    """msgspec's hook for types that it does not know."""
    if kind in (Address, Addresses, Bitrate, Region, Size):
        return kind.parse(raw)
    raise NotImplementedError(kind)
