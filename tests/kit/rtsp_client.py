"""A small blocking RTSP client over TCP or TLS: independent of camfleet's own RTSP code, so that it can judge it.

    with RTSPClient.connect("rtsps://127.0.0.1:8322/ipc1-stream1/testlive", user="viewer", password="...") as client:
        client.play()
        for frame in client.frames(seconds=2): ...

Every wait has a deadline; nothing sleeps.
"""

import hashlib
import os
import re
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self
from urllib.parse import urlsplit

DEFAULT_TIMEOUT_S = 5.0
_CONTROL = re.compile(r"^a=control:(.+?)\r?$", re.MULTILINE)
_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


class Response(NamedTuple):
    """Header names are in lower case; a repeated header keeps all its values."""

    status: int
    reason: str
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name.lower(), [default])[0]


class InterleavedFrame(NamedTuple):
    """RFC 2326 10.12. `arrived_ns` is monotonic."""

    channel: int
    payload: bytes
    arrived_ns: int


def client_context(
    *, minimum: ssl.TLSVersion | None = None, maximum: ssl.TLSVersion | None = None, authority: str | None = None
) -> ssl.SSLContext:
    """Verifies only when an authority (PEM file) is given, as the servers under test sign their own certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authority)
    if minimum is not None:
        context.minimum_version = minimum
    if maximum is not None:
        context.maximum_version = maximum
    return context


@dataclass
class Continuity:
    """Checks one RTP stream (RFC 3550 5.1): `holes` counts missing or reordered packets, `frame_ns` the arrival of each
    access unit's last packet (marker bit)."""

    packets: int = 0
    holes: int = 0
    frame_ns: list[int] = field(default_factory=list)
    last_sequence: int | None = None
    ssrc: int | None = None

    def add(self, frame: InterleavedFrame) -> None:
        first, second, sequence, _timestamp, ssrc = struct.unpack_from(">BBHII", frame.payload)
        assert first >> 6 == 2, f"RTP version {first >> 6}"
        if self.ssrc is None:
            self.ssrc = ssrc
        assert ssrc == self.ssrc, "SSRC changed within a session"
        if self.last_sequence is not None and sequence != (self.last_sequence + 1) & 0xFFFF:
            self.holes += 1
        self.last_sequence = sequence
        self.packets += 1
        if second & 0x80:
            self.frame_ns.append(frame.arrived_ns)

    def largest_gap_ms(self, since_ns: int = 0) -> float:
        """The longest silence between two frames, the later of which came after `since_ns`."""
        pairs = zip(self.frame_ns, self.frame_ns[1:], strict=False)
        return max(((later - earlier) / 1e6 for earlier, later in pairs if later >= since_ns), default=0.0)


