"""A byte stream to a server: TCP, and TLS where it is asked for. Every wait ends, by its deadline or by `close`."""

import contextlib
import hmac
import os
import select
import socket
import ssl
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Protocol, Self

from ...clockmap import NS_PER_S
from ..descriptors import why_not
from ..upstream import Interrupt, LeftError

# For one address. The kernel asks again after 1 s, then 2 s later, then 4: what is back by then is seen sooner by who
# begins anew, and another address may answer.
CONNECT_TIMEOUT_NS = 2 * NS_PER_S
CHUNK_SIZE = 64 * 1024
MAX_UNSENT_SIZE = 64 * 1024  # our requests and reports have some hundred bytes


class LinkError(Exception):
    """The connection cannot be made, or has ended; the text is for the operator."""


class LinkEndedError(LinkError):
    """By the server, after all that it had to say."""


class Server(Protocol):
    """Whom to connect to."""

    @property
    def tls(self) -> bool: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


Places = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]  # as of getaddrinfo


class TLSOptions:
    """Whom we believe to be the server: an authority's word, one certificate, or anybody."""

    def __init__(self, *, verify: bool, ca_file: str, fingerprint: str) -> None:
        self.verify, self.ca_file, self.fingerprint = verify and not fingerprint, ca_file, fingerprint
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """The same for all connections of a visit. Raises LinkError."""
        if self._context is None:
            self._context = self._new_context()
        return self._context

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_file:
            try:
                context.load_verify_locations(self.ca_file)
            except ssl.SSLError:
                raise LinkError(f"ca_file {self.ca_file} has no certificate as PEM") from None
            except OSError as error:
                raise LinkError(f"ca_file {self.ca_file}: {why_not(error)}") from None
        else:
            context.load_default_certs()
        return context

    def check(self, certificate: bytes) -> None:
        """Before the first byte is sent. Raises LinkError for another certificate than the one of the fingerprint."""
        if self.fingerprint:
            found = sha256(certificate).hexdigest()
            if not hmac.compare_digest(found, self.fingerprint):
                raise LinkError(f"shows another certificate than the one of `fingerprint`, with {found}")


class Link:
    """Belongs to one thread. Its methods raise LinkError and LeftError."""

    def __init__(self, sock: socket.socket, interrupt: Interrupt) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._unsent = bytearray()
        self._poll = select.poll()
        self._poll.register(interrupt.fd, select.POLLIN)
        self._interrupt_fd = interrupt.fd

    @classmethod
    def open(
        cls, url: Server, options: TLSOptions, interrupt: Interrupt, deadline_ns: int, places: Places | None = None
    ) -> Self:
        """To the first of the `places` that answers."""
        context = options.context() if url.tls else None
        places = look_up(url) if places is None else places
        reason = "has no address"
        for family, kind, protocol, _, address in places:
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:
                reason = f"cannot be reached: {why_not(error)}"
                continue
            link = cls(sock, interrupt)
            try:
                link._connect(address, deadline_ns)
                if context is not None:
                    link._secure(context, options, url.host, deadline_ns)
                return link
            except LinkError as error:
                link._sock.close()
                reason = str(error)
                if time.monotonic_ns() >= deadline_ns:
                    break
            except BaseException:
                link._sock.close()
                raise
        raise LinkError(reason)

    @property
    def peer_host(self) -> str:
        return str(self._sock.getpeername()[0])

    @property
    def local_address(self) -> tuple[socket.AddressFamily, str]:
        return self._sock.family, str(self._sock.getsockname()[0])

    def watch(self, fd: int) -> None:
        """`wait` ends for this descriptor, too."""
        self._poll.register(fd, select.POLLIN)

    def wait(self, deadline_ns: int) -> None:
        """Until there is something to read, or room for what is to be sent."""
        self._wait(select.POLLIN | (select.POLLOUT if self._unsent else 0), deadline_ns)

    def send(self, data: bytes) -> None:
        """Never waits: what does not go now goes with the next call."""
        self._unsent += data
        if not self._unsent:
            return
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            raise LinkError(plain_words(error)) from None
        if len(self._unsent) > MAX_UNSENT_SIZE:
            raise LinkError("does not read what it is sent")

    def receive(self, size: int = CHUNK_SIZE) -> bytes:
        """Empty: nothing is here now."""
        try:
            data = self._sock.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            raise LinkError(plain_words(error)) from None
        if not data:
            raise LinkEndedError("has closed the connection")
        return data

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.unwrap()  # sends close_notify, and does not wait for the other one
        self._sock.close()

    def _connect(self, address: tuple[Any, ...], deadline_ns: int) -> None:
        deadline_ns = min(deadline_ns, time.monotonic_ns() + CONNECT_TIMEOUT_NS)
        try:
            self._sock.connect(address)
        except BlockingIOError:
            self._wait(select.POLLOUT, deadline_ns, "does not answer")
            if error := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise LinkError(f"cannot be reached: {os.strerror(error)}") from None
        except OSError as error:
            raise LinkError(f"cannot be reached: {error.strerror}") from None

    def _secure(self, context: ssl.SSLContext, options: TLSOptions, host: str, deadline_ns: int) -> None:
        self._sock = sock = context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
        while True:
            try:
                sock.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, deadline_ns, "does not finish the TLS handshake")
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, deadline_ns, "does not finish the TLS handshake")
            except (OSError, ValueError) as error:  # ValueError: a name that cannot be one of a certificate
                raise LinkError(plain_words(error)) from None
        options.check(sock.getpeercert(binary_form=True) or b"")

    def _wait(self, events: int, deadline_ns: int, late: str = "") -> None:
        """Raises LinkError(late) at the deadline, if there is such a text."""
        if isinstance(self._sock, ssl.SSLSocket) and events & select.POLLIN and self._sock.pending():
            return
        wait_ns = deadline_ns - time.monotonic_ns()
        self._poll.register(self._sock, events)
        ready = self._poll.poll(max(0, wait_ns) / 1_000_000)
        if any(fd == self._interrupt_fd for fd, _ in ready):
            raise LeftError
        if not ready and late:
            raise LinkError(f"{late} within the time given")


def look_up(url: Server) -> Places:
    """May outlast any deadline, as the system's resolver cannot be interrupted."""
    try:
        return socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LinkError(f"has no address: {why_not(error)}") from None
    except UnicodeError:  # "a..b", as in a redirect
        raise LinkError("has no address: that is no name of a host") from None


def plain_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not accepted: {error.verify_message}; give its authority as `ca_file`"
    if isinstance(error, ssl.SSLEOFError | ConnectionResetError | BrokenPipeError):
        return "has cut the connection"
    if isinstance(error, ssl.SSLError):
        return f"does not speak TLS as we do: {error.reason or error}"
    return f"cannot be reached: {error}"
