"""What a ServerConnection cannot decide alone. Each event waits for exactly one answer, but LoginFailed, Refused and
Media."""

from dataclasses import dataclass

from .announcement import Announcement
from .headers.range import Range
from .headers.transport import Transport
from .parameters import NO_PARAMETERS, Parameters


@dataclass(frozen=True, slots=True)
class Describe:
    """Answer with `describe` or `refuse`."""

    stream: str
    parameters: Parameters = NO_PARAMETERS


@dataclass(frozen=True, slots=True)
class Setup:
    """Answer with `accept_setup` (usually with `transport.channels`, which are free and consecutive) or `refuse`."""

    stream: str
    track: int  # 0, or which of the announced media
    transport: Transport
    parameters: Parameters = NO_PARAMETERS


@dataclass(frozen=True, slots=True)
class Play:
    """Answer with `accept_play` or `refuse`. `range` is well-formed; absent: from where the stream is."""

    stream: str
    range: Range | None


@dataclass(frozen=True, slots=True)
class Announce:
    """A client wants to publish. Answer with `accept` or `refuse`."""

    announcement: Announcement

    @property
    def stream(self) -> str:
        return self.announcement.stream


@dataclass(frozen=True, slots=True)
class Record:
    """What was announced begins, and its video is set up. Answer with `accept` or `refuse`."""

    stream: str


@dataclass(frozen=True, slots=True)
class Media:
    """A frame of a session that records, which came among requests. There is no answer to it."""

    channel: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Answer with `accept` or `refuse`."""

    stream: str


@dataclass(frozen=True, slots=True)
class Teardown:
    """Answer with `accept`; the session is over, the connection may set up another one."""

    stream: str


@dataclass(frozen=True, slots=True)
class OtherCamera:
    """The request is for another camera, whose worker checks the user. Here nobody did, unless we are a camera too.

    Give the connection away with `received`: all bytes from the first one of that request on (bytes that come later are
    added to `ServerConnection.leftover`), or answer with `unknown_camera` or `refuse`.
    """

    camera: str
    received: bytes


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """For the log and the other processes; answered already. `user` is what the client claimed, made printable."""

    user: str


@dataclass(frozen=True, slots=True)
class Refused:
    """For the log, answered already: somebody who has logged in was told `reason`, which holds no byte of his."""

    url: str  # as he writes it, less user and password
    reason: str


Event = Describe | Setup | Play | Announce | Record | Media | Pause | Teardown | OtherCamera | LoginFailed | Refused
