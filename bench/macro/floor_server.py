"""Readers for the floor: just enough RTSP, and a TLS handshake, for the load tool to play from it.

`python -m camfleet.bench.macro.floor_server CLIP [--tls FOLDER]` prints its port; FOLDER gets a self-signed pair.
None of this runs while the floor is measured, as clients say nothing between PLAY and TEARDOWN.
"""

import argparse
import asyncio
import contextlib
import hmac
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from camfleet.bench.load.run import raise_descriptor_limit
from camfleet.core.clock import ntp_from_unix_ns
from camfleet.core.rtp.packetizer import Packetizer
from camfleet.core.rtp.rtcp import sender_report
from camfleet.core.tls import Session
from camfleet.core.tls.session import record_size
from camfleet.supervisor.certs import ensure_pair
from camfleet.supervisor.listen.channel import RecordReader
from camfleet.supervisor.tls import Driver, ServerContext, export

from . import clip
from .floor import Floor

SSRC = 0xF100
SDP = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=floor\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n"
)
SESSION = "floor;timeout=3600"  # the load tool sends its first sign of life after half of that
SUITE = "TLS_AES_128_GCM_SHA256"
SO_SNDBUFFORCE = 32  # Linux; in socket since Python 3.14
SEND_BUFFER = 512 * 1024  # more than any frame of the film


class PlainConnection:
    """What a client says and hears before PLAY."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    async def receive(self) -> bytes:
        """Some bytes; empty at the end. Raises OSError."""
        return await asyncio.get_running_loop().sock_recv(self.sock, 4096)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def give_to(self, floor: Floor) -> None:
        floor.add(self.sock.fileno())


class TLSConnection(PlainConnection):
    """The same inside TLS 1.3. After `give_to` only the floor may send."""

    def __init__(self, sock: socket.socket, reader: RecordReader, session: Session, secret: bytes) -> None:
        super().__init__(sock)
        self._reader = reader
        self._session = session
        self._secret = secret

    @classmethod
    async def accept(cls, sock: socket.socket, context: ServerContext) -> "TLSConnection":
        reader, driver = RecordReader(sock, b""), Driver(lambda _: context)
        while not driver.complete:
            driver.receive_record(await reader.read(driver.record_size))
            if data := driver.data_to_send():
                await asyncio.get_running_loop().sock_sendall(sock, data)
        session, info = export(driver, time.monotonic_ns())
        if info.suite != SUITE:
            raise ConnectionAbortedError(f"the client took {info.suite}")
        return cls(sock, reader, session, driver.witness.server_secret)

    async def receive(self) -> bytes:
        return self._session.receive(await self._reader.read(record_size), time.monotonic_ns()) or b""

    async def send(self, data: bytes) -> None:
        await super().send(self._session.seal(data, time.monotonic_ns()))

    def give_to(self, floor: Floor) -> None:
        key, iv = expand_label(self._secret, b"key", 16), expand_label(self._secret, b"iv", 12)
        floor.add(self.sock.fileno(), key, iv, self._session.sending_sequence)


def expand_label(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with SHA-256 and no context (RFC 8446 7.1); one block of HKDF (RFC 5869 2.3) is enough."""
    label = b"tls13 " + label
    return hmac.digest(secret, size.to_bytes(2) + bytes([len(label)]) + label + b"\x00\x01", "sha256")[:size]


def answer(head: str) -> bytes:
    """To one request of a client that asks nothing unusual."""
    fields = {name.lower(): value.strip() for name, value in re.findall(r"^([\w-]+):(.*)$", head, re.MULTILINE)}
    method, url, _ = head.split(maxsplit=2)
    lines, body = [f"CSeq: {fields['cseq']}", f"Session: {SESSION}"], ""
    if method == "DESCRIBE":
        body = SDP
        lines += [f"Content-Base: {url}/", "Content-Type: application/sdp", f"Content-Length: {len(body)}"]
    if method == "SETUP":
        lines.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
    return "\r\n".join(["RTSP/1.0 200 OK", *lines, "", body]).encode()


def report(floor: Floor) -> bytes:
    """The one sender report of a session: by it the load tool knows how old a frame is when it arrives."""
    at = floor.reference()
    ntp = ntp_from_unix_ns(at.unix_ns)
    return sender_report(
        ssrc=SSRC, channel=1, cname=b"floor", ntp=ntp, rtp_timestamp=at.rtp_timestamp, packets=0, octets=0
    )


async def serve(sock: socket.socket, context: ServerContext | None, floor: Floor) -> None:
    """One client, to its end."""
    with sock:
        try:
            connection = PlainConnection(sock) if context is None else await TLSConnection.accept(sock, context)
            await converse(connection, floor)
        except OSError:
            pass
        finally:
            floor.remove(sock.fileno())


async def converse(connection: PlainConnection, floor: Floor) -> None:
    """Until TEARDOWN or the client's end. Raises OSError."""
    received = b""
    while data := await connection.receive():
        received += data
        while b"\r\n\r\n" in received:
            head, _, received = received.partition(b"\r\n\r\n")
            if head.startswith(b"TEARDOWN"):
                return
            await connection.send(answer(head.decode()) + (report(floor) if head.startswith(b"PLAY") else b""))
            if head.startswith(b"PLAY"):
                connection.give_to(floor)


async def accept(listener: socket.socket, context: ServerContext | None, floor: Floor) -> None:
    """Until cancelled."""
    clients = set[asyncio.Task[None]]()
    while True:
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER)
        client = asyncio.create_task(serve(sock, context, floor))
        clients.add(client)
        client.add_done_callback(clients.discard)


async def accept_until_terminated(listener: socket.socket, context: ServerContext | None, floor: Floor) -> None:
    task = asyncio.create_task(accept(listener, context, floor))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path)
    parser.add_argument("--tls", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    raise_descriptor_limit()
    packetizer = Packetizer(ssrc=SSRC)
    frames = [packetizer.packetize(unit, 0) for unit in clip.access_units(options.clip)]
    floor = Floor(frames, clip.FPS, options.tls is not None)
    pair = ensure_pair(options.tls) if options.tls else None
    context = ServerContext([(pair[0].read_bytes(), pair[1].read_bytes())]) if pair else None
    thread = threading.Thread(target=floor.run, daemon=True)
    thread.start()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)
        print(listener.getsockname()[1], flush=True)
        asyncio.run(accept_until_terminated(listener, context, floor))
    floor.stop()
    thread.join()
    print(f"floor: {floor.late} frames were late", file=sys.stderr)


if __name__ == "__main__":
    main()
