"""RTP and RTCP of one video track, and the access units that a listener gets of it."""

from camfleet.core.rtp.depacketizer import Depacketizer
from camfleet.core.sdp.parse import VideoTrack

from ...clockmap import NS_PER_S
from ...codecs import AccessUnit
from ..arrivals import Arrival
from ..base import SourceError
from .clock import MediaClock
from .reports import Reports
from .session import Listener
from .units import UnitCompletion

SILENCE_TIMEOUT_NS = 10 * NS_PER_S  # without any RTP
MAX_AHEAD_NS = 2 * NS_PER_S  # pictures of a burst are a millisecond apart
TOO_FAST = "sends pictures faster than they can be shown; `ffmpeg -re` sends a film in its own time"
PICTURE_TIMEOUT_NS = 30 * NS_PER_S  # with RTP, but no picture to begin with; cameras have a key frame every 1 to 10 s


class TrackReceiver:
    """Belongs to one thread."""

    def __init__(
        self, track: VideoTrack, channels: tuple[int, int], listener: Listener, clock: MediaClock, now_ns: int
    ) -> None:
        """`channels`: of RTP and RTCP, where they are interleaved. Raises SourceError, as all that
        takes and delivers, for what nobody can want."""
        self.has_media = False
        self._channels = channels
        self._listener = listener
        self._clock = clock
        self._depacketizer = Depacketizer(track.codec, payload_type=track.payload_type)
        self._completion = UnitCompletion(track)
        self._reports = Reports(now_ns)
        self._packet_ns = self._picture_ns = now_ns
        self._received = 0
        self._left_out = 0
        if self._completion.description is not None:
            listener.described(self._completion.description)

    @property
    def skipped(self) -> int:
        """Access units that were damaged, or referred to such."""
        return self._left_out + self._depacketizer.damaged_units

    # ---------------------------------------------------------------- what comes

    def take_frame(self, buffer: bytearray, now_ns: int) -> bool:
        """Take `$` frames off the front (RFC 2326 10.12). False: the first is not all here."""
        if taken := self._depacketizer.take_frames(buffer, 0, self._channels[0], now_ns):
            del buffer[:taken]
            return True
        size = 4 + int.from_bytes(buffer[2:4]) if len(buffer) >= 4 else 4
        if len(buffer) < size:
            return False
        if buffer[1] == self._channels[1]:
            self.take_report(bytes(buffer[4:size]), now_ns)
        del buffer[:size]  # of a channel that nobody knows
        return True

    def take_packet(self, packet: bytes, now_ns: int) -> None:
        self._depacketizer.take_packet(packet, now_ns)

    def take_report(self, compound: bytes, now_ns: int) -> None:
        self._reports.receive(compound, self._depacketizer, now_ns)

    def deliver(self, now_ns: int) -> None:
        """What is complete."""
        reception = self._depacketizer.reception()
        if reception is not None and reception.received != self._received:
            self._received, self._packet_ns = reception.received, now_ns
            self.has_media = True
        for unit in self._depacketizer.take_units():
            data = self._completion.complete(unit)
            description = self._completion.description
            if data is None or description is None:
                self._left_out += 1
                continue
            self._picture_ns = now_ns
            capture_ns = self._clock.place(unit.timestamp, now_ns)
            if capture_ns - now_ns > MAX_AHEAD_NS:
                raise SourceError(TOO_FAST)
            self._listener.arrived(Arrival(AccessUnit(data, capture_ns, unit.key_frame), description))

    # ---------------------------------------------------------------- what is due

    @property
    def due_ns(self) -> int:
        """When to call `report`."""
        return self._reports.due_ns(self._key_frame_is_wanted)

    def report(self, now_ns: int) -> bytes:
        """RTCP for the sender; empty: none is due."""
        return self._reports.report(self._depacketizer, self._key_frame_is_wanted, now_ns)

    def report_frame(self, now_ns: int) -> bytes:
        """The same as a `$` frame."""
        report = self.report(now_ns)
        return b"$" + bytes([self._channels[1]]) + len(report).to_bytes(2) + report if report else b""

    @property
    def _key_frame_is_wanted(self) -> bool:
        """After a loss, or by a stream."""
        return self._depacketizer.needs_key_frame or self._listener.key_frame_is_wanted()

    def rest(self, now_ns: int) -> None:
        """Media is not to be expected yet."""
        self._packet_ns = self._picture_ns = now_ns

    @property
    def sender_has_left(self) -> bool:
        """It has said so (RFC 3550 6.6)."""
        return self._reports.sender_has_left

    def fault(self, now_ns: int) -> str:
        """Why nothing good will come any more; empty: it may."""
        if now_ns - self._packet_ns > SILENCE_TIMEOUT_NS:
            return f"has sent no media for {SILENCE_TIMEOUT_NS // NS_PER_S} s"
        if now_ns - self._picture_ns > PICTURE_TIMEOUT_NS:
            return f"has sent no key frame with its parameter sets for {PICTURE_TIMEOUT_NS // NS_PER_S} s"
        return ""
