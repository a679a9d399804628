"""A client without manners: bytes as they are, over TCP or TLS, and an exact account of what came of them."""

import select
import socket
import time
from typing import Self

from OpenSSL import SSL

from tests.kit.interleaved import InterleavedReader, RTPPacket
from tests.kit.rtsp import TCP, Reply, digest, nonce_of, parse_replies, request
from tests.kit.server import PASSWORD, USER
from tests.kit.tls_layer import TLSLayer

TIMEOUT_S = 10.0
URL = "rtsp://127.0.0.1/ipc1-stream1/testlive"
OTHER_URL = "rtsp://127.0.0.1/ipc2-stream1/testlive"
PROBE_CSEQ = "99999999"
PROBE = request("OPTIONS", "*", cseq=PROBE_CSEQ)

OPEN, CLOSED = "open", "closed"


class Client:
    """One connection. `end` is OPEN; CLOSED after the server's FIN, in TLS behind a close_notify; else the name of its
    fatal alert, "truncated" (a FIN without a word of TLS) or "reset"."""

    def __init__(self, port: int, *, tls: bool = False, source: str = "", version: int = SSL.TLS1_3_VERSION) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.tls = TLSLayer(self.sock, version) if tls else None
        except BaseException:
            self.sock.close()
            raise
        self.sock.setblocking(False)
        self.received = b""  # as plaintext, frames included
        self.replies: list[Reply] = []
        self.packets = 0  # of RTP
        self.end = OPEN
        self.session = ""
        self.nonce = ""
        self._elements = InterleavedReader()
        self._cseq = 0
        self._poll = select.poll()
        self._poll.register(self.sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    # ------------------------------------------------------------ bytes

    def send(self, *pieces: bytes) -> None:
        """Each piece by a write, in TLS a record, of its own; less when the server closes meanwhile."""
        for piece in pieces:
            self.send_raw(self.tls.seal(piece) if self.tls else piece)

    def send_raw(self, data: bytes) -> None:
        """As it is, below TLS. What comes meanwhile is taken in."""
        rest = memoryview(data)
        while rest and self.end == OPEN:
            events = self._wait(select.POLLIN | select.POLLOUT, TIMEOUT_S)
            assert events, "the server neither reads nor writes"
            if events & ~select.POLLOUT:
                self._receive()
            elif events & select.POLLOUT:
                try:
                    rest = rest[self.sock.send(rest[:65_536]) :]
                except (BrokenPipeError, ConnectionResetError):
                    self.read_to_end()

    def receive(self, timeout_s: float = TIMEOUT_S) -> bool:
        """Take in what comes next; False when nothing does, at the end or in time."""
        return self.end == OPEN and bool(self._wait(select.POLLIN, timeout_s)) and self._receive()

    def read_to_end(self) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while self.receive(max(0.0, deadline - time.monotonic())):
            pass
        assert self.end != OPEN, f"the server has not closed, but said {self.received[-200:]!r}"

    def _wait(self, events: int, timeout_s: float) -> int:
        self._poll.modify(self.sock, events)
        found = self._poll.poll(timeout_s * 1000)
        return found[0][1] if found else 0

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(65_536)
        except ConnectionResetError:
            self.end = "reset"
            return False
        if data:
            plaintext = self.tls.open(data) if self.tls else data
            self.received += plaintext
            for element in self._elements.feed(plaintext):
                if isinstance(element, bytes):
                    self.replies += parse_replies(element)
                elif isinstance(element, RTPPacket):
                    self.packets += 1
            return True
        self.end = CLOSED
        if self.tls and self.tls.alert != "close_notify":
            self.end = self.tls.alert or "truncated"
        assert not self._elements.buffer, f"an incomplete answer: {bytes(self._elements.buffer[:200])!r}"
        return False

    # ------------------------------------------------------------ requests

    def reply(self) -> Reply:
        """The oldest reply that nobody has taken."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.replies:
            assert self.receive(deadline - time.monotonic()), f"no reply; the connection is {self.end}"
        return self.replies.pop(0)

    def outcome(self) -> tuple[list[int], str]:
        """The statuses of all replies, and the `end`; OPEN is proven by a last request."""
        self.send(PROBE)
        deadline = time.monotonic() + TIMEOUT_S
        while not (self.replies and self.replies[-1].cseq == PROBE_CSEQ):
            if not self.receive(deadline - time.monotonic()):
                assert self.end != OPEN, f"no answer to a last request after {self.replies}"
                break
        else:
            assert self.replies.pop().status == 200
        return [reply.status for reply in self.replies], self.end

    def raw(self, method: str, url: str = URL, *fields: str) -> Reply:
        """One request with just these header lines, and its reply."""
        self._cseq += 1
        self.send(request(method, url, *fields, cseq=self._cseq))
        reply = self.reply()
        assert reply.cseq == str(self._cseq)
        return reply

    def authorization(self, method: str, url: str = URL, user: str = USER, password: str = PASSWORD) -> str:
        """A header line with the right credentials; asks for a nonce when there is none yet."""
        if not self.nonce:
            self.nonce = nonce_of(self.raw("DESCRIBE", url))
        return digest(method, url, self.nonce, username=user, password=password)

    def ask(self, method: str, url: str = URL, *fields: str) -> Reply:
        """One request, with credentials and the session."""
        named = any(field.startswith("Session") for field in fields)
        session = [f"Session: {self.session}"] if self.session and not named else []
        reply = self.raw(method, url, self.authorization(method, url), *session, *fields)
        if method == "SETUP" and reply.status == 200:
            self.session = reply.headers["session"].partition(";")[0]
        return reply

    def set_up(self, url: str = URL) -> None:
        assert self.ask("SETUP", f"{url}/trackID=0", f"Transport: {TCP}").status == 200

    def play(self, url: str = URL) -> None:
        """Until the first packet."""
        self.set_up(url)
        assert self.ask("PLAY", url).status == 200
        self.expect_media()

    def expect_media(self) -> None:
        """Until the next packet."""
        seen = self.packets
        while self.packets == seen:
            assert self.receive(), f"no media; the connection is {self.end}"
