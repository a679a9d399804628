"""What a URL's query asks of the picture, as other cameras let one ask: `?ve=h265&w=640&h=360&fps=10&vb=500k`.

    ve  codec    w, h  size    fps  frames per second    vb  bits per second, as in the configuration

Names and values without regard to case; of several the last one counts. Any other name is passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from camfleet.core.bitrate import Bitrate

from .errors import PARAMETER_NOT_UNDERSTOOD, RefusalError

# What the configuration lets a stream have (supervisor/config/video.py; a test compares).
SIZES, RATES = range(64, 4097, 2), range(1, 121)
CODECS = {"h264": "h264", "avc": "h264", "h265": "h265", "hevc": "h265"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """Empty or 0: the URL does not say."""

    codec: str = ""
    width: int = 0
    height: int = 0
    fps: int = 0
    bitrate_bps: int = 0

    @classmethod
    def parse(cls, query: str) -> "Parameters":
        """Raises RefusalError when one of ours has a value that it cannot have."""
        found: dict[str, Any] = {}
        for part in query.split("&"):
            name, _, value = unquote(part).partition("=")
            known = _KNOWN.get(name.strip().lower())
            if known is not None:
                field, read, allowed = known
                try:
                    found[field] = read(value.strip())
                except (KeyError, ValueError):
                    raise RefusalError(PARAMETER_NOT_UNDERSTOOD, reason=f"{name.strip().lower()}: {allowed}") from None
        return cls(**found) if found else NO_PARAMETERS

    def __bool__(self) -> bool:
        return self != NO_PARAMETERS

    def __str__(self) -> str:
        """The query that says the same."""
        values = (
            ("ve", self.codec),
            ("w", self.width),
            ("h", self.height),
            ("fps", self.fps),
            ("vb", Bitrate(self.bitrate_bps) if self.bitrate_bps else 0),
        )
        return "&".join(f"{name}={value}" for name, value in values if value)


def _codec(text: str) -> str:
    return CODECS[text.lower()]


def _one_of(allowed: range) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) not in allowed:
            raise ValueError("not a number, or out of range")
        return int(text)

    return read


_size = _one_of(SIZES)
_SIZE = f"an even number from {SIZES[0]} to {SIZES[-1]}"
_KNOWN: dict[str, tuple[str, Callable[[str], object], str]] = {
    "ve": ("codec", _codec, "h264 or h265"),
    "w": ("width", _size, _SIZE),
    "h": ("height", _size, _SIZE),
    "fps": ("fps", _one_of(RATES), f"a whole number from {RATES[0]} to {RATES[-1]}"),
    "vb": (
        "bitrate_bps",
        lambda text: int(Bitrate.parse(text)),
        f"bits per second from {Bitrate(Bitrate.MIN)} to {Bitrate(Bitrate.MAX)}, as in 500k",
    ),
}
NO_PARAMETERS = Parameters()
