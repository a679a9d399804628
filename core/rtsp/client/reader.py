"""Bytes of a server to responses and requests (RFC 2326 6, 7); `$` frames are taken out by others.

More is forgiven than the grammar allows: what cameras write is old. What could cost memory or time is not.
"""

import re
from dataclasses import dataclass

from ..message import Headers
from .errors import ServerError

MAX_HEAD_SIZE = 16 * 1024
MAX_FIELDS = 128
MAX_BODY_SIZE = 64 * 1024  # session descriptions of cameras have 0.5 to 3 KB
MAX_EMPTY_SIZE = 64  # blank lines before a message

_BLANK_LINE = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(r"RTSP/\d\.\d +(\d{3})(?: +(.*))?")
_REQUEST_LINE = re.compile(r"([A-Z_]{1,32}) +(\S+) +RTSP/\d\.\d")


@dataclass(frozen=True, slots=True)
class ServerResponse:
    status: int
    reason: str
    headers: Headers
    body: bytes

    @property
    def cseq(self) -> str:
        return self.headers.get("CSeq") or ""


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """RFC 2326 10: servers may ask for a sign of life, or announce something."""

    method: str
    cseq: str


Message = ServerResponse | ServerRequest


def next_message(buffer: bytearray) -> Message | None:
    """Takes the first message out of `buffer`, which does not begin with `$`; None: not all of it is here.

    Raises ServerError for what is not RTSP, or too much of it.
    """
    start = len(buffer) - len(buffer.lstrip(b"\r\n"))
    if start > MAX_EMPTY_SIZE:
        raise ServerError("sends blank lines instead of an answer")
    if start < len(buffer) and not buffer[start : start + 1].isalpha():
        raise ServerError("does not speak RTSP")
    end = _BLANK_LINE.search(buffer, start, start + MAX_HEAD_SIZE)
    if end is None:
        if len(buffer) - start >= MAX_HEAD_SIZE:
            raise ServerError(f"sends headers of more than {MAX_HEAD_SIZE} bytes")
        return None
    body_start = end.end()
    del end  # it holds the buffer
    first, *lines = buffer[start:body_start].decode("latin-1").replace("\r\n", "\n").split("\n")[:-2]
    headers = _headers(lines)
    size = body_start + _body_size(headers)
    if len(buffer) < size:
        return None
    body = bytes(buffer[body_start:size])
    del buffer[:size]
    if response := _STATUS_LINE.fullmatch(first):
        return ServerResponse(int(response[1]), (response[2] or "").strip(), headers, body)
    if request := _REQUEST_LINE.fullmatch(first):
        return ServerRequest(request[1], headers.get("CSeq") or "")
    raise ServerError("does not speak RTSP")


def _headers(lines: list[str]) -> Headers:
    if len(lines) > MAX_FIELDS:
        raise ServerError(f"sends more than {MAX_FIELDS} headers")
    return Headers(
        (name.strip(" \t"), value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)
    )


def _body_size(headers: Headers) -> int:
    text = headers.get("Content-Length") or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > MAX_BODY_SIZE:
        raise ServerError(f"sends a body of more than {MAX_BODY_SIZE} bytes, or of unknown length")
    return int(text)
