from collections.abc import Iterator
from typing import NamedTuple

from camfleet.core.net.inlet import Inlet
from camfleet.core.ring.stream import MediaStream
from camfleet.core.wire.succession import ReaderState

class Received(NamedTuple):
    """RTSP text (and whatever follows it until `consumed(at_boundary=True)`), already decrypted.

    Empty: in the middle of that the peer has said its last word, and may still listen. Close the client when it has its
    answers.
    """

    client: int
    data: bytes

class Ready(NamedTuple):
    """A reader's first frame is known: answer PLAY with these values, then call `play`.

    `preparation` is 1 for the client's first `prepare` and so on: an event may have been under way when the client
    paused and prepared again.
    """

    client: int
    sequence: int
    rtp_timestamp: int
    preparation: int

class Closed(NamedTuple):
    """The connection is gone and its descriptor closed; `reason` and `detail` are for logs."""

    client: int
    reason: str
    detail: str
    bytes_sent: int
    frames_sent: int
    frames_skipped: int

class Released(NamedTuple):
    """A connection given up for a hand-back: descriptor, exported TLS session (empty: plain), unread ciphertext."""

    client: int
    descriptor: int
    session: bytes
    unread: bytes

class Moved(NamedTuple):
    """A connection given up by `move`, at once and whatever it was doing. `unsent` has to leave before anything else;
    it is sealed already. All frames of before have left or are in it, and a frame is never cut."""

    client: int
    descriptor: int
    session: bytes
    unread: bytes
    unsent: bytes
    state: ReaderState

Event = Received | Ready | Closed | Released | Moved

class ReaderCounters(NamedTuple):
    client: int
    bytes_sent: int
    frames_sent: int
    frames_skipped: int
    bytes_received: int
    playing: bool
    fraction_lost: int  # of the last receiver report, /256
    last_received_ns: int  # monotonic; any byte from the peer, and bytes that it acknowledged, are life
    lag_ns: int
    key_updates: int  # TLS KeyUpdates that we sent

class LiveObjects(NamedTuple):
    """Of the whole process; all 0 when every engine and stream is gone."""

    blocks: int
    clients: int
    items: int  # commands and events under way

def live_objects() -> LiveObjects: ...

class FanOut:
    """The one owner of every adopted descriptor. `run` is the body of a thread that never holds the GIL.

    All other methods may be called from any Python thread; they only queue a command. Commands of one client are
    carried out in order. A command for a client that is already closed is ignored.

    Each command wakes the thread; those of a `with` block wake it once, at the end.
    """

    def __init__(
        self,
        *,
        stall_timeout_s: float = 10.0,
        max_lag_s: float = 2.0,
        key_update_records: int = 4_194_304,
        key_update_spacing_s: float = 10.0,
        pages_from: int = 8,
    ) -> None:
        """A reader is closed when its peer took nothing for `stall_timeout_s`, and gives up frames when it has not
        been up to date for `max_lag_s`. A stream with `pages_from` plain readers keeps its frames as pages for sendfile
        too, where the kernel gives no huge pages for them. Raises OSError when the process has no descriptors left."""

    @property
    def event_fd(self) -> int:
        """Readable while events wait."""

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    def run(self) -> None: ...
    def stop(self) -> None:
        """Close every descriptor at once and let `run` return. For an orderly end `close` each client before."""

    def set_limits(self, stall_timeout_s: float, key_update_records: int, key_update_spacing_s: float) -> None:
        """Other ones than at the construction, for all who are here and all who come."""

    def add_stream(self, stream: MediaStream) -> None: ...
    def remove_stream(self, stream: MediaStream) -> None:
        """Close its readers before: for who still plays it the media ends, and nothing else. Its memory is free again
        when `events` has been called after that."""

    def adopt(
        self,
        descriptor: int,
        session: bytes = b"",
        unread: bytes = b"",
        in_text: bool = False,
        unsent: bytes = b"",
        state: ReaderState | None = None,
    ) -> int:
        """Take over a connected socket; returns the client id. `session` is core.tls.Session.export, empty for plain.

        `in_text`: the caller holds the beginning of a message, or has no inlet yet for what the client publishes, so
        even a `$` is text until `consumed` says otherwise.
        `unsent` and `state` are those of a Moved, for a client of another engine.
        Raises ValueError when the session cannot be imported, or the engine has stopped or is full; the descriptor is
        then still the caller's.
        """

    def send(self, client: int, data: bytes) -> None:
        """Queue RTSP text; it leaves at the next frame boundary."""

    def consumed(self, client: int, total: int, at_boundary: bool, reply: bytes = b"") -> None:
        """Send `reply`, as by `send`. Flow control: `total` bytes of the client's Received data have been parsed since
        adoption; `at_boundary`: nothing is left over and no answer owed, so the next `$` begins an interleaved frame
        that the engine may handle itself, and the peer's last word ends the connection."""

    def prepare(self, client: int, stream: MediaStream, rtp_channel: int, rtcp_channel: int, codec: str = "") -> None:
        """Find the first frame for this reader (design section 4, joining); a Ready event follows.

        `codec`: what it was told that the stream is; as soon as that is not true it gets an orderly end, as by `close`.
        Empty: it was told nothing, and what comes first counts.
        """

    def play(self, client: int, reply: bytes) -> None:
        """After Ready: send the PLAY answer, then media."""

    def go_on(self, client: int, stream: MediaStream, rtp_channel: int, rtcp_channel: int, sequence: int) -> None:
        """For a client that has played at another engine: media from the frame on that begins with this packet."""

    def record(self, client: int, inlet: Inlet, rtp_channel: int, rtcp_channel: int) -> None:
        """What the client sends on these channels goes to the inlet, until `pause` or `end`."""

    def pause(self, client: int) -> None: ...
    def end(self, client: int) -> None:
        """Stop the media, to a reader with an RTCP BYE; the connection stays."""

    def close(self, client: int, data: bytes = b"") -> None:
        """Orderly end: `data`, RTCP BYE when playing, close_notify, FIN; bounded by one second."""

    def release(self, client: int) -> None:
        """Give the connection up at a boundary for a hand-back; a Released event (or Closed) follows."""

    def move(self, client: int) -> None:
        """Give the connection up at once, to go on at another engine; a Moved event (or Closed) follows, unless it is
        being closed or released already. Frames pushed before this have left, or go along."""

    def events(self) -> list[Event]: ...
    def readers(self) -> Iterator[ReaderCounters]:
        """All at the moment of the first, each made when its turn comes."""
