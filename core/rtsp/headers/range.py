"""Range (RFC 2326 12.29) in its three units: npt (3.6), clock (3.7), smpte (3.5)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_NPT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?)|([0-9]{1,9}):([0-5]?[0-9]):([0-5]?[0-9](?:\.[0-9]{0,9})?)")
_SMPTE = re.compile(r"([0-9]{1,2}):([0-5]?[0-9]):([0-5]?[0-9])(?::[0-9]{1,2}(?:\.[0-9]{1,2})?)?")
_CLOCK = re.compile(r"([0-9]{8}T[0-9]{6})(\.[0-9]{0,9})?Z")


@dataclass(frozen=True, slots=True)
class Range:
    """Seconds; of media time ("npt", "smpte") or since 1970 ("clock"). `start` None: now; `end` None: open."""

    unit: str
    start: float | None
    end: float | None


def parse_range(value: str) -> Range | None:
    """None when the value is not a range: answer 457."""
    unit, separator, text = value.partition(";")[0].strip().partition("=")
    parse = _UNITS.get(unit.rstrip().lower())
    first, dash, last = text.strip().partition("-")
    if parse is None or not separator or not dash:
        return None
    try:
        start = parse(first) if first else None
        end = parse(last) if last else None
    except ValueError:
        return None
    if not first and (not last or parse is not _npt):  # only npt has the form "-20"
        return None
    if start is not None and end is not None and end < start:
        return None
    return Range(unit.rstrip().lower().partition("-")[0], start, end)


def _npt(text: str) -> float | None:
    if text == "now":
        return None
    match = _NPT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    if match[1]:
        return float(match[1])
    return int(match[2]) * 3600 + int(match[3]) * 60 + float(match[4])


def _clock(text: str) -> float:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(text)
    seconds = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
    return seconds + float("0" + (match[2] or ""))


def _smpte(text: str) -> float:
    match = _SMPTE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])


_UNITS = {"npt": _npt, "clock": _clock, "smpte": _smpte, "smpte-30-drop": _smpte, "smpte-25": _smpte}
