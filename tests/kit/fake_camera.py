"""An RTSP camera of asyncio for tests of RTSP clients: it plays a prepared byte stream, faults included."""

import asyncio
import hashlib
import random
import re
import ssl
import threading
from dataclasses import dataclass, field

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=fake\r\nt=0 0\r\na=control:*\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n"
)
REALM, NONCE = "fake", "dcd98b7102dd2f0e8b11d0f600bfb0c093"


@dataclass
class FakeCamera:
    """Listens on a free port of `address` while used as a context manager.

    `media` follows the answer to PLAY, in pieces of random size; then the connection stays silent.
    """

    media: bytes = b""
    tls: ssl.SSLContext | None = None
    password: str = ""  # of the user "viewer"; empty: none is asked for
    sdp: str = SDP
    rtp_info: str = ""
    channels: tuple[int, int] | None = None  # instead of those that the client asks for
    refuse: dict[str, str] = field(default_factory=dict)  # method to status line
    mute: str = ""  # the method that gets no answer
    close_after: str = ""  # the method after whose answer (and media) the connection is closed
    orderly: bool = True  # it is closed with close_notify
    seed: int = 0
    address: str = "127.0.0.1"

    port: int = 0
    requests: list[str] = field(default_factory=list)  # methods in the order of their coming

    def __enter__(self) -> "FakeCamera":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, credentials: str = "", host: str = "") -> str:
        return f"{'rtsps' if self.tls else 'rtsp'}://{credentials}{host or self.address}:{self.port}/ipc1"

    async def _listen(self) -> asyncio.Server:
        self._clients: set[asyncio.Task[None]] = set()
        return await asyncio.start_server(self._client, self.address, 0, ssl=self.tls)

    async def _end(self) -> None:
        self._server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._clients.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method = head.split()[0]
                self.requests.append(method)
                if method == self.mute:
                    continue
                answer = self._answer(method, head)
                writer.write(answer)
                if method == "PLAY" and answer.startswith(b"RTSP/1.0 200"):
                    await self._play(writer)
                if method == self.close_after:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            if self.orderly:
                writer.close()
            else:
                writer.transport.abort()

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        dice, at = random.Random(self.seed), 0
        while at < len(self.media):
            size = dice.choice((1, 3, 16, 17, 100, 1000, 1460, 9000, 70_000))
            writer.write(self.media[at : at + size])
            at += size
            await writer.drain()
            await asyncio.sleep(0)

    def _answer(self, method: str, head: str) -> bytes:
        sequence = re.search(r"^CSeq: (\d+)", head, re.MULTILINE)
        assert sequence
        status, fields, body = "200 OK", [f"CSeq: {sequence[1]}"], ""
        if method in self.refuse:
            status = self.refuse[method]
        elif self.password and not self._knows_password(method, head):
            status = "401 Unauthorized"
            fields.append(f'WWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}"')
        elif method == "DESCRIBE":
            body = self.sdp
            fields += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            transport = re.search(r"^Transport: (.*)$", head, re.MULTILINE)
            assert transport
            text = transport[1].strip()
            if self.channels:
                text = "RTP/AVP/TCP;unicast;interleaved={}-{}".format(*self.channels)
            fields += [f"Transport: {text}", "Session: 12345678;timeout=60"]
        elif method == "PLAY" and self.rtp_info:
            fields.append(f"RTP-Info: {self.rtp_info}")
        return "\r\n".join([f"RTSP/1.0 {status}", *fields, "", body]).encode()

    def _knows_password(self, method: str, head: str) -> bool:
        """RFC 2617 without qop, as FFmpeg and live555 know it."""
        header = re.search(r'^Authorization: Digest .*uri="([^"]*)".*response="([^"]*)"', head, re.MULTILINE)
        if not header:
            return False

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        return header[2] == md5(f"{md5(f'viewer:{REALM}:{self.password}')}:{NONCE}:{md5(f'{method}:{header[1]}')}")
