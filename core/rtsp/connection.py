"""One client connection as a server sees it (door first, inside in work)."""

from collections.abc import Mapping

from .digest import Authenticator
from .events import Event
from .lockout import Lockout


class ServerConnection:
    """Bytes in, events and bytes out; see docs/architecture.md, RTSP.

    `streams`: stream id -> source kind ("testlive"), the first is the default one. `camera` None: the supervisor's
    use, every URL that names a camera is OtherCamera. `address`: the peer's host, `secure`: inside TLS.

    The caller's loop: `receive_data`, then `next_event` until it returns None, then `data_to_send`; the same after each
    answer. When `should_close`, close after what `data_to_send` gave.
    """

    user: str | None  # who has logged in
    session_id: str | None
    stream: str | None  # of the session
    state: str  # "init" | "ready" | "playing"

    def __init__(
        self,
        *,
        camera: str | None,
        streams: Mapping[str, str],
        authenticator: Authenticator,
        lockout: Lockout,
        address: str,
        secure: bool,
        session_timeout_s: int = 60,
        first_request_timeout_s: float = 10,
        server: str | None = "camfleet",
        now_ns: int,
    ) -> None: ...

    def receive_data(self, data: bytes, now_ns: int) -> None:
        """Bytes from the peer; empty data means nothing (the caller notices the end of the connection)."""

    def next_event(self, now_ns: int) -> Event | None:
        """None: nothing to decide now, or the last event is not answered yet (pipelined requests wait)."""
        raise NotImplementedError

    def data_to_send(self) -> bytes:
        """Reply bytes; handed out once."""
        raise NotImplementedError

    @property
    def consumed(self) -> int:
        """Bytes parsed of all that `receive_data` got (FanOut.consumed); the request of an OtherCamera is not."""
        raise NotImplementedError

    @property
    def at_boundary(self) -> bool:
        """Nothing is left over: the next byte begins a message."""
        raise NotImplementedError

    @property
    def leftover(self) -> bytes:
        """What was received and not consumed: after an OtherCamera, all that the next owner must get."""
        raise NotImplementedError

    @property
    def should_close(self) -> bool:
        raise NotImplementedError

    def next_deadline(self) -> int | None:
        """When to call `handle_timeout`; it moves with every call of this object."""
        raise NotImplementedError

    def handle_timeout(self, now_ns: int) -> None:
        """Something is overdue: close, after a 408 when the peer is in the middle of a request."""

    def alive(self, now_ns: int) -> None:
        """Life seen elsewhere: RTCP, or bytes that the peer acknowledged."""

    # ---- answers, each to the event that waits; LocalProtocolError if another one or none does

    def describe(self, sdp: str) -> None: ...

    def accept_setup(self, channels: tuple[int, int], ssrc: int) -> None: ...

    def accept_play(self, sequence: int | None, rtp_timestamp: int | None, range: str) -> None:
        """`range` is the Range header's value, "npt=now-" for a live stream. Without a sequence no RTP-Info is sent."""

    def accept(self) -> None:
        """Pause or Teardown is done."""

    def refuse(self, status: int, reason: str = "") -> None:
        """Any event; `reason` replaces the standard phrase."""

    def unknown_camera(self) -> None:
        """Answer OtherCamera: 401 without or with wrong credentials, 404 with right ones, OPTIONS as always."""
