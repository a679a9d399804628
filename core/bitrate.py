"""Bits per second as people write them, in the configuration and in URLs."""

import re
from typing import Any, Self

_BITRATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([kM]?)")
_UNITS = {"": 1, "k": 1_000, "M": 1_000_000}


class Bitrate(int):
    """Bits per second, written 2000000, "2000k" or "2M"; the prefixes are decimal, as in FFmpeg's -b:v."""

    MIN = 16_000
    MAX = 100_000_000

    @classmethod
    def parse(cls, raw: Any) -> Self:
        """Raises ValueError for anything but a bitrate within the limits."""
        if not isinstance(raw, int | str):
            raise ValueError("not a bitrate")
        match = _BITRATE.fullmatch(raw) if isinstance(raw, str) else None
        if isinstance(raw, str) and match is None:
            raise ValueError("not a bitrate")
        # A float is exact here: at most twelve digits.
        bits = round(float(match[1]) * _UNITS[match[2]]) if match else int(raw)
        if not cls.MIN <= bits <= cls.MAX:
            raise ValueError("out of range")
        return cls(bits)

    def __str__(self) -> str:
        for unit, factor in (("M", 1_000_000), ("k", 1_000)):
            if self % factor == 0:
                return f"{int(self) // factor}{unit}"
        return str(int(self))
