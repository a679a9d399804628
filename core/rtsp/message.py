"""Messages of RFC 2326 as values."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


class Headers:
    """Fields by name, without regard to case; a name may come several times."""

    __slots__ = ("_values",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

    def get(self, name: str) -> str | None:
        """The first value."""
        values = self._values.get(name.lower())
        return values[0] if values else None

    def get_all(self, name: str) -> list[str]:
        return self._values.get(name.lower(), [])

    def get_list(self, name: str) -> str | None:
        """All values of a field that is a comma list, as one (RFC 2616 4.2)."""
        values = self._values.get(name.lower())
        return ", ".join(values) if values else None

    def fields(self) -> Iterator[tuple[str, str]]:
        """Names are in lower case."""
        return ((name, value) for name, values in self._values.items() for value in values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._values == other._values

    def __repr__(self) -> str:
        return f"Headers({self._values})"


@dataclass(frozen=True, slots=True)
class Request:
    """RFC 2326 6. `url` is printable ASCII, `cseq` has 1-20 digits; header values may hold 8-bit bytes, as Latin-1."""

    method: str
    url: str
    cseq: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """RFC 2326 7. `cseq` None: the request's could not be read. `reason`: more than the standard one says."""

    status: int
    cseq: str | None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InterleavedFrame:
    """RFC 2326 10.12: `$`, channel, two bytes of length, payload."""

    channel: int
    payload: bytes
