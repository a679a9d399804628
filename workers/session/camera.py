"""What a session asks of the registry that owns it."""

from typing import Protocol

from camfleet.core.net.fanout import FanOut
from camfleet.core.rtsp import Parameters
from camfleet.core.wire.control import Connection

from .stream import LiveStream


class Camera(Protocol):
    @property
    def fanout(self) -> FanOut: ...
    def stream(self, stream_id: str, parameters: Parameters) -> LiveStream:
        """Raises RefusalError when there is no such variant of it."""

    def named(self, name: str) -> LiveStream | None: ...
    def take_seat(self) -> bool:
        """Whether the camera may have one session more."""

    def leave_seat(self) -> None: ...
    def logged_in(self, connection: Connection) -> None: ...
    def login_failed(self, connection: Connection, user: str, now_ns: int) -> None: ...
