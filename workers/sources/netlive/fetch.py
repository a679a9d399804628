"""What HTTP servers send, for FFmpeg to read.

FFmpeg has a client of its own. It verifies the certificate of a play list, but not those of the servers that the list
names (measured with FFmpeg 8.1: `tls_verify` is not handed on), and follows lists and redirects wherever they lead. So
every byte comes through here, and this decides.
"""

import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from camfleet.core.rtsp.client import Account, LoginRefusedError, ServerError
from camfleet.core.rtsp.client.credentials import Credentials

from ..base import SourceError
from ..rtsplive.link import LinkError, TLSOptions, plain_words
from ..upstream import Interrupt

TIMEOUT_S = 10.0  # without a byte
MAX_REDIRECTS = 3
MAX_URL_SIZE = 4096
READ_SIZE = 64 * 1024
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
    """Opens resources for one visit. From the first server it may be led to others, but not out of TLS, and not to an
    address of this network: what else there is in it is nobody's business."""

    def __init__(self, first: Address, tls: TLSOptions, account: Account | None, interrupt: Interrupt) -> None:
        self.refused = False
        self._first = first
        self._tls = tls
        self._account = account
        self._interrupt = interrupt
        self._context: ssl.SSLContext | None = None

    def open(self, url: str) -> "Body":
        """Raises SourceError."""
        address = Address.parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._ask(address)
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
        return Body(response, address.place, self._interrupt)

    def _ask(self, address: Address) -> http.client.HTTPResponse:
        known = self._account if address.host == self._first.host and address.port == self._first.port else None
        credentials = Credentials(known)
        while True:
            self._interrupt.check()
            connection = self._connect(address)
            headers = {"Host": address.place.partition("://")[2], "User-Agent": USER_AGENT, "Accept": "*/*"}
            for line in credentials.header("GET", address.target):
                name, _, value = line.partition(": ")
                headers[name] = value
            try:
                connection.request("GET", address.target, headers=headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise SourceError(f"{address.place} {plain_words(error)}") from None
            if response.status != 401:
                return response
            challenges = response.headers.get_all("WWW-Authenticate") or []
            response.close()
            connection.close()
            try:
                credentials.accept(challenges)
            except ServerError as error:
                self.refused = isinstance(error, LoginRefusedError)
                raise SourceError(f"{address.place} {error}") from None

    def _connect(self, address: Address) -> http.client.HTTPConnection:
        if self._first.tls and not address.tls:
            raise SourceError(f"{self._first.place} leads to {address.place}, out of TLS; that is not followed")
        try:
            sock = self._socket(address)
        except LinkError as error:
            raise SourceError(f"{address.place} {error}") from None
        except OSError as error:
            raise SourceError(f"{address.place} {plain_words(error)}") from None
        connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
        connection.sock = sock
        return connection

    def _socket(self, address: Address) -> socket.socket:
        places = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        if address.host != self._first.host and not all(_is_public(str(place[4][0])) for place in places):
            raise LinkError("is an address of this network that another server leads to; that is not followed")
        last: OSError = OSError("no address")
        for family, kind, protocol, _, place in places:  # those that were looked at, and no second look-up
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(TIMEOUT_S)
                sock.connect(place)
                return self._secured(sock, address.host) if address.tls else sock
            except OSError as error:
                sock.close()
                last = error
            except BaseException:
                sock.close()
                raise
        raise last

    def _secured(self, sock: socket.socket, host: str) -> socket.socket:
        if self._context is None:
            self._context = self._tls.context()
        secured = self._context.wrap_socket(sock, server_hostname=host)
        try:
            self._tls.check(secured.getpeercert(binary_form=True) or b"")
        except LinkError:
            secured.close()
            raise
        return secured


class Body:
    """A file for PyAV."""

    def __init__(self, response: http.client.HTTPResponse, place: str, interrupt: Interrupt) -> None:
        self.content_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        self._response = response
        self._place = place
        self._interrupt = interrupt

    def read(self, size: int = READ_SIZE) -> bytes:
        self._interrupt.check()
        try:
            return self._response.read1(min(size, READ_SIZE))
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{self._place} {plain_words(error)}") from None

    def close(self) -> None:
        self._response.close()


def _is_public(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    return address.is_global and not address.is_multicast
