"""One connection as a client who plays one video track.

    OPTIONS -> DESCRIBE -> SETUP -> PLAY -> playing -> (sign of life) ... -> TEARDOWN
       each again after a 401, with the password

One request is under way at a time. Time-outs are the caller's: `waiting_since_ns` tells what he needs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from camfleet.core.sdp.parse import DescriptionError, VideoTrack, parse_video

from .credentials import Account, Credentials
from .errors import RedirectError, ServerError, printable
from .reader import Message, ServerRequest, ServerResponse, next_message
from .transport import UDPPorts, channels, server_ports, wanted
from .url import MAX_URL_SIZE

NS_PER_S = 1_000_000_000
USER_AGENT = "camfleet"
DEFAULT_TIMEOUT_S = 60  # RFC 2326 12.37
MIN_KEEP_ALIVE_S, MAX_KEEP_ALIVE_S = 1, 30
MAX_UNSENT_SIZE = 8192  # replies to a server that asks without end
_URL = re.compile(r"[!-~]+")
_SESSION = re.compile(r"([!-:<-~]{1,256})(?:[ \t]*;[ \t]*timeout[ \t]*=[ \t]*(\d{1,6}))?(?:[ \t;].*)?", re.IGNORECASE)
_MEANINGS = {
    403: "the user may not see it",
    404: "there is no such stream; check the `url`",
    453: "it has no room for another reader",
    461: "it does not offer this `transport`; try the other one",
    503: "it is not available now",
}


@dataclass(frozen=True, slots=True)
class Media:
    """What SETUP has settled."""

    track: VideoTrack
    channels: tuple[int, int]  # of RTP and RTCP when interleaved
    server_ports: UDPPorts | None  # when it is UDP and the server has said


class ClientConnection:
    """Bytes in, bytes out. Every method may raise ServerError; then the connection is of no more use."""

    def __init__(
        self,
        url: str,
        *,
        account: Account | None,
        open_ports: Callable[[], UDPPorts] | None,
        now_ns: int,
    ) -> None:
        """`url` has no user in it. `open_ports` is asked for ours before SETUP; None: RTP comes interleaved."""
        self.media: Media | None = None  # from SETUP on: some servers send before they have answered PLAY
        self.is_playing = False
        self.waiting_since_ns: int | None = None  # for an answer
        self._url = self._base = url
        self._credentials = Credentials(account)
        self._open_ports = open_ports
        self._output = bytearray()
        self._cseq = 0
        self._request: tuple[str, str, tuple[str, ...]] = ("", "", ())
        self._methods: frozenset[str] = frozenset()
        self._track: VideoTrack | None = None
        self._session = ""
        self._keep_alive_ns = MAX_KEEP_ALIVE_S * NS_PER_S
        self._last_request_ns = now_ns
        self._send("OPTIONS", url, now_ns)

    def data_to_send(self) -> bytes:
        data = bytes(self._output)
        self._output.clear()
        return data

    def receive(self, buffer: bytearray, now_ns: int) -> bool:
        """Take one message out of `buffer`, which does not begin with `$`. False: more bytes are needed."""
        message = next_message(buffer)
        if message is not None:
            self._take(message, now_ns)
        return message is not None

    @property
    def keep_alive_due_ns(self) -> int:
        return self._last_request_ns + self._keep_alive_ns

    def keep_alive(self, now_ns: int) -> None:
        """RFC 2326 10.8: GET_PARAMETER where the server knows it, as OPTIONS is not a sign of life to all."""
        if self.waiting_since_ns is None and now_ns >= self.keep_alive_due_ns:
            self._send("GET_PARAMETER" if "GET_PARAMETER" in self._methods else "OPTIONS", self._base, now_ns)

    def teardown(self, now_ns: int) -> None:
        if self._session:
            self._send("TEARDOWN", self._base, now_ns)

    def wait_no_more(self) -> None:
        """For an answer: while the media flows it is not missed."""
        self.waiting_since_ns = None

    # ---------------------------------------------------------------- answers

    def _take(self, message: Message, now_ns: int) -> None:
        if isinstance(message, ServerRequest):
            self._reply(message)
            return
        if self.waiting_since_ns is None or message.cseq != str(self._cseq):
            return  # an answer that nobody waits for any more
        if message.status == 100:
            return
        self.waiting_since_ns = None
        method, url, headers = self._request
        if message.status == 401:
            self._credentials.accept(message.headers.get_all("WWW-Authenticate"))
            self._send(method, url, now_ns, *headers)
            return
        self._credentials.accepted()
        if self.is_playing:
            self._check_sign_of_life(method, message)
        elif method == "OPTIONS":
            public = (message.headers.get_list("Public") or "") if message.status == 200 else ""
            self._methods = frozenset(name.strip().upper() for name in public.split(","))
            self._send("DESCRIBE", self._url, now_ns, "Accept: application/sdp")
        elif method == "DESCRIBE":
            self._described(message, now_ns)
        elif method == "SETUP":
            self._set_up(message, now_ns)
        else:
            self._check(message, method)
            self.is_playing = True

    def _check_sign_of_life(self, method: str, answer: ServerResponse) -> None:
        if answer.status == 454:
            raise ServerError("has forgotten the session")
        if answer.status in (405, 501, 551) and method == "GET_PARAMETER":
            self._methods -= {"GET_PARAMETER"}

    def _described(self, answer: ServerResponse, now_ns: int) -> None:
        if 300 <= answer.status < 400:
            raise RedirectError(_server_url(answer.headers.get("Location") or "", "redirects to what is no address"))
        self._check(answer, "DESCRIBE")
        base = answer.headers.get("Content-Base") or answer.headers.get("Content-Location") or self._url
        if urlsplit(base).scheme.lower() not in ("rtsp", "rtsps"):  # some write a path only
            base = urljoin("http" + self._url[4:], base).replace("http", "rtsp", 1)
        self._base = _server_url(base, "names a base address that is none")
        try:
            self._track = parse_video(answer.body)
        except DescriptionError as error:
            raise ServerError(f"sends a description that {error}") from None
        ports = self._open_ports() if self._open_ports else None
        self._send("SETUP", self._control(self._track.control), now_ns, wanted(ports))

    def _control(self, control: str) -> str:
        """RFC 2326 C.1.1. Relative to the base as a folder, as every client does, whether it ends in a slash or not."""
        if control in ("", "*"):
            return self._base
        if urlsplit(control).scheme:
            return _server_url(control, "names a track's address that is none")
        if control.startswith("/"):
            parts = urlsplit(self._base)
            return _server_url(f"{parts.scheme}://{parts.netloc}{control}", "names a track's address that is none")
        return _server_url(self._base.rstrip("/") + "/" + control, "names a track's address that is none")

    def _set_up(self, answer: ServerResponse, now_ns: int) -> None:
        self._check(answer, "SETUP")
        session = _SESSION.fullmatch(answer.headers.get("Session") or "")
        if session is None:
            raise ServerError("opens no session")
        self._session = session[1]
        timeout_s = int(session[2] or 0) or DEFAULT_TIMEOUT_S
        self._keep_alive_ns = min(max(timeout_s // 2, MIN_KEEP_ALIVE_S), MAX_KEEP_ALIVE_S) * NS_PER_S
        transport = answer.headers.get("Transport") or ""
        assert self._track is not None
        if self._open_ports is None:
            self.media = Media(self._track, channels(transport), None)
        else:
            self.media = Media(self._track, (0, 1), server_ports(transport))
        self._send("PLAY", self._base, now_ns, "Range: npt=0.000-")

    def _check(self, answer: ServerResponse, method: str) -> None:
        if answer.status == 200:
            return
        meaning = _MEANINGS.get(answer.status, printable(answer.reason))
        raise ServerError(f"answers {method} with {answer.status}: {meaning}")

    # ---------------------------------------------------------------- requests

    def _send(self, method: str, url: str, now_ns: int, *headers: str) -> None:
        self._request = (method, url, headers)
        self._cseq += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._cseq}", f"User-Agent: {USER_AGENT}"]
        lines += self._credentials.header(method, url)
        if self._session:
            lines.append(f"Session: {self._session}")
        self._output += "\r\n".join([*lines, *headers, "", ""]).encode()
        self._last_request_ns = now_ns
        self.waiting_since_ns = now_ns

    def _reply(self, request: ServerRequest) -> None:
        if len(self._output) > MAX_UNSENT_SIZE:
            raise ServerError("asks without waiting for answers")
        known = request.method in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")
        cseq = request.cseq if request.cseq.isascii() and request.cseq.isdigit() and len(request.cseq) <= 20 else "0"
        self._output += f"RTSP/1.0 {'200 OK' if known else '501 Not Implemented'}\r\nCSeq: {cseq}\r\n\r\n".encode()


def _server_url(url: str, wrong: str) -> str:
    """What a server gave as an address, fit for a request line."""
    if len(url) > MAX_URL_SIZE or not _URL.fullmatch(url) or not url.lower().startswith(("rtsp://", "rtsps://")):
        raise ServerError(wrong)
    return url
