"""The museum: one conversation per file in rtsp/, played against a ServerConnection for camera ipc1.

    # who does it, and where it was seen
    C: text     a line of the client, ended by CRLF; L: the same, ended by LF; X: bytes in hex
    S: text     a line of the next replies, in order, `*` for anything; S: ! text  this reply has no such line
    E: text     the next event's repr, `*` for anything
    T: seconds  time passes; nothing may be overdue

`{digest URI}` is the value of an Authorization as an RFC 2069 client makes it for this request, `{qop URI}` with
qop=auth, both over the newest nonce; `{session}` the newest session id. What the client says between two replies or
events is one segment, and is played byte by byte too. Every reply and every event must be told.
"""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.kit.rtsp import SECOND, START_NS, connection, digest, exchange, nonce_of, parse_replies

CONVERSATIONS = sorted((Path(__file__).parent / "rtsp").glob("*.rtsp"))


class Museum:
    """Plays one file."""

    def __init__(self, *, bytewise: bool) -> None:
        self.bytewise = bytewise
        self.server = connection()
        self.now_ns = START_NS
        self.nonce = self.session = ""
        self.nc = 0
        self.segment = b""
        self.request_line = ""
        self.replies: list[str] = []  # not told yet
        self.lines: list[str] = []  # of the reply that is being told, not told yet
        self.events: list[str] = []

    def play(self, text: str) -> None:
        kinds: dict[str, Callable[[str], None]] = {
            "C": self.client,
            "L": self.client_lf,
            "X": self.client_hex,
            "S": self.reply,
            "E": self.event,
            "T": self.time,
        }
        for line in text.splitlines():
            kind, _, content = line.partition(":")
            content = content.removeprefix(" ")
            if not line or kind.startswith("#"):
                continue
            if kind in ("S", "E", "T"):
                self.send()
            kinds[kind](content)
        self.send()
        assert self.replies == []
        assert self.events == []

    def client(self, text: str, end: str = "\r\n") -> None:
        if re.match(r"[A-Z_]+ ", text):
            self.request_line = text
        self.segment += re.sub(r"\{(\w+) ?(.*?)\}", self.fill, text).encode("latin-1") + end.encode()

    def client_lf(self, text: str) -> None:
        self.client(text, "\n")

    def client_hex(self, text: str) -> None:
        self.segment += bytes.fromhex(text)

    def time(self, text: str) -> None:
        self.now_ns += int(float(text) * SECOND)
        self.server.handle_timeout(self.now_ns)
        assert not self.server.should_close

    def reply(self, text: str) -> None:
        if text.startswith("RTSP/"):
            assert self.replies, "no such reply"
            self.lines = self.replies.pop(0).split("\r\n")
        if text.startswith("! "):
            assert not any(fnmatchcase(line, text[2:]) for line in self.lines)
            return
        found = [i for i, line in enumerate(self.lines) if fnmatchcase(line, text)]
        assert found, (text, self.lines)
        del self.lines[: found[0] + 1]

    def event(self, text: str) -> None:
        assert self.events, "no such event"
        event = self.events.pop(0)
        assert fnmatchcase(event, text), event

    def fill(self, found: re.Match[str]) -> str:
        if found[1] == "session":
            return self.session
        method = self.request_line.split(" ")[0]
        self.nc += 1
        line = digest(method, found[2], self.nonce, nc=self.nc if found[1] == "qop" else None)
        return line.removeprefix("Authorization: ")

    def send(self) -> None:
        if not self.segment:
            return
        assert self.replies == [], "a reply was not told"
        assert self.events == [], "an event was not told"
        size = 1 if self.bytewise else len(self.segment)
        chunks = [self.segment[i : i + size] for i in range(0, len(self.segment), size)]
        self.segment = b""
        events, output = exchange(self.server, chunks, self.now_ns)
        self.events = [repr(event) for event in events]
        replies = parse_replies(output)
        self.replies = [reply.head + "\r\n" + reply.body.decode() for reply in replies]
        for reply in replies:
            if "www-authenticate" in reply.headers:
                self.nonce = nonce_of(reply)
            self.session = reply.headers.get("session", self.session).partition(";")[0]


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("path", CONVERSATIONS, ids=[path.stem for path in CONVERSATIONS])
def test_conversation(path: Path, bytewise: bool) -> None:
    Museum(bytewise=bytewise).play(path.read_text())
