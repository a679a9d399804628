"""How a worker hands its camera to its successor: over one SOCK_SEQPACKET connection of theirs, a message per datagram.

    predecessor, which serves                     successor (listens at RUN/<its pid>.heir)
    Introduction                       -->        what is watched; it starts those pipelines, and encodes for nobody
                                       <--  Prepared | Unfit
    -- no frame and no answer leaves the predecessor from here on --
    Numbers                            -->        where each stream stands
    Part ..., MovingClient + descriptor -->       for each client
    Complete                           -->
                                       <--  Checked | Unfit    nothing is missing, and all of it can be used
    Commit + descriptor of the lock    -->        now the successor serves, and only now it touches a socket
    Latecomer + descriptor             -->        what the supervisor sent to the wrong one meanwhile

Until the Commit has been sent the predecessor can go on with everything as if nothing had been; who closes before it
changes nothing. RUN/<camera>.lock decides: whoever has it serves, and it is never free in between.

Times are of the monotonic clock, which all processes of a host share. A field may be added when its default means what
was so before; any other change raises SUCCESSION_VERSION, and a worker that meets another one is replaced with a cut.
"""

from typing import Any

import msgspec

from .control import Connection

SUCCESSION_VERSION = 1
# Unix(7): a datagram must fit into the socket's buffer, of 208 KiB on most systems. A client's bytes that make its
# MovingClient larger travel in Parts before it.
MAX_DATAGRAM_SIZE = 65_536
PART_SIZE = 49_152


def socket_name(pid: int) -> str:
    """In the run folder: where the successor with this pid listens."""
    return f"{pid}.heir"


class Datagram(msgspec.Struct, frozen=True, tag=True, tag_field="t"):
    """Base of all of these; the tag is the class name."""


class Introduction(Datagram, frozen=True, kw_only=True):
    version: int
    camera: str
    watched: list[str]  # names of streams that run now, as somebody wants them; a variant is "stream1?w=640"


class Prepared(Datagram, frozen=True, kw_only=True):
    pass


class Unfit(Datagram, frozen=True, kw_only=True):
    """The successor leaves."""

    reason: str


class StreamNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """Where the RTP stream of a MediaStream stands, so that another one goes on with its next packet (RFC 3550 5.1)."""

    codec: str = "h264"
    ssrc: int
    sequence: int  # of the next packet
    timestamp_base: int
    ntp_offset_ns: int
    packets: int  # of sender reports, as the octets: modulo 2^32
    octets: int
    last_report_ns: int
    newest_capture_ns: int  # of all that was pushed: times go on after it
    newest_due_ns: int = 0  # when the last of it is shown
    frames: int = 0
    key_frames: int = 0
    total_packets: int = 0
    total_bytes: int = 0


class Numbers(Datagram, frozen=True, kw_only=True):
    streams: dict[str, StreamNumbers]  # by name
    held_ns: int  # since when nothing has left


class ReaderState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the engine knows of a client beside its TLS session."""

    frame: bytes = b""  # the beginning of an interleaved frame of the client's
    skip: int = 0  # bytes still to come of one that is not looked at
    codec: str = ""  # that it counts on; empty: it takes what comes
    fraction_lost: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    bytes_acknowledged: int = 0
    frames_sent: int = 0
    frames_skipped: int = 0
    key_updates: int = 0
    last_alive_ns: int = 0
    last_progress_ns: int = 0


class SessionState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An RTSP session from its SETUP on."""

    id: str
    user: str
    stream: str
    url: str
    playing: bool
    range: str
    parameters: str = ""  # as a query
    recording: bool = False
    channels: dict[int, tuple[int, int]] = {}  # of announced media


class RTSPState(msgspec.Struct, frozen=True, kw_only=True):
    """What core.rtsp.ServerConnection knows of a client."""

    start_ns: int
    alive_ns: int
    incomplete_since_ns: int | None
    greeted: bool
    closing: bool  # after what waits is answered
    user: str | None  # who logged in last
    nonce: tuple[int, int]  # the highest time and count (RFC 7616 3.4)
    session: SessionState | None
    described: tuple[str, str] = ("", "")  # the stream that was told of last, if as a variant: its parameters
    announced: tuple[str, str, bytes] = ("", "", b"")  # stream, URL and session description; empty: nothing was
    pending: bytes = b""  # the request that waits for its answer
    pending_stream: str = ""
    received: bytes = b""  # after it, and not yet parsed

    def __repr__(self) -> str:
        """Without requests, which have credentials."""
        return f"RTSPState(user={self.user!r}, session={self.session is not None}, received={len(self.received)})"


class Part(Datagram, frozen=True, kw_only=True, gc=False):
    """Bytes that belong before those of the same name in the MovingClient of this id."""

    handoff: int
    unsent: bytes = b""
    received: bytes = b""


class MovingClient(Datagram, frozen=True, kw_only=True):
    """One client, with its descriptor."""

    connection: Connection
    session: bytes  # the TLS session's export; empty: plain
    unread: bytes  # the beginning of a record
    unsent: bytes  # must leave before anything else; sealed, if the connection is
    engine: ReaderState
    rtsp: RTSPState
    bound: str  # the name of its stream; empty: none yet
    described: tuple[str, str] = ("", "")  # by DESCRIBE: a stream's name and its codec
    rtp_channel: int
    paused: bool
    since_ns: int  # when the client came to the camera

    def __repr__(self) -> str:
        """Without the secrets, as HandoffRecord."""
        return f"MovingClient(handoff={self.connection.handoff}, tls={bool(self.session)}, unsent={len(self.unsent)})"


class Complete(Datagram, frozen=True, kw_only=True):
    clients: int


class Checked(Datagram, frozen=True, kw_only=True):
    pass


class Commit(Datagram, frozen=True, kw_only=True):
    """With the descriptor of RUN/<camera>.lock."""


class Latecomer(Datagram, frozen=True, kw_only=True):
    """A hand-off (control.Adopt and HandoffRecord) as the predecessor got it, with its descriptor."""

    connection: Connection
    received: bytes
    session: bytes
    unread: bytes

    def __repr__(self) -> str:
        return f"Latecomer(handoff={self.connection.handoff}, tls={bool(self.session)})"


_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(
    Introduction | Prepared | Unfit | Numbers | Part | MovingClient | Complete | Checked | Commit | Latecomer
)
_encoder = msgspec.msgpack.Encoder()


def encode(datagram: Datagram) -> bytes:
    return _encoder.encode(datagram)


def decode(data: bytes) -> Datagram:
    """Raises msgspec.DecodeError or ValidationError on anything else."""
    datagram: Datagram = _decoder.decode(data)
    return datagram
