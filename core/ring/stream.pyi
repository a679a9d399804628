from typing import NamedTuple

from camfleet.core.wire.succession import StreamNumbers
from typing_extensions import Buffer

class StreamCounters(NamedTuple):
    frames: int
    key_frames: int
    bytes: int  # of frame blocks, $ and RTP headers included
    packets: int
    last_key_frame_ns: int  # when it was due, 0 = none yet
    largest_key_frame: int
    readers: int
    overflows: int  # blocks that a fan-out thread was too late for

class StreamLatency(NamedTuple):
    """From a frame's capture to its last byte in the kernel, over all readers and the last 5 to 10 s; 0: no frame.

    Frames that were old when their turn came count too: a joiner's first key frame, a slow reader's backlog.
    """

    p50_ns: int
    p99_ns: int

class MediaStream:
    """What all readers of one stream share: SSRC, sequence, timestamps; where a pipeline thread puts access units."""

    def __init__(
        self,
        *,
        ntp_offset_ns: int,
        cname: bytes,
        codec: str = "h264",
        join: str = "force",
        payload_type: int = 96,
        ssrc: int | None = None,
        sequence: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """`join`: "force" (an encoder of ours answers `take_key_frame_request`), "newest" or "live" (pass-through).

        `ntp_offset_ns` maps the monotonic capture clock to Unix time. SSRC, first sequence number and timestamp base
        are random unless given.
        """

    join: str  # may be set at any time: the next joiner starts by it

    @property
    def codec(self) -> str:
        """Of the access units to come, "h264" or "h265". May be set before the first push, and by the pushing thread.

        Readers that were told another codec (`FanOut.prepare`) get RTCP BYE and are closed, in place of the first
        access unit of this one. They come back and ask anew what there is.
        """

    @codec.setter
    def codec(self, codec: str) -> None: ...

    ssrc: int
    payload_type: int
    def push(self, access_unit: Buffer, capture_ns: int, due_ns: int) -> int:
        """Packetize one access unit (Annex B) and show it to all fan-out threads; returns the block's bytes, 0
        when it was dropped (see `hold`).

        `capture_ns`: presentation time on the monotonic clock; RTP and NTP time come from it. `due_ns`: readers get it
        from then on, and never before the unit pushed before it. At most MAILBOX_SLOTS units may wait for their time.
        The GIL is released. Only one thread may push. Raises ValueError on a malformed access unit: nothing is sent.
        """

    def take_key_frame_request(self) -> bool:
        """True once after somebody wanted a key frame; the pipeline asks before it encodes a frame."""

    def request_key_frame(self) -> None: ...
    def hold(self) -> StreamNumbers:
        """From now on what is pushed is dropped; a push that is under way has been finished. Returns where the stream
        stands."""

    def go_on(self, numbers: StreamNumbers | None = None) -> None:
        """After `hold`: what leaves next is a key frame, captured later than all before, with the next numbers, or with
        those of another stream."""

    def rtp_timestamp(self, capture_ns: int) -> int: ...
    def counters(self) -> StreamCounters: ...
    def latency(self, now_ns: int) -> StreamLatency: ...
