"""Responses as bytes."""

from .errors import LocalProtocolError
from .message import Response

REASONS = {  # RFC 2326 7.1.1
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Time-out",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    415: "Unsupported Media Type",
    451: "Parameter Not Understood",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    457: "Invalid Range",
    459: "Aggregate Operation Not Allowed",
    461: "Unsupported Transport",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "RTSP Version Not Supported",
    551: "Option not supported",
}


def write_response(response: Response) -> bytes:
    """Raises LocalProtocolError when a part would break out of its line."""
    reason = REASONS[response.status] + (f": {response.reason}" if response.reason else "")
    lines = [f"RTSP/1.0 {response.status} {reason}"]
    if response.cseq is not None:
        lines.append(f"CSeq: {response.cseq}")
    lines += [f"{name}: {value}" for name, value in response.headers]
    if response.body:
        lines.append(f"Content-Length: {len(response.body)}")
    if not ((text := "".join(lines)).isascii() and text.isprintable()):
        raise LocalProtocolError("control or 8-bit character in a response head")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + response.body