class RTSPClient:
    """One connection. `frames` that arrive while a response is awaited are kept and come out of `frames()` first."""

    def __init__(self, sock: socket.socket, url: str, user: str = "", password: str = "") -> None:
        self.sock = sock
        self.url = url
        self.user = user
        self.password = password
        self.session = ""
        self.cseq = 0
        self.video = Continuity()
        self.at_end = False
        self.truncated = False  # TLS ended without close_notify, or the connection was reset
        self._challenge: dict[str, str] = {}
        self._nonce_count = 0
        self._buffer = bytearray()
        self._frames: deque[InterleavedFrame] = deque()

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        user: str = "",
        password: str = "",
        context: ssl.SSLContext | None = None,
        address: tuple[str, int] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Self:
        """`url` may carry credentials; rtsps connects with TLS (unverified unless `context` says otherwise).

        `address` connects elsewhere than the URL says, for a TLS hello on the plain port and the like.
        """
        parts = urlsplit(url)
        host = parts.hostname or "127.0.0.1"
        port = parts.port or {"rtsp": 554, "rtsps": 322}[parts.scheme]
        sock = socket.create_connection(address or (host, port), timeout=timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "rtsps":
            sock = (context or client_context()).wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=False)
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        bare = f"{parts.scheme}://{authority}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return cls(sock, bare, user or parts.username or "", password or parts.password or "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def peer_certificate(self) -> bytes:
        """DER; empty when plain."""
        return (self.sock.getpeercert(binary_form=True) or b"") if isinstance(self.sock, ssl.SSLSocket) else b""

    # ------------------------------------------------------------ requests

    def request(self, method: str, url: str = "", headers: dict[str, str] | None = None, body: bytes = b"") -> Response:
        """Send and await the response; a 401 with a Digest challenge is answered once."""
        self.send_request(method, url, headers, body)
        response = self.read_response()
        if response.status == 401 and self.user and self._accept_challenge(response):
            self.send_request(method, url, headers, body)
            response = self.read_response()
        if session := response.header("session"):
            self.session = session.split(";")[0]
        return response

    def send_request(
        self, method: str, url: str = "", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.sock.sendall(self.encode_request(method, url, headers, body))

    def encode_request(
        self, method: str, url: str = "", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        """One request as bytes, with the next CSeq and, once challenged, credentials."""
        url = url or self.url
        self.cseq += 1
        fields = {"CSeq": str(self.cseq), "User-Agent": "camfleet-tests"}
        if self._challenge:
            fields["Authorization"] = self._digest(method, url)
        if self.session:
            fields["Session"] = self.session
        if body:
            fields["Content-Length"] = str(len(body))
        fields.update(headers or {})
        head = f"{method} {url} RTSP/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return head.encode() + b"\r\n" + body

    def read_response(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Response:
        deadline = time.monotonic() + timeout_s
        while True:
            message = self._take_message()
            if isinstance(message, Response):
                return message
            if isinstance(message, InterleavedFrame):
                self._keep(message)
            elif not self._fill(deadline):
                raise EOFError("connection closed") if self.at_end else TimeoutError("no RTSP response")

    def _accept_challenge(self, response: Response) -> bool:
        for value in response.headers.get("www-authenticate", []):
            scheme, _, rest = value.partition(" ")
            if scheme.lower() == "digest":
                challenge = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
                if challenge.get("algorithm", "MD5").upper() == "MD5":
                    self._challenge = challenge
                    self._nonce_count = 0
                    return True
        return False

    def _digest(self, method: str, uri: str) -> str:
        """RFC 7616 3.4.1, MD5, with or without qop=auth."""

        def md5(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        realm, nonce = self._challenge["realm"], self._challenge["nonce"]
        ha1, ha2 = md5(f"{self.user}:{realm}:{self.password}"), md5(f"{method}:{uri}")
        fields = f'Digest username="{self.user}", realm="{realm}", nonce="{nonce}", uri="{uri}"'
        if "auth" in self._challenge.get("qop", "").replace(" ", "").split(","):
            self._nonce_count += 1
            count, cnonce = f"{self._nonce_count:08x}", os.urandom(8).hex()
            answer = md5(f"{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}")
            fields += f', qop=auth, nc={count}, cnonce="{cnonce}"'
        else:
            answer = md5(f"{ha1}:{nonce}:{ha2}")
        if "opaque" in self._challenge:
            fields += f', opaque="{self._challenge["opaque"]}"'
        return fields + f', response="{answer}"'

    # ------------------------------------------------------------ playing

    def play(self) -> Response:
        """DESCRIBE, SETUP of the first track on channels 0-1, PLAY; raises AssertionError unless all are 200."""
        describe = self.request("DESCRIBE", headers={"Accept": "application/sdp"})
        assert describe.status == 200, f"DESCRIBE: {describe.status} {describe.reason}"
        setup = self.request("SETUP", self.track_url(describe), {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"})
        assert setup.status == 200, f"SETUP: {setup.status} {setup.reason}"
        play = self.request("PLAY", describe.header("content-base", self.url), {"Range": "npt=0.000-"})
        assert play.status == 200, f"PLAY: {play.status} {play.reason}"
        return play

    def track_url(self, describe: Response) -> str:
        """The first media-level control URL, made absolute by Content-Base (RFC 2326 C.1.1)."""
        media = describe.body.decode().partition("m=")[2]
        found = _CONTROL.search(media)
        control = found[1] if found else ""
        if control.startswith(("rtsp://", "rtsps://")):
            return control
        return describe.header("content-base", self.url + "/").rstrip("/") + "/" + control

    def frames(self, seconds: float = DEFAULT_TIMEOUT_S) -> Iterator[InterleavedFrame]:
        """Frames until `seconds` are over or the server closes; video on channel 0 goes through `self.video`."""
        deadline = time.monotonic() + seconds
        while True:
            while self._frames:
                yield self._frames.popleft()
            message = self._take_message()
            if isinstance(message, InterleavedFrame):
                self._keep(message)
            elif message is None and not self._fill(deadline):
                return

    def give_up(self) -> bytes:
        """What has been read of the interleaved stream and not been asked for; `sock` is the caller's from now on."""
        kept = [b"$" + struct.pack(">BH", each.channel, len(each.payload)) + each.payload for each in self._frames]
        return b"".join(kept) + bytes(self._buffer)

    def _keep(self, frame: InterleavedFrame) -> None:
        if frame.channel == 0:
            self.video.add(frame)
        self._frames.append(frame)

    # ------------------------------------------------------------ bytes

    def _fill(self, deadline: float) -> bool:
        """Read once; False at the end of the stream (`at_end`) or at the deadline."""
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        self.sock.settimeout(remaining)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return False
        except (ConnectionResetError, ssl.SSLEOFError):
            data, self.truncated = b"", True
        self._buffer += data
        self.at_end = not data
        return bool(data)

    def _take_message(self) -> Response | InterleavedFrame | None:
        """The next whole message of the buffer, None when more bytes are needed."""
        buffer = self._buffer
        if buffer[:1] == b"$":
            if len(buffer) < 4:
                return None
            channel, size = struct.unpack_from(">BH", buffer, 1)
            if len(buffer) < 4 + size:
                return None
            payload = bytes(buffer[4 : 4 + size])
            del buffer[: 4 + size]
            return InterleavedFrame(channel, payload, time.monotonic_ns())
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = buffer[:end].decode().split("\r\n")
        version, status, reason = (lines[0] + " ").split(" ", 2)
        assert version == "RTSP/1.0", f"not a response: {lines[0]!r}"
        headers: dict[str, list[str]] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        size = int(headers.get("content-length", ["0"])[0])
        if len(buffer) < end + 4 + size:
            return None
        body = bytes(buffer[end + 4 : end + 4 + size])
        del buffer[: end + 4 + size]
        return Response(int(status), reason.strip(), headers, body)


class Watch:
    """Plays in a thread of its own and records continuity until `stop`: for tests that break things meanwhile."""

    def __init__(self, client: RTSPClient) -> None:
        self.client = client
        self.ended = False  # by the server, before `stop`
        self.error: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        client.play()
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def video(self) -> Continuity:
        return self.client.video

    def wait_for_frames(self, count: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Until `count` more access units have arrived."""
        wanted, deadline = len(self.video.frame_ns) + count, time.monotonic() + timeout_s
        while len(self.video.frame_ns) < wanted:
            if self.error is not None:
                raise self.error
            assert not self.ended, "the server closed the connection"
            assert time.monotonic() < deadline, f"{wanted - len(self.video.frame_ns)} frames missing"
            self._stopping.wait(0.005)

    def wait_for_end(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._thread.join(timeout_s)
        assert self.ended, "the server has not closed the connection"

    def seen(self, frame: InterleavedFrame) -> None:
        """For tests that look closer; in the thread."""

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(DEFAULT_TIMEOUT_S)
        self.client.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                for frame in self.client.frames(seconds=0.1):
                    self.seen(frame)
                if self.client.at_end:
                    self.ended = not self._stopping.is_set()
                    return
        except Exception as error:
            self.error = error
