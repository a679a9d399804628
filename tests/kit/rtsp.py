"""An RTSP client as small as a test needs it: requests, Digest, replies, and a caller that answers every event."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Any

from camfleet.core.rtsp import (
    Announce,
    Authenticator,
    Describe,
    Event,
    Lockout,
    LoginFailed,
    Media,
    OtherCamera,
    Pause,
    Play,
    Record,
    ServerConnection,
    Setup,
    Teardown,
)
from camfleet.core.wire import UserSpec

REALM = "camfleet"
NONCE_KEY = bytes(range(32))
SECOND = 1_000_000_000
START_NS = 1_000_000 * SECOND
URL = "rtsp://192.0.2.7:8554/ipc1-stream1/testlive"
SDP = "v=0\r\ns=test\r\n"
SSRC = 0x1234ABCD
TCP = "RTP/AVP/TCP;unicast;interleaved=0-1"


def user(name: str, password: str, *, watches: bool = True) -> UserSpec:
    """A user as the configuration would store it."""
    a1 = f"{name}:{REALM}:{password}".encode()
    return UserSpec(name=name, ha1_md5=md5(a1).hexdigest(), ha1_sha256=sha256(a1).hexdigest(), watches=watches)


USERS = (user("viewer", "secret"), user("guard", "other"))


def authenticator(**settings: Any) -> Authenticator:
    return Authenticator(settings.pop("users", USERS), realm=REALM, nonce_key=NONCE_KEY, **settings)


def connection(**changes: Any) -> ServerConnection:
    """Of a worker for camera ipc1 with a main and a sub stream."""
    settings: dict[str, Any] = {
        "camera": "ipc1",
        "streams": ("stream1", "stream2"),
        "authenticator": authenticator(),
        "lockout": Lockout(),
        "address": "192.0.2.99",
        "secure": False,
        "now_ns": START_NS,
    }
    return ServerConnection(**(settings | changes))


def request(method: str, url: str = URL, *fields: str, cseq: int | str = 1, body: bytes = b"") -> bytes:
    """`fields` are whole header lines."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {url} RTSP/1.0", f"CSeq: {cseq}", *fields, *length, "", ""]).encode("latin-1") + body


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]  # names in lower case; of several equal ones the first
    body: bytes
    head: str

    @property
    def cseq(self) -> str | None:
        return self.headers.get("cseq")


def parse_replies(data: bytes) -> list[Reply]:
    """All replies in `data`, which must hold nothing else and no control character."""
    replies = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, head
        assert re.fullmatch(rb"(?:[\x20-\x7e]|\r\n)+", head), head
        status_line, *lines = head.decode().split("\r\n")
        found = re.fullmatch(r"RTSP/1\.0 ([0-9]{3}) .+", status_line)
        assert found, status_line
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), value)
        size = int(headers.get("content-length", "0"))
        replies.append(Reply(int(found[1]), headers, data[:size], head.decode()))
        data = data[size:]
    return replies


def digest(
    method: str,
    url: str,
    nonce: str,
    *,
    username: str = "viewer",
    password: str = "secret",
    uri: str | None = None,
    nc: int | None = None,
    algorithm: str = "MD5",
) -> str:
    """An Authorization header line; with `nc` as RFC 7616 with qop=auth, else as RFC 2069."""
    hash_ = {"MD5": md5, "SHA-256": sha256}[algorithm]

    def h(text: str) -> str:
        return hash_(text.encode()).hexdigest()

    uri = url if uri is None else uri
    ha1, ha2 = h(f"{username}:{REALM}:{password}"), h(f"{method}:{uri}")
    quality = ""
    middle = ""
    if nc is not None:
        middle = f"{nc:08x}:c0ffee:auth:"
        quality = f', qop=auth, nc={nc:08x}, cnonce="c0ffee"'
    response = h(f"{ha1}:{nonce}:{middle}{ha2}")
    named = "" if algorithm == "MD5" else f", algorithm={algorithm}"
    line = (
        f'Authorization: Digest username="{username}", realm="{REALM}", nonce="{nonce}", uri="{uri}", '
        f'response="{response}"{named}{quality}'
    )
    return line.encode().decode("latin-1")  # as bytes go over the wire


def nonce_of(reply: Reply) -> str:
    found = re.search(r'nonce="([0-9a-f]+)"', reply.headers["www-authenticate"])
    assert found
    return found[1]


def answer(server: ServerConnection, event: Event) -> None:
    """As a worker with media at hand, or a supervisor that knows no camera."""
    match event:
        case Describe():
            server.describe(SDP)
        case Setup():
            server.accept_setup(event.transport.channels, SSRC)
        case Play():
            server.accept_play(4711, 90_000, "npt=now-")
        case Announce() | Record() | Pause() | Teardown():
            server.accept()
        case OtherCamera():
            server.unknown_camera()
        case LoginFailed() | Media():
            pass


def exchange(server: ServerConnection, chunks: Iterable[bytes], now_ns: int = START_NS) -> tuple[list[Event], bytes]:
    """Feed all chunks, answer all events; returns events and reply bytes."""
    events = []
    output = b""
    for chunk in chunks:
        server.receive_data(chunk, now_ns)
        while (event := server.next_event(now_ns)) is not None:
            events.append(event)
            answer(server, event)
        output += server.data_to_send()
    return events, output


class Client:
    """Speaks to one ServerConnection, logs in when asked for it, counts CSeq."""

    def __init__(self, server: ServerConnection, username: str = "viewer", password: str = "secret") -> None:
        self.server = server
        self.username = username
        self.password = password
        self.now_ns = START_NS
        self.events: list[Event] = []
        self.nonce: str | None = None
        self.session: str | None = None
        self.cseq = 0

    def send(self, *chunks: bytes) -> list[Reply]:
        events, output = exchange(self.server, chunks, self.now_ns)
        self.events += events
        return parse_replies(output)

    def raw(self, method: str, url: str = URL, *fields: str, body: bytes = b"") -> Reply:
        """One request with just these fields."""
        self.cseq += 1
        (reply,) = self.send(request(method, url, *fields, cseq=self.cseq, body=body))
        assert reply.cseq == str(self.cseq)
        return reply

    def authorization(self, method: str, url: str = URL) -> str:
        if self.nonce is None:
            self.nonce = nonce_of(self.raw("DESCRIBE", url))
        return digest(method, url, self.nonce, username=self.username, password=self.password)

    def ask(self, method: str, url: str = URL, *fields: str, body: bytes = b"") -> Reply:
        """One request, with credentials and the session."""
        named = (
            [f"Session: {self.session}"] if self.session and not any(f.startswith("Session") for f in fields) else []
        )
        reply = self.raw(method, url, self.authorization(method, url), *named, *fields, body=body)
        if method == "SETUP" and reply.status == 200:
            self.session = reply.headers["session"].partition(";")[0]
        return reply

    def play(self, url: str = URL) -> None:
        """Up to PLAYING."""
        assert self.ask("DESCRIBE", url).status == 200
        assert self.ask("SETUP", url + "/trackID=0", f"Transport: {TCP}").status == 200
        assert self.ask("PLAY", url).status == 200


def kinds(events: Sequence[Event]) -> list[str]:
    return [type(event).__name__ for event in events]
