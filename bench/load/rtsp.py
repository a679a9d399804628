"""The client side of one RTSP session, sans-I/O: requests come out, answers go in, until the media flows.

    DESCRIBE -> (401 -> DESCRIBE with password) -> SETUP for each track -> PLAY -> playing -> TEARDOWN -> ended

Only interleaved TCP (RFC 2326 10.12). One request is under way at a time, as with every real client.
"""

import base64
import hashlib
import ipaddress
import re
import secrets
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

MAX_TRACKS = 4
DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
DEFAULT_TIMEOUT_S = 60  # RFC 2326 12.37
USER_AGENT = "camfleet-bench"
CODECS = {"H264": "h264", "H265": "h265"}  # by the encoding name of a=rtpmap
HASHES = {"": "md5", "MD5": "md5", "SHA-256": "sha256"}  # by the challenge's algorithm


class RefusedError(Exception):
    """The server's answer ends the attempt; the text is counted as the reason."""


@dataclass(frozen=True)
class StreamURL:
    """What to play, and as whom; `text` is without credentials."""

    text: str
    host: str
    port: int
    tls: bool
    user: str
    password: str

    @classmethod
    def parse(cls, url: str) -> "StreamURL":
        """Raises ValueError for anything but rtsp:// and rtsps:// with a host."""
        parts = urlsplit(url)
        text = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"{text}: not an rtsp:// or rtsps:// URL")
        try:
            port = parts.port or DEFAULT_PORTS[parts.scheme]
        except ValueError as error:
            raise ValueError(f"{text}: {error}") from None
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(text, parts.hostname, port, parts.scheme == "rtsps", user, password)

    @property
    def is_address(self) -> bool:
        """The host is a literal address: no SNI, and a certificate must name it as an address."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass
class Track:
    """One media section of the SDP; the channels are the server's once SETUP is answered."""

    control: str
    codec: str  # "h264", "h265"; empty: another one, of which only the numbering is looked at
    clock_rate: int
    rtp_channel: int
    rtcp_channel: int


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]  # names in lower case
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")


def parse_answer(message: bytes) -> Answer | None:
    """None for a request: servers may send OPTIONS or ANNOUNCE, which nobody must answer to get media."""
    head, _, body = message.partition(b"\r\n\r\n")
    line, *rest = head.decode("utf-8", "replace").split("\r\n")
    match = re.fullmatch(r"RTSP/1\.0 (\d{3}) ?(.*)", line)
    if not match:
        return None
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (text.partition(":") for text in rest)]
    return Answer(int(match[1]), match[2], headers, body)


def parse_tracks(sdp: str, base: str) -> list[Track]:
    """The video and audio sections, with absolute control URLs (RFC 2326 C.1.1) and channels 2k and 2k + 1."""
    tracks: list[Track] = []
    for section in re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)[1:]:
        control = re.search(r"^a=control:(\S+)", section, re.MULTILINE)
        mapping = re.search(r"^a=rtpmap:\d+ ([^/\s]+)/(\d+)", section, re.MULTILINE)
        if not section.startswith(("m=video", "m=audio")):
            continue
        encoding, rate = (mapping[1].upper(), int(mapping[2])) if mapping else ("", 90_000)
        name = control[1] if control else ""
        url = base if name in ("", "*") else urljoin(base, name) if "://" in name else base.rstrip("/") + "/" + name
        channel = 2 * len(tracks)
        tracks.append(Track(url, CODECS.get(encoding, ""), rate or 90_000, channel, channel + 1))
    return tracks[:MAX_TRACKS]


class Authorization:
    """Answers to WWW-Authenticate: Digest (RFC 7616, MD5 and SHA-256, with and without qop), else Basic inside TLS."""

    def __init__(self, url: StreamURL) -> None:
        self.url = url
        self.challenge: dict[str, str] = {}
        self.basic = False
        self.count = 0

    def accept(self, challenges: list[str]) -> bool:
        """Takes the first challenge that can be answered; False when there is none or the password was just refused."""
        for text in challenges:
            scheme, _, rest = text.partition(" ")
            fields = re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', rest)
            values = {name.lower(): quoted or bare for name, quoted, bare in fields}
            if scheme.lower() == "digest" and values.get("algorithm", "").upper() in HASHES:
                refused = bool(self.challenge) and values.get("stale", "").lower() != "true"
                self.challenge, self.count = values, 0
                return not refused
            if scheme.lower() == "basic" and self.url.tls and not self.basic:
                self.basic = True
                return True
        return False

    def header(self, method: str, uri: str) -> str:
        """The value of Authorization; empty before a challenge."""
        if self.basic:
            return "Basic " + base64.b64encode(f"{self.url.user}:{self.url.password}".encode()).decode()
        if not self.challenge:
            return ""
        name = HASHES[self.challenge.get("algorithm", "").upper()]

        def digest(text: str) -> str:
            return hashlib.new(name, text.encode()).hexdigest()

        realm, nonce = self.challenge.get("realm", ""), self.challenge.get("nonce", "")
        ha1, ha2 = digest(f"{self.url.user}:{realm}:{self.url.password}"), digest(f"{method}:{uri}")
        fields = f'Digest username="{self.url.user}", realm="{realm}", nonce="{nonce}", uri="{uri}"'
        if "algorithm" in self.challenge:
            fields += f", algorithm={self.challenge['algorithm']}"
        if "opaque" in self.challenge:
            fields += f', opaque="{self.challenge["opaque"]}"'
        if "auth" not in self.challenge.get("qop", "").replace(" ", "").split(","):
            return f'{fields}, response="{digest(f"{ha1}:{nonce}:{ha2}")}"'
        self.count += 1
        count, cnonce = f"{self.count:08x}", secrets.token_hex(8)
        response = digest(f"{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}")
        return f'{fields}, qop=auth, nc={count}, cnonce="{cnonce}", response="{response}"'


