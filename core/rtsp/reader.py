"""Bytes to messages (RFC 2326 4-6, 10.12), whatever the cuts between them.

    stream  = *( *( empty line | stray bytes ) ( request | "$" channel length payload ) )
    request = method SP url SP "RTSP/1.0" EOL *( name ":" value EOL ) EOL [ body ]
    EOL     = CRLF | LF

Framing is decided before grammar: where the head ends and how long the body is. When that is known, a bad request costs
an error reply and the next one is read; when it is not, nothing after it can be trusted.
"""

import re

from .errors import RemoteProtocolError
from .message import Headers, InterleavedFrame, Request

MAX_HEAD_SIZE = 16 * 1024  # request line and headers; the largest seen of a real client is under 1.5 KiB
MAX_URL_SIZE = 2048  # as gortsplib; live555 takes 200
MAX_FIELDS = 64
MAX_BODY_SIZE = 64 * 1024  # only ANNOUNCE has one of use; as large as an interleaved frame
MAX_EMPTY_LINES = 8
MAX_STRAY_SIZE = 4096

_METHOD = rb"!#%&'*+\-.^_`|~0-9A-Za-z"  # RFC 2326 15.1 token without "$", which begins a frame
_EMPTY_LINES = re.compile(rb"(?:\r?\n)+")
# What cannot begin a message, such as the rest of an RTCP packet longer than its "$" header said: blanks, and
# everything up to a control or 8-bit character, or up to "$", that comes where a method should be.
_STRAY = re.compile(
    rb"(?:[ \t]++|[%b]*+(?:[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]|\r(?=[^\n]))|[%b]++(?=\$))+" % (_METHOD, _METHOD)
)
_BLANK_LINE = re.compile(rb"\n\r?\n")
# With the end of the line before: regular expressions that begin with a literal are searched ten times faster.
_FRAMING = re.compile(r"\n(content-length|transfer-encoding):[ \t]*([^\r\n]*)", re.IGNORECASE)
_CSEQ = re.compile(r"\ncseq:([^\r\n]*)(?=\r?\n)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # once CRLF is LF
_METHOD_TOKEN = re.compile(f"[{_METHOD.decode()}]+")
_FIELD_NAME = re.compile(f"[${_METHOD.decode()}]+")
_URL = re.compile(r"[!-~]+")


class Reader:
    """One direction of one connection. A message is taken in two steps, so that it can be given away whole."""

    __slots__ = ("_buffer", "_empty_lines", "_needed", "_searched", "_size", "_stray", "consumed")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._size = 0  # of the message that next_message returned, or of what it complained of
        self._needed = 1  # with fewer bytes next_message finds nothing
        self._searched = 0  # no blank line begins before this
        self._empty_lines = 0  # since the last message, as the stray bytes
        self._stray = 0
        self.consumed = 0

    def __len__(self) -> int:
        """Bytes not consumed yet."""
        return len(self._buffer)

    @property
    def leftover(self) -> bytes:
        return bytes(self._buffer)

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_message(self) -> Request | InterleavedFrame | None:
        """The same message until `advance`; None: incomplete. After a RemoteProtocolError `advance` as well."""
        if len(self._buffer) < self._needed:
            return None
        self._skip_to_message()
        if not self._buffer:
            return None
        return self._interleaved_frame() if self._buffer[0] == 0x24 else self._request()

    def advance(self) -> None:
        """Drop what next_message has found."""
        self._drop(self._size)
        self._size = self._searched = self._empty_lines = self._stray = 0
        self._needed = 1

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self.consumed += size

    def _lost(self, status: int, text: str, cseq: str | None = None) -> RemoteProtocolError:
        self._size = len(self._buffer)
        return RemoteProtocolError(status, text, framing_lost=True, cseq=cseq)

    def _skip_to_message(self) -> None:
        while True:
            if found := _EMPTY_LINES.match(self._buffer):
                self._empty_lines += found[0].count(b"\n")
            elif found := _STRAY.match(self._buffer):
                self._stray += found.end()
            else:
                return
            size = found.end()
            del found  # it holds the buffer
            self._drop(size)
            self._searched, self._needed = 0, 1  # a lone CR was looked at as a request
            if self._empty_lines > MAX_EMPTY_LINES:
                raise self._lost(400, f"more than {MAX_EMPTY_LINES} empty lines before a request")
            if self._stray > MAX_STRAY_SIZE:
                raise self._lost(400, f"more than {MAX_STRAY_SIZE} stray bytes before a request")

    def _interleaved_frame(self) -> InterleavedFrame | None:
        self._needed = 4
        if len(self._buffer) >= 4:
            self._needed += int.from_bytes(self._buffer[2:4], "big")
        if len(self._buffer) < self._needed:
            return None
        self._size = self._needed
        return InterleavedFrame(self._buffer[1], bytes(self._buffer[4 : self._size]))

    def _request(self) -> Request | None:
        found = _BLANK_LINE.search(self._buffer, self._searched, MAX_HEAD_SIZE)
        if found is None:
            if len(self._buffer) >= MAX_HEAD_SIZE:
                one_line = b"\n" not in self._buffer[:MAX_HEAD_SIZE] and b" " in self._buffer[:MAX_HEAD_SIZE]
                raise self._lost(414 if one_line else 400, f"request line and headers over {MAX_HEAD_SIZE} bytes")
            self._searched = max(0, len(self._buffer) - 2)  # "\n\r" may be half of the end
            self._needed = len(self._buffer) + 1
            return None
        body_start = found.end()
        head = self._buffer[:body_start].decode("latin-1")
        cseq = _parse_cseq(head)
        body_size = self._body_size(head, cseq)
        self._needed = body_start + body_size
        if len(self._buffer) < self._needed:
            return None
        self._size = self._needed
        try:
            method, url, headers = _parse_head(head)
            if cseq is None:
                raise RemoteProtocolError(400, "CSeq missing, ambiguous or not a number")
        except RemoteProtocolError as error:
            error.cseq = cseq
            raise
        return Request(method, url, cseq, headers, bytes(self._buffer[body_start : self._size]))

    def _body_size(self, head: str, cseq: str | None) -> int:
        values = {(name.lower(), value.rstrip(" \t")) for name, value in _FRAMING.findall(head)}
        if not values:
            return 0
        name, value = values.pop()
        if values or name != "content-length" or not (value.isascii() and value.isdigit()):
            raise self._lost(400, "body of unknown length", cseq)
        if len(value) > 9 or int(value) > MAX_BODY_SIZE:
            raise self._lost(413, f"body over {MAX_BODY_SIZE} bytes", cseq)
        return int(value)


def _parse_cseq(head: str) -> str | None:
    """Digits to be echoed; None when it is missing, something else, or said twice in different ways."""
    values = {value.strip(" \t") for value in _CSEQ.findall(head)}
    value = values.pop() if len(values) == 1 else ""
    return value if value.isascii() and value.isdigit() and len(value) <= 20 else None


def _parse_head(head: str) -> tuple[str, str, Headers]:
    """Method, URL and headers of a head with its last, empty line."""
    head = head.replace("\r\n", "\n")
    request_line, *lines = head.split("\n")[:-2]
    method, url = _parse_request_line(request_line)
    if _CONTROL.search(head):
        raise RemoteProtocolError(400, "control character in a header")
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line[0] in " \t" and fields:  # RFC 2616 4.2: a folded field
            name, value = fields.pop()
            fields.append((name, f"{value} {line.strip()}"))
            continue
        name, colon, value = line.partition(":")
        if not colon or not _FIELD_NAME.fullmatch(name):
            raise RemoteProtocolError(400, "header without a name")
        fields.append((name, value.strip(" \t")))
    if len(fields) > MAX_FIELDS:
        raise RemoteProtocolError(400, f"more than {MAX_FIELDS} headers")
    return method, url, Headers(fields)


def _parse_request_line(line: str) -> tuple[str, str]:
    rest, _, version = line.rstrip(" \t").rpartition(" ")
    if version != "RTSP/1.0":
        if version.startswith("RTSP/"):
            raise RemoteProtocolError(505, "version is not RTSP/1.0")
        if version.startswith("HTTP/"):
            raise RemoteProtocolError(505, "HTTP", framing_lost=True)
        raise RemoteProtocolError(400, "request line without a version", framing_lost=True)
    method, _, url = rest.partition(" ")
    url = url.strip(" ")
    if not _METHOD_TOKEN.fullmatch(method):
        raise RemoteProtocolError(400, "method is not a token")
    if len(url) > MAX_URL_SIZE:
        raise RemoteProtocolError(414, f"URL over {MAX_URL_SIZE} bytes")
    if not _URL.fullmatch(url):
        raise RemoteProtocolError(400, "URL missing, or with blanks or 8-bit characters")
    return method, url
