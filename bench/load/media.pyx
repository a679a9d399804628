"""Counting what arrives; see media.pxd."""

from libc.stdint cimport int16_t, int32_t
from camfleet.core.clock cimport NS_PER_S, unix_ns_from_ntp
from camfleet.core.octets cimport (
    OctetReader, octet_reader, take_octets, take_reader, take_u8, take_u16, take_u32, take_u64,
)
from camfleet.core.rtp.nal cimport NALFormat
from camfleet.core.rtp.packetizer cimport codec_of, format_of
from camfleet.core.rtp.rtcp cimport RTCP_SR

from typing import NamedTuple


# ---------------------------------------------------------------- frames

cdef void _count_delay(Delays *delays, int64_t delay_ns) noexcept nogil:
    cdef uint64_t us = <uint64_t>max(delay_ns, 0) // 1000
    cdef int shift = 0
    us = min(us, <uint64_t>0xFFFFFFFF)
    while us >> shift >= 32:
        shift += 1
    delays.buckets[(shift << 4) + (us >> shift)] += 1


# A step of the timestamp that is larger than 1.5 usual ones. The usual step follows slow changes of the frame rate, but
# learns nothing from a step in which packets are missing, nor from a stream whose frames are not in order of time.
cdef void _count_step(Track *track, bint lossless) noexcept nogil:
    cdef int32_t step = <int32_t>(track.timestamp - track.last_timestamp)
    if track.timed and step <= 0:
        track.reordered = True
    elif track.timed and not track.reordered:
        if track.interval and <uint32_t>step * 2 > track.interval * 3:
            track.frame_gaps += 1
            track.frames_missing += (<uint32_t>step + track.interval // 2) // track.interval - 1
        if not track.interval:
            track.interval = <uint32_t>step
        elif lossless:
            track.interval += <int32_t>(<uint32_t>step - track.interval) // 8
    track.timed = True
    track.last_timestamp = track.timestamp


cdef void _end_frame(Track *track, int64_t now_ns, int64_t unix_ns, Delays *delays) noexcept nogil:
    cdef int64_t ticks
    track.in_frame = False
    _count_step(track, not track.gap_before)
    track.gap_before = False
    if track.damaged or track.fragmented:
        track.frames_incomplete += 1
        return
    track.frames += 1
    if track.key:
        track.key_frames += 1
        if not track.first_key_ns:
            track.first_key_ns = now_ns
    if track.last_frame_ns:
        track.longest_ns = max(track.longest_ns, now_ns - track.last_frame_ns)
    track.last_frame_ns = now_ns
    if track.reported:
        ticks = <int32_t>(track.timestamp - track.report_timestamp)
        _count_delay(delays, unix_ns - track.report_unix_ns - ticks * NS_PER_S // track.clock_rate)


# ---------------------------------------------------------------- RFC 6184 and RFC 7798 payloads

cdef inline bint _is_key(const NALFormat *form, uint8_t kind) noexcept nogil:
    return form.key_frame >> kind & 1


cdef uint8_t _take_header(const NALFormat *form, OctetReader *unit) noexcept nogil:
    """The type of a NAL unit or of a payload."""
    cdef uint8_t first = take_u8(unit)
    take_octets(unit, form.header_size - 1)
    return (first & form.type_mask) >> form.type_shift


cdef void _payload(Track *track, OctetReader *payload) noexcept nogil:
    cdef const NALFormat *form = track.form
    cdef uint8_t kind = _take_header(form, payload), header
    cdef OctetReader unit
    if kind == form.fragmentation:
        header = take_u8(payload)
        if track.fragmented == (header & 0x80 != 0):      # a start inside a unit, or a middle outside
            track.damaged = True
        track.fragmented = header & 0x40 == 0
        if header & 0x80 and _is_key(form, header & form.type_mask >> form.type_shift):
            track.key = True
    else:
        if track.fragmented:
            track.damaged = True
        track.fragmented = False
        if _is_key(form, kind):
            track.key = True
        while kind == form.aggregation and payload.left and not payload.short:
            unit = take_reader(payload, take_u16(payload))
            if _is_key(form, _take_header(form, &unit)):
                track.key = True
    if payload.short:
        track.damaged = True


# ---------------------------------------------------------------- RFC 3550

cdef void track_rtp(Track *track, const uint8_t *packet, size_t size, int64_t now_ns, int64_t unix_ns,
                    Delays *delays) noexcept nogil:
    cdef OctetReader reader = octet_reader(packet, size)
    cdef uint8_t first = take_u8(&reader)
    cdef bint marker = take_u8(&reader) >> 7
    cdef uint16_t sequence = take_u16(&reader)
    cdef uint32_t timestamp = take_u32(&reader)
    cdef int16_t jump
    take_octets(&reader, 4 + 4 * (first & 0x0F))
    if first & 0x10:                                      # header extension, RFC 3550 5.3.1
        take_u16(&reader)
        take_octets(&reader, 4 * take_u16(&reader))
    if first & 0x20:                                      # padding
        if reader.left and (reader.at + reader.left - 1)[0] <= reader.left:
            reader.left -= (reader.at + reader.left - 1)[0]
        else:
            reader.short = True
    if reader.short or first >> 6 != 2:
        track.malformed += 1
        return
    track.packets += 1
    jump = <int16_t>(sequence - track.next_sequence)
    if not track.started:
        track.started = True
        track.first_sequence = sequence
        jump = 0
    if jump:
        track.sequence_gaps += 1
        track.packets_missing += max(jump, 0)
        track.damaged = True                              # the frame in progress; a new one begins sound below
    track.next_sequence = sequence + 1
    if track.form == NULL:
        return
    if track.in_frame and timestamp != track.timestamp:   # its marker did not come
        track.damaged = True
        _end_frame(track, now_ns, unix_ns, delays)
    if not track.in_frame:
        track.in_frame = True
        track.damaged = track.key = track.fragmented = False
        track.timestamp = timestamp
    if jump:
        track.gap_before = True
    _payload(track, &reader)
    if marker:
        _end_frame(track, now_ns, unix_ns, delays)


# The sender report of a compound packet, always its first one (RFC 3550 6.1).
cdef void track_rtcp(Track *track, const uint8_t *packet, size_t size) noexcept nogil:
    cdef OctetReader reader = octet_reader(packet, size)
    cdef uint8_t first = take_u8(&reader), kind = take_u8(&reader)
    cdef uint64_t ntp
    cdef uint32_t timestamp
    take_octets(&reader, 2 + 4)
    if reader.short or first >> 6 != 2:
        track.malformed += 1
        return
    if kind != RTCP_SR:
        return
    ntp = take_u64(&reader)
    timestamp = take_u32(&reader)
    if ntp and not reader.short:                          # 0: the sender has no wall clock (RFC 3550 6.4.1)
        track.reported = True
        track.report_unix_ns = unix_ns_from_ntp(ntp)
        track.report_timestamp = timestamp


# ---------------------------------------------------------------- for Python

class Counters(NamedTuple):
    packets: int
    malformed: int
    sequence_gaps: int
    packets_missing: int
    frames: int
    frames_incomplete: int
    key_frames: int
    frame_gaps: int
    frames_missing: int
    first_key_ns: int
    last_frame_ns: int
    longest_ns: int


cdef class Probe:
    cdef Track track
    cdef Delays delays

    def __cinit__(self, uint32_t clock_rate=90_000, str codec="h264"):
        self.track.form = format_of(<uint8_t>codec_of(codec))
        self.track.clock_rate = clock_rate

    def rtp(self, bytes packet, int64_t now_ns=0, int64_t unix_ns=0):
        track_rtp(&self.track, packet, len(packet), now_ns, unix_ns, &self.delays)

    def rtcp(self, bytes packet):
        track_rtcp(&self.track, packet, len(packet))

    def counters(self):
        cdef Track *track = &self.track
        return Counters(track.packets, track.malformed, track.sequence_gaps, track.packets_missing, track.frames,
                        track.frames_incomplete, track.key_frames, track.frame_gaps, track.frames_missing,
                        track.first_key_ns, track.last_frame_ns, track.longest_ns)

    def delay_histogram(self):
        return [self.delays.buckets[index] for index in range(DELAY_BUCKETS)]


def delay_us(bucket):
    shift = max(bucket // 16 - 1, 0)
    return ((bucket - 16 * shift + 1) << shift) - 1