class Session:
    """One reader's conversation. `step` names what is under way; `tracks` are complete once it is "PLAY"."""

    def __init__(self, url: StreamURL) -> None:
        self.url = url
        self.step = "DESCRIBE"
        self.tracks: list[Track] = []
        self.timeout_s = DEFAULT_TIMEOUT_S
        self.promised_sequences: list[int] = []  # RTP-Info, one for each track or none
        self.authorization = Authorization(url)
        self.sequence = 0
        self.session_id = ""
        self.base = url.text
        self.configured = 0

    @property
    def playing(self) -> bool:
        return self.step == "playing"

    def start(self) -> bytes:
        return self._request("DESCRIBE", self.url.text, "Accept: application/sdp")

    def keep_alive(self) -> bytes:
        """OPTIONS is the one method that every server takes as a sign of life."""
        return self._request("OPTIONS", self.base)

    def teardown(self) -> bytes:
        self.step = "TEARDOWN"
        return self._request("TEARDOWN", self.base)

    def receive(self, message: bytes) -> bytes:
        """The next request; empty when there is nothing more to say. Raises RefusedError."""
        answer = parse_answer(message)
        if answer is None or answer.first("cseq") != str(self.sequence):
            return b""
        if self.step == "TEARDOWN":
            self.step = "ended"
            return b""
        if answer.status == 401 and self.authorization.accept(answer.all("www-authenticate")):
            if self.step == "DESCRIBE":
                self.step = "DESCRIBE with password"
            return self._repeat()
        if answer.status != 200:
            raise RefusedError(f"{self.step.split()[0]}: {answer.status} {answer.reason}")
        if self.step.startswith("DESCRIBE"):
            self._described(answer)
            return self._setup()
        if self.step == "SETUP":
            self._set_up(answer)
            return self._setup() if self.configured < len(self.tracks) else self._play()
        if self.step == "PLAY":
            sequences = [int(text) for text in re.findall(r"seq=(\d+)", answer.first("rtp-info"))]
            self.promised_sequences = sequences if len(sequences) == len(self.tracks) else []
            self.step = "playing"
        return b""

    def _described(self, answer: Answer) -> None:
        self.base = answer.first("content-base") or answer.first("content-location") or self.url.text
        self.tracks = parse_tracks(answer.body.decode("utf-8", "replace").replace("\r\n", "\n"), self.base)
        if not any(track.codec for track in self.tracks):
            raise RefusedError("DESCRIBE: no H.264 or H.265 in the SDP")

    def _setup(self) -> bytes:
        self.step = "SETUP"
        track = self.tracks[self.configured]
        transport = f"RTP/AVP/TCP;unicast;interleaved={track.rtp_channel}-{track.rtcp_channel}"
        return self._request("SETUP", track.control, f"Transport: {transport}")

    def _set_up(self, answer: Answer) -> None:
        channels = re.search(r"interleaved=(\d+)-(\d+)", answer.first("transport"))
        self.session_id, _, parameters = answer.first("session").partition(";")
        timeout = re.search(r"timeout=(\d+)", parameters)
        if not channels or not self.session_id:
            raise RefusedError("SETUP: no interleaved channels or no session in the answer")
        track = self.tracks[self.configured]
        track.rtp_channel, track.rtcp_channel = int(channels[1]) & 255, int(channels[2]) & 255
        self.timeout_s = int(timeout[1]) if timeout else DEFAULT_TIMEOUT_S
        self.configured += 1

    def _play(self) -> bytes:
        self.step = "PLAY"
        return self._request("PLAY", self.base, "Range: npt=0.000-")

    def _request(self, method: str, url: str, *headers: str) -> bytes:
        self._last = (method, url, headers)
        return self._repeat()

    def _repeat(self) -> bytes:
        method, url, headers = self._last
        self.sequence += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self.sequence}", f"User-Agent: {USER_AGENT}"]
        authorization = self.authorization.header(method, url)
        if authorization:
            lines.append(f"Authorization: {authorization}")
        if self.session_id:
            lines.append(f"Session: {self.session_id}")
        return "\r\n".join([*lines, *headers, "", ""]).encode()
