"""RTSP servers for the client to be tested with: a plain good one, whose every step a test can replace by a bad one.

def slow(peer: Peer) -> None: ...
with Upstream(slow) as upstream: open something with upstream.url
"""

import contextlib
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

from camfleet.core.rtp import rtcp
from camfleet.core.rtp.packetizer import Packetizer

from tests.kit.access_units import access_unit, key_access_unit

TIMEOUT_S = 10.0
SSRC = 0x11223344
FRAME = 3600  # ticks, of 25 pictures a second
SDP = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=fake
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 {codec}/90000
{lines}a=control:track
"""


class GoneError(Exception):
    """The client has closed the connection."""


class Request:
    def __init__(self, head: str) -> None:
        self.method, self.url, _ = head.partition("\r\n")[0].split(" ")
        self.fields = dict(re.findall(r"^([\w-]+): ([^\r\n]*)", head, re.MULTILINE))


class Peer:
    """A client's connection; everything that waits has an end."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self.stopping = stopping
        self.requests: list[str] = []
        self._buffer = b""
        self.frames: list[tuple[int, bytes]] = []  # of `$`, by the client

    def request(self) -> Request:
        while True:
            self._take_frames()
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if end and head[:1] != b"$":
                self._buffer = rest
                request = Request(head.decode() + "\r\n")
                self.requests.append(request.method)
                return request
            self._receive()

    def answer(self, request: Request, *lines: str, status: str = "200 OK", body: str | bytes = b"") -> None:
        data = body.encode() if isinstance(body, str) else body
        head = [f"RTSP/1.0 {status}", f"CSeq: {request.fields['CSeq']}", *lines, f"Content-Length: {len(data)}", "", ""]
        self.send("\r\n".join(head).encode() + data)

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise GoneError from error

    def wait(self, seconds: float) -> None:
        """For the pace of pictures; ends with the server."""
        if self.stopping.wait(seconds):
            raise GoneError

    def until_gone(self) -> None:
        """Answers signs of life with nothing."""
        while True:
            self._receive()

    def key_frames_wanted(self) -> int:
        """So many times the client has asked for one (PLI) since the last call, which does not wait."""
        while select.select([self.sock], [], [], 0)[0]:
            self._receive()
        self._take_frames()
        asked = sum(rtcp.parse(frame, SSRC).key_frame_wanted for _, frame in self.frames)
        self.frames.clear()
        return asked

    def _take_frames(self) -> None:
        while self._buffer[:1] == b"$" and len(self._buffer) >= 4:
            size = 4 + int.from_bytes(self._buffer[2:4])
            if len(self._buffer) < size:
                break
            self.frames.append((self._buffer[1], self._buffer[4:size]))
            self._buffer = self._buffer[size:]

    def _receive(self) -> None:
        try:
            data = self.sock.recv(65_536)
        except OSError as error:
            raise GoneError from error
        if not data:
            raise GoneError
        self._buffer += data


def describe(peer: Peer, *, codec: str = "H264", lines: str = "", body: bytes | None = None) -> None:
    """OPTIONS and DESCRIBE."""
    peer.answer(peer.request(), "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN")
    peer.answer(peer.request(), body=SDP.format(codec=codec, lines=lines) if body is None else body)


def play(
    peer: Peer,
    *,
    transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1",
    codec: str = "H264",
    lines: str = "",
    timeout_s: int = 60,
) -> Request:
    """All up to the answer to PLAY; returns the SETUP."""
    describe(peer, codec=codec, lines=lines)
    setup = peer.request()
    peer.answer(setup, f"Session: 12345678;timeout={timeout_s}", f"Transport: {transport}")
    peer.answer(peer.request())
    return setup


def packets(
    units: Iterable[bytes], *, codec: str = "h264", sequence: int = 65_530, timestamp: int = 0
) -> Iterator[list[bytes]]:
    """The RTP packets of each access unit."""
    packetizer = Packetizer(codec, ssrc=SSRC, sequence=sequence, payload_type=96)
    for number, unit in enumerate(units):
        framed, out = packetizer.packetize(unit, (timestamp + FRAME * number) % 2**32), []
        while framed:
            size = 4 + int.from_bytes(framed[2:4])
            out.append(framed[4:size])
            framed = framed[size:]
        yield out


def framed(packet: bytes, channel: int = 0) -> bytes:
    return b"$" + bytes([channel]) + struct.pack("!H", len(packet)) + packet


def film(length: int = 500, gop: int = 5) -> list[bytes]:
    return [key_access_unit(n, 5000) if n % gop == 0 else access_unit(n, 900) for n in range(length)]


def send_film(peer: Peer, units: Iterable[bytes], *, interval_s: float = 0.01) -> None:
    for unit in packets(units):
        peer.send(b"".join(map(framed, unit)))
        peer.wait(interval_s)
    peer.until_gone()


def camera(peer: Peer) -> None:
    """A good one."""
    play(peer)
    send_film(peer, film())


Script = Callable[[Peer], None]


class Upstream:
    """Listens on 127.0.0.1; each connection has a thread, in which `script` plays the server."""

    def __init__(
        self, script: Script = camera, *, certificate: tuple[bytes, bytes] | None = None, folder: Path | None = None
    ) -> None:
        """`certificate` and key, PEM, written into `folder`: speak TLS."""
        self.script = script
        self.peers: list[Peer] = []
        self._context: ssl.SSLContext | None = None
        if certificate is not None and folder is not None:
            path = folder / "upstream.pem"
            path.write_bytes(b"".join(certificate))
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(path)
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'rtsps' if self._context else 'rtsp'}://127.0.0.1:{self.port}/live"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(TIMEOUT_S)
        with sock, contextlib.suppress(GoneError):
            if self._context is not None:
                try:
                    sock = self._context.wrap_socket(sock, server_side=True)
                except OSError:
                    return
            with sock:
                peer = Peer(sock, self._stopping)
                self.peers.append(peer)
                self.script(peer)
