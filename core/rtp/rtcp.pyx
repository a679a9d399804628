"""RTCP out and in; see rtcp.pxd.

 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|V=2|P|  count  |      PT       |   length (32-bit words - 1)   |   begins every packet, RFC 3550 6.4
|                      SSRC of the sender                       |
"""

from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset
from camfleet.core.octets cimport (
    OctetReader, OctetWriter, octet_reader, octet_writer, put_octets, put_u8, put_u16, put_u32, put_u64,
    put_zeros, take_octets, take_reader, take_u8, take_u16, take_u32, take_u64,
)
from camfleet.core.rtp.stream cimport INTERLEAVED_HEADER_SIZE
from camfleet.core.status cimport ERROR_INVALID, ERROR_SHORT

from typing import NamedTuple

cdef enum:
    VERSION_2 = 2 << 6
    PADDING = 1 << 5
    SDES_CNAME = 1
    FEEDBACK_PLI = 1
    FEEDBACK_FIR = 4


# ---------------------------------------------------------------- out

cdef void _put_header(OctetWriter *out, uint8_t count, uint8_t kind, size_t size, uint32_t ssrc) noexcept nogil:
    put_u8(out, VERSION_2 | count)
    put_u8(out, kind)
    put_u16(out, <uint16_t>(size // 4 - 1))
    put_u32(out, ssrc)


# RFC 3550 6.5: the list of items ends with one zero octet and is padded to a word with more of them.
cdef size_t _description_size(uint8_t cname_size) noexcept nogil:
    return 4 + 4 + (2 + cname_size + 1 + 3) // 4 * 4


cdef void _put_description(OctetWriter *out, uint32_t ssrc, const uint8_t *cname, uint8_t cname_size) noexcept nogil:
    cdef size_t size = _description_size(cname_size)
    _put_header(out, 1, RTCP_SDES, size, ssrc)
    put_u8(out, SDES_CNAME)
    put_u8(out, cname_size)
    put_octets(out, cname, cname_size)
    put_zeros(out, size - 8 - 2 - cname_size)


cdef void _put_interleaved(OctetWriter *out, const SenderReportSource *source, size_t size) noexcept nogil:
    put_u8(out, c'$')
    put_u8(out, source.channel)
    put_u16(out, <uint16_t>size)


cdef size_t sender_report_size(const SenderReportSource *source) noexcept nogil:
    return INTERLEAVED_HEADER_SIZE + 28 + _description_size(source.cname_size)


cdef int64_t write_sender_report(const SenderReportSource *source, uint64_t ntp, uint32_t rtp_timestamp, uint32_t packets,
                                 uint32_t octets, uint8_t *out, size_t capacity) noexcept nogil:
    cdef OctetWriter writer = octet_writer(out, capacity)
    if source.cname_size > MAX_CNAME_SIZE:
        return ERROR_INVALID
    _put_interleaved(&writer, source, 28 + _description_size(source.cname_size))
    _put_header(&writer, 0, RTCP_SR, 28, source.ssrc)
    put_u64(&writer, ntp)
    put_u32(&writer, rtp_timestamp)
    put_u32(&writer, packets)
    put_u32(&writer, octets)
    _put_description(&writer, source.ssrc, source.cname, source.cname_size)
    return ERROR_SHORT if writer.short else <int64_t>writer.size


# A BYE must not come first (RFC 3550 6.1): an empty receiver report stands before it, as nothing is known at that moment
# about packets sent that the last sender report has not said.
cdef int64_t write_bye(const SenderReportSource *source, uint8_t *out, size_t capacity) noexcept nogil:
    cdef OctetWriter writer = octet_writer(out, capacity)
    if source.cname_size > MAX_CNAME_SIZE:
        return ERROR_INVALID
    _put_interleaved(&writer, source, 8 + _description_size(source.cname_size) + 8)
    _put_header(&writer, 0, RTCP_RR, 8, source.ssrc)
    _put_description(&writer, source.ssrc, source.cname, source.cname_size)
    _put_header(&writer, 1, RTCP_BYE, 8, source.ssrc)
    return ERROR_SHORT if writer.short else <int64_t>writer.size


# SR, RR: RFC 3550 6.4; the block about the sender is drawn below. PLI has no FCI (RFC 4585 6.3.1.2).
cdef int64_t write_receiver_report(const ReceiverReport *report, const uint8_t *cname, uint8_t cname_size, uint8_t *out,
                                   size_t capacity) noexcept nogil:
    cdef OctetWriter writer = octet_writer(out, capacity)
    if cname_size > MAX_CNAME_SIZE:
        return ERROR_INVALID
    _put_header(&writer, 1, RTCP_RR, 8 + 24, report.ssrc)
    put_u32(&writer, report.sender)
    put_u32(&writer, <uint32_t>report.fraction_lost << 24 | (<uint32_t>report.cumulative_lost & 0xFFFFFF))
    put_u32(&writer, report.highest_sequence)
    put_u32(&writer, report.jitter)
    put_u32(&writer, report.last_report)
    put_u32(&writer, report.since_last)
    _put_description(&writer, report.ssrc, cname, cname_size)
    if report.key_frame_wanted:
        _put_header(&writer, FEEDBACK_PLI, RTCP_PSFB, 12, report.ssrc)
        put_u32(&writer, report.sender)
    return ERROR_SHORT if writer.short else <int64_t>writer.size


# ---------------------------------------------------------------- in

# RFC 3550 6.4.1, a report block of 24 octets:
# |                 SSRC_1 (SSRC of first source)                 |
# | fraction lost |       cumulative number of packets lost       |
# |           extended highest sequence number received           |
# |                      interarrival jitter                      |
# |  last SR (LSR)  |  delay since last SR (DLSR)
cdef void _read_report_blocks(OctetReader *body, uint8_t count, uint32_t ssrc, RTCPReport *report) noexcept nogil:
    cdef OctetReader block
    cdef uint32_t lost
    while count and not body.short:
        block = take_reader(body, 24)
        if take_u32(&block) == ssrc and not body.short:
            lost = take_u32(&block)
            report.receiver_report = True
            report.fraction_lost = <uint8_t>(lost >> 24)
            report.cumulative_lost = <int32_t>(lost << 8) >> 8
            take_u32(&block)
            report.jitter = take_u32(&block)
        count -= 1


# |                  SSRC of media source                         |
# :            Feedback Control Information (FCI)                 :   RFC 4585 6.1
# PLI names its target as media source; FIR has 0 there and names targets in entries of 8 octets (RFC 5104 4.3.1.1).
cdef void _read_feedback(OctetReader *body, uint8_t kind, uint32_t ssrc, RTCPReport *report) noexcept nogil:
    cdef uint32_t media = take_u32(body)
    if kind == FEEDBACK_PLI and media == ssrc and not body.short:
        report.key_frame_wanted = True
    while kind == FEEDBACK_FIR and body.left and not body.short:
        if take_u32(body) == ssrc and not body.short:
            report.key_frame_wanted = True
        take_u32(body)


cdef void _read_bye(OctetReader *body, uint8_t count, uint32_t ssrc, RTCPReport *report) noexcept nogil:
    cdef uint32_t bye_ssrc
    while count and not body.short:
        bye_ssrc = take_u32(body)
        if bye_ssrc != ssrc and not body.short:
            report.bye = True
            report.bye_ssrc = bye_ssrc
        count -= 1


# One packet of a compound; False when it is malformed. Only the last one may be padded (RFC 3550 6.4.1), and its padding
# is counted in whole words.
cdef bint _read_packet(OctetReader *data, uint32_t ssrc, RTCPReport *report) noexcept nogil:
    cdef uint8_t first = take_u8(data), kind = take_u8(data), count = first & 0x1F, padding
    cdef OctetReader body = take_reader(data, <size_t>take_u16(data) * 4)
    if data.short or first & 0xC0 != VERSION_2:
        return False
    if first & PADDING:
        padding = body.at[body.left - 1] if body.left else 0
        if data.left or padding == 0 or padding % 4 or padding > body.left:
            return False
        body.left -= padding
    if kind == RTCP_SR:
        report.sender = take_u32(&body)
        report.ntp = take_u64(&body)
        report.rtp_timestamp = take_u32(&body)
        report.sender_report = True
        take_octets(&body, 8)
        _read_report_blocks(&body, count, ssrc, report)
    elif kind == RTCP_RR:
        take_octets(&body, 4)
        _read_report_blocks(&body, count, ssrc, report)
    elif kind == RTCP_PSFB:
        take_octets(&body, 4)
        _read_feedback(&body, count, ssrc, report)
    elif kind == RTCP_BYE:
        _read_bye(&body, count, ssrc, report)
    return not body.short


cdef int parse_rtcp(const uint8_t *data, size_t size, uint32_t ssrc, RTCPReport *report) noexcept nogil:
    cdef OctetReader reader = octet_reader(data, size)
    cdef int packets = 0
    memset(report, 0, sizeof(RTCPReport))
    while reader.left:
        if not _read_packet(&reader, ssrc, report):
            return ERROR_INVALID
        packets += 1
    return packets if packets else ERROR_INVALID


# ---------------------------------------------------------------- for Python

class SenderInfo(NamedTuple):
    ssrc: int
    ntp: int
    rtp_timestamp: int


class Report(NamedTuple):
    packets: int
    receiver_report: bool
    fraction_lost: int
    cumulative_lost: int
    jitter: int
    key_frame_wanted: bool
    bye: bool
    sender: SenderInfo | None = None
    bye_ssrc: int | None = None


cdef SenderReportSource _source(uint32_t ssrc, uint8_t channel, bytes cname) except *:
    cdef SenderReportSource source
    if len(cname) > MAX_CNAME_SIZE:
        raise ValueError(f"CNAME of {len(cname)} bytes, at most {MAX_CNAME_SIZE}")
    source.ssrc = ssrc
    source.channel = channel
    source.cname_size = <uint8_t>len(cname)
    memcpy(source.cname, <const uint8_t *>cname, len(cname))
    return source


def sender_report(*, uint32_t ssrc, uint8_t channel, bytes cname, uint64_t ntp, uint32_t rtp_timestamp,
                  uint32_t packets, uint32_t octets, capacity=None):
    cdef SenderReportSource source = _source(ssrc, channel, cname)
    cdef uint8_t out[256]
    cdef size_t room = sender_report_size(&source) if capacity is None else min(capacity, 256)
    cdef int64_t written = write_sender_report(&source, ntp, rtp_timestamp, packets, octets, out, room)
    if written < 0:
        raise BufferError(f"{room} bytes are too few")
    return out[:written]


def bye(*, uint32_t ssrc, uint8_t channel, bytes cname, capacity=None):
    cdef SenderReportSource source = _source(ssrc, channel, cname)
    cdef uint8_t out[RTCP_BYE_SIZE_MAX]
    cdef size_t room = RTCP_BYE_SIZE_MAX if capacity is None else min(capacity, RTCP_BYE_SIZE_MAX)
    cdef int64_t written = write_bye(&source, out, room)
    if written < 0:
        raise BufferError(f"{room} bytes are too few")
    return out[:written]


def receiver_report(*, uint32_t ssrc, bytes cname, uint32_t sender, uint8_t fraction_lost, int32_t cumulative_lost,
                    uint32_t highest_sequence, uint32_t jitter, uint32_t last_report, uint32_t since_last,
                    bint key_frame_wanted):
    cdef uint8_t out[256]
    cdef ReceiverReport report
    report.ssrc = ssrc
    report.sender = sender
    report.fraction_lost = fraction_lost
    report.cumulative_lost = max(-0x800000, min(cumulative_lost, 0x7FFFFF))
    report.highest_sequence = highest_sequence
    report.jitter = jitter
    report.last_report = last_report
    report.since_last = since_last
    report.key_frame_wanted = key_frame_wanted
    if len(cname) > MAX_CNAME_SIZE:
        raise ValueError(f"CNAME of {len(cname)} bytes, at most {MAX_CNAME_SIZE}")
    return out[:write_receiver_report(&report, <const uint8_t *>cname, <uint8_t>len(cname), out, 256)]


def parse(const uint8_t[::1] data not None, uint32_t ssrc):
    cdef RTCPReport report
    cdef const uint8_t *place = &data[0] if len(data) else NULL
    cdef int packets = parse_rtcp(place, data.shape[0], ssrc, &report)
    if packets < 0:
        raise ValueError("malformed RTCP compound packet")
    return Report(packets, report.receiver_report, report.fraction_lost, report.cumulative_lost, report.jitter,
                  report.key_frame_wanted, report.bye,
                  SenderInfo(report.sender, report.ntp, report.rtp_timestamp) if report.sender_report else None,
                  report.bye_ssrc if report.bye else None)
