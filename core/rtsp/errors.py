"""Our mistakes, the peer's, and what we refuse."""

from collections.abc import Sequence

# Statuses for `ServerConnection.refuse`; its own are in the code that finds the reason.
FORBIDDEN = 403
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
PARAMETER_NOT_UNDERSTOOD = 451
NOT_ENOUGH_BANDWIDTH = 453  # RFC 2326 11.3.7; what clients know as "too many"
SESSION_NOT_FOUND = 454
SERVICE_UNAVAILABLE = 503


class LocalProtocolError(Exception):
    """The caller answered what was not asked, or something that cannot be said."""


class RemoteProtocolError(Exception):
    """The peer's bytes are not RTSP as we accept it.

    `status` is the answer; `framing_lost`: the next message cannot be found, so answer and close. `cseq` is the
    request's, where it could be read. The text names the rule and holds no byte of the peer's.
    """

    def __init__(self, status: int, text: str, *, framing_lost: bool = False, cseq: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.framing_lost = framing_lost
        self.cseq = cseq


class RefusalError(Exception):
    """A well-formed request is answered with an error. `reason` goes into the status line, where clients show it; it
    holds no byte of the peer's."""

    def __init__(self, status: int, headers: Sequence[tuple[str, str]] = (), reason: str = "") -> None:
        super().__init__(status, reason)
        self.status = status
        self.headers = headers
        self.reason = reason
