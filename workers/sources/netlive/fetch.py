"""What HTTP servers send, for FFmpeg to read.

FFmpeg has a client of its own. It verifies the certificate of a play list, but not those of the servers that the list
names (measured with FFmpeg 8.1: `tls_verify` is not handed on), and follows lists and redirects wherever they lead. So
every byte comes through here, and this decides.
"""

import http.client
import io
import ipaddress
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

from camfleet.core.rtsp.client import Account, LoginRefusedError, ServerError
from camfleet.core.rtsp.client.credentials import Credentials

from ...clockmap import NS_PER_S
from ..base import SourceError
from ..rtsplive.link import Link, LinkEndedError, LinkError, TLSOptions, look_up
from ..upstream import Interrupt

TIMEOUT_S = 10.0  # from the connection to the last header, and from one piece of the body to the next
MAX_REDIRECTS = 3
MAX_URL_SIZE = 4096
READ_SIZE = 64 * 1024
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
USER_AGENT = "camfleet"


@dataclass(frozen=True, slots=True)
class Address:
    """Of a resource; `text` has no user in it."""

    text: str
    tls: bool
    host: str
    port: int
    target: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises SourceError for all but http and https."""
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (ValueError, KeyError):
            raise SourceError("a resource is neither http:// nor https://; that is not followed") from None
        if not parts.hostname or len(url) > MAX_URL_SIZE or not url.isascii() or not url.isprintable() or " " in url:
            raise SourceError("a resource has an address that is none")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(url, parts.scheme == "https", parts.hostname, port, target)

    @property
    def place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class Fetcher:
    """Opens resources for one visit. From the first server it may be led to others, but not out of TLS, and not to a
    private address: what else there is in it is nobody's business."""

    def __init__(self, first: Address, tls: TLSOptions, account: Account | None, interrupt: Interrupt) -> None:
        self.refused = False
        self._first = first
        self._tls = tls
        self._account = account
        self._interrupt = interrupt

    def open(self, url: str) -> "Body":
        """Raises SourceError."""
        address = Address.parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            response, stream = self._ask(address)
            location = response.getheader("Location")
            if response.status not in (301, 302, 303, 307, 308) or location is None:
                break
            response.close()
            address = Address.parse(urljoin(address.text, location))
        else:
            raise SourceError(f"{address.place} redirects more than {MAX_REDIRECTS} times")
        if response.status != 200:
            response.close()
            raise SourceError(f"{address.place} answers with {response.status}; check the `url`")
        return Body(response, stream, address.place, self._interrupt)

    def _ask(self, address: Address) -> tuple[http.client.HTTPResponse, "_Stream"]:
        known = self._account if address.host == self._first.host and address.port == self._first.port else None
        credentials = Credentials(known)
        while True:
            try:
                response, stream = self._answer(address, credentials.header("GET", address.target))
            except (LinkError, http.client.HTTPException) as error:
                raise SourceError(f"{address.place} {_plain_words(error)}") from None
            if response.status != 401:
                return response, stream
            challenges = response.headers.get_all("WWW-Authenticate") or []
            response.close()
            try:
                credentials.accept(challenges)
            except ServerError as error:
                self.refused = isinstance(error, LoginRefusedError)
                raise SourceError(f"{address.place} {error}") from None

    def _answer(self, address: Address, authorization: Iterable[str]) -> tuple[http.client.HTTPResponse, "_Stream"]:
        """To one request, by a connection of its own."""
        if self._first.tls and not address.tls:
            raise SourceError(f"{self._first.place} leads to {address.place}, out of TLS; that is not followed")
        places = look_up(address)
        if address.host != self._first.host and not all(_is_public(str(place[4][0])) for place in places):
            raise LinkError("is a private address that another server leads to; that is not followed")
        deadline_ns = _deadline_ns()
        # To those places that were looked at: a second look-up might find others.
        stream = _Stream(Link.open(address, self._tls, self._interrupt, deadline_ns, places), deadline_ns)
        try:
            host = address.place.partition("://")[2]
            fixed = ("Accept: */*", "Accept-Encoding: identity", "Connection: close")
            head = (f"GET {address.target} HTTP/1.1", f"Host: {host}", f"User-Agent: {USER_AGENT}", *fixed)
            stream.send("\r\n".join((*head, *authorization, "", "")).encode())
            response = http.client.HTTPResponse(cast(Any, stream), method="GET")
            response.begin()
        except BaseException:
            stream.close()
            raise
        return response, stream


class _Stream(io.RawIOBase):
    """A link as http.client reads it. However slow the server, a read ends by the deadline, or with LeftError."""

    def __init__(self, link: Link, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns
        self._link = link

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client wants of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while time.monotonic_ns() < self.deadline_ns:
            try:
                data = self._link.receive(len(buffer))
            except LinkEndedError:
                return 0
            if data:
                buffer[: len(data)] = data
                return len(data)
            self.send(b"")
            self._link.wait(self.deadline_ns)
        raise LinkError("does not answer within the time given")

    def send(self, data: bytes) -> None:
        self._link.send(data)

    def close(self) -> None:
        if not self.closed:
            self._link.close()
        super().close()


class Body:
    """A file for PyAV."""

    def __init__(self, response: http.client.HTTPResponse, stream: _Stream, place: str, interrupt: Interrupt) -> None:
        self.content_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        self._response = response
        self._stream = stream
        self._place = place
        self._interrupt = interrupt

    def read(self, size: int = READ_SIZE) -> bytes:
        self._interrupt.check()
        self._stream.deadline_ns = _deadline_ns()
        try:
            return self._response.read1(min(size, READ_SIZE))
        except (LinkError, http.client.HTTPException) as error:
            raise SourceError(f"{self._place} {_plain_words(error)}") from None

    def close(self) -> None:
        self._response.close()


def _deadline_ns() -> int:
    return time.monotonic_ns() + round(TIMEOUT_S * NS_PER_S)


def _plain_words(error: LinkError | http.client.HTTPException) -> str:
    return str(error) if isinstance(error, LinkError) else f"does not speak HTTP as we do: {type(error).__name__}"


def _is_public(host: str) -> bool:
    """Of IPv6 what is given out as global unicast (RFC 4291 2.4), but no way to an address of IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and (address not in GLOBAL_UNICAST or address.sixtofour is not None):
        return False
    return address.is_global and not address.is_multicast
