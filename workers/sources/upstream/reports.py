"""What a receiver tells the sender (RFC 3550 6.4.2): when and what, for one stream."""

import os

from camfleet.core.rtp import rtcp
from camfleet.core.rtp.depacketizer import Depacketizer

from ...clockmap import NS_PER_S
from ..base import SourceError

REPORT_INTERVAL_NS = 5 * NS_PER_S  # RFC 3550 6.2
KEY_FRAME_INTERVAL_NS = NS_PER_S  # who cannot give one is not asked all the time
MAX_HEARD = 500  # a second; senders have a report every five, and Python reads it


class Reports:
    """A report every 5 s; at once, but not more than once a second, when a key frame is wanted (PLI, RFC 4585)."""

    def __init__(self, now_ns: int) -> None:
        self.sender_has_left = False
        self._ssrc = int.from_bytes(os.urandom(4))
        self._due_ns = now_ns + REPORT_INTERVAL_NS
        self._key_frame_due_ns = now_ns + KEY_FRAME_INTERVAL_NS // 2  # it usually comes by itself
        self._expected = self._received = 0
        self._sender_ntp = self._sender_came_ns = 0
        self._heard, self._heard_since_ns = 0, now_ns

    def due_ns(self, key_frame_wanted: bool) -> int:
        return min(self._due_ns, self._key_frame_due_ns) if key_frame_wanted else self._due_ns

    def report(self, depacketizer: Depacketizer, key_frame_wanted: bool, now_ns: int) -> bytes:
        """Empty when nothing is due."""
        if now_ns < self.due_ns(key_frame_wanted):
            return b""
        reception = depacketizer.reception()
        if reception is None:
            self._due_ns = now_ns + REPORT_INTERVAL_NS
            self._key_frame_due_ns = now_ns + KEY_FRAME_INTERVAL_NS // 2
            return b""
        wanted = key_frame_wanted and now_ns >= self._key_frame_due_ns
        if wanted:
            self._key_frame_due_ns = now_ns + KEY_FRAME_INTERVAL_NS
        self._due_ns = now_ns + REPORT_INTERVAL_NS
        expected, received = reception.expected - self._expected, reception.received - self._received
        self._expected, self._received = reception.expected, reception.received
        lost = max(0, expected - received)
        since_ns = now_ns - self._sender_came_ns
        return rtcp.receiver_report(
            ssrc=self._ssrc,
            cname=b"camfleet",
            sender=reception.ssrc,
            fraction_lost=min(255, lost * 256 // expected) if expected > 0 else 0,
            cumulative_lost=reception.expected - reception.received,
            highest_sequence=reception.highest_sequence & 0xFFFF_FFFF,
            jitter=reception.jitter,
            last_report=self._sender_ntp >> 16 & 0xFFFF_FFFF,
            since_last=since_ns * 65_536 // NS_PER_S & 0xFFFF_FFFF if self._sender_ntp else 0,
            key_frame_wanted=wanted,
        )

    def receive(self, compound: bytes, depacketizer: Depacketizer, now_ns: int) -> None:
        """What the sender says; what is malformed, or of somebody else, is passed over. Raises SourceError for a flood
        of it."""
        if now_ns - self._heard_since_ns >= NS_PER_S:
            self._heard, self._heard_since_ns = 0, now_ns
        self._heard += 1
        if self._heard > MAX_HEARD:
            raise SourceError(f"sends more than {MAX_HEARD} reports (RTCP) a second")
        reception = depacketizer.reception()
        if reception is None:
            return
        try:
            said = rtcp.parse(compound, self._ssrc)
        except ValueError:
            return
        if said.sender is not None and said.sender.ssrc == reception.ssrc:
            self._sender_ntp, self._sender_came_ns = said.sender.ntp, now_ns
        self.sender_has_left = self.sender_has_left or said.bye_ssrc == reception.ssrc
