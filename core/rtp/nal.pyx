"""From an access unit to its packets; see nal.pxd.

One walk over the access unit, `_packetize`, serves measuring (a writer that only counts) and writing. Consecutive NAL
units that fit into one packet together are aggregated: SEI + SPS + PPS cost one packet, not three. A unit that fits
alone becomes a single NAL unit packet, a larger one fragments of the largest size (UDP_SEGMENT wants equal sizes but the
last).
"""

from libc.stdint cimport uint16_t
from libc.string cimport memcmp, memcpy, memset
from camfleet.core.octets cimport OctetWriter, octet_counter, octet_writer, put_octets, put_space, put_u8, put_u16
from camfleet.core.rtp.annexb cimport AnnexBReader, NALUnit, annexb_next, annexb_open
from camfleet.core.rtp.stream cimport MAX_PACKETS, MAX_PAYLOAD_SIZE, put_headers
from camfleet.core.status cimport ERROR_INVALID, ERROR_SHORT, STATUS_OK

cdef enum:
    USER_DATA_UNREGISTERED = 5              # SEI payload type; it begins with a UUID
    UUID_SIZE = 16


cdef inline uint8_t _type(const NALFormat *form, const NALUnit *unit) noexcept nogil:
    return (unit.data[0] & form.type_mask) >> form.type_shift


cdef inline uint8_t _with_type(const NALFormat *form, uint8_t first, uint8_t kind) noexcept nogil:
    return (first & ~form.type_mask) | <uint8_t>(kind << form.type_shift)


# x264 and x265 write their version and all their settings into the first access unit: 700 bytes and more about the
# encoder that are none of a reader's business. Other user data (time stamps, vendor data of a passed-through camera) is
# left alone. The payload size of an SEI message is a run of 255 and a last byte; the encoders put no second message into
# the unit.
cdef bint _is_settings(const NALFormat *form, const NALUnit *unit) noexcept nogil:
    cdef size_t at = form.header_size + 1
    if _type(form, unit) != form.sei or unit.size < at or unit.data[at - 1] != USER_DATA_UNREGISTERED:
        return False
    while at < unit.size and unit.data[at] == 255:
        at += 1
    at += 1
    return at + UUID_SIZE <= unit.size and memcmp(unit.data + at, form.settings, UUID_SIZE) == 0


cdef bint _next_sent(const NALFormat *form, AnnexBReader *reader, NALUnit *unit) noexcept nogil:
    while annexb_next(reader, unit):
        if unit.size >= form.header_size and not form.unsent >> _type(form, unit) & 1 and not _is_settings(form, unit):
            return True
    return False


cdef void _put_aggregate(const NALFormat *form, RTPStream *stream, uint32_t timestamp, NALUnit unit,
                         AnnexBReader others, size_t size, bint last, OctetWriter *out) noexcept nogil:
    cdef uint8_t header[2]
    cdef uint8_t *place
    memcpy(header, unit.data, form.header_size)
    put_headers(stream, timestamp, last, size, out)
    place = put_space(out, form.header_size)
    size -= form.header_size
    while True:
        put_u16(out, <uint16_t>unit.size)
        put_octets(out, unit.data, unit.size)
        form.cover(header, unit.data)
        size -= 2 + unit.size
        if not size:
            break
        _next_sent(form, &others, &unit)
    if place != NULL:
        header[0] = _with_type(form, header[0], form.aggregation)
        memcpy(place, header, form.header_size)


cdef void _put_fragments(const NALFormat *form, RTPStream *stream, uint32_t timestamp, const NALUnit *unit,
                         bint last_unit, OctetWriter *out) noexcept nogil:
    cdef size_t at = form.header_size, size
    cdef uint8_t start = 0x80, end = 0
    while at < unit.size:
        size = min(unit.size - at, MAX_PAYLOAD_SIZE - form.header_size - 1)
        if at + size == unit.size:
            end = 0x40
        put_headers(stream, timestamp, last_unit and end != 0, form.header_size + 1 + size, out)
        put_u8(out, _with_type(form, unit.data[0], form.fragmentation))
        put_octets(out, unit.data + 1, form.header_size - 1)
        put_u8(out, start | end | _type(form, unit))
        put_octets(out, unit.data + at, size)
        at += size
        start = 0


cdef int _packetize(const NALFormat *form, RTPStream *stream, const uint8_t *access_unit, size_t size,
                    uint32_t timestamp, OctetWriter *out, Access *access) noexcept nogil:
    cdef AnnexBReader reader, others
    cdef NALUnit unit, following
    cdef uint32_t before = stream.packets
    cdef uint64_t types = 0
    cdef size_t together
    cdef bint more
    if annexb_open(&reader, access_unit, size) < 0 or not _next_sent(form, &reader, &unit):
        return ERROR_INVALID
    while True:
        others = reader
        together = form.header_size + 2 + unit.size
        types |= <uint64_t>1 << _type(form, &unit)
        more = _next_sent(form, &reader, &following)
        while more and together + 2 + following.size <= MAX_PAYLOAD_SIZE:
            together += 2 + following.size
            types |= <uint64_t>1 << _type(form, &following)
            more = _next_sent(form, &reader, &following)
        if together > form.header_size + 2 + unit.size:
            _put_aggregate(form, stream, timestamp, unit, others, together, not more, out)
        elif unit.size <= MAX_PAYLOAD_SIZE:
            put_headers(stream, timestamp, not more, unit.size, out)
            put_octets(out, unit.data, unit.size)
        else:
            _put_fragments(form, stream, timestamp, &unit, not more, out)
        if not more:
            break
        unit = following
    access.size = <int64_t>out.size
    access.packets = stream.packets - before
    access.key_frame = types & form.key_frame != 0
    access.parameter_sets = types & form.parameter_sets == form.parameter_sets
    return STATUS_OK if access.packets <= MAX_PACKETS else ERROR_INVALID


cdef int nal_measure(const NALFormat *form, const uint8_t *access_unit, size_t size, Access *access) noexcept nogil:
    cdef RTPStream stream
    cdef OctetWriter counter = octet_counter()
    memset(&stream, 0, sizeof(stream))
    return _packetize(form, &stream, access_unit, size, 0, &counter, access)


cdef int64_t nal_write(const NALFormat *form, RTPStream *stream, const uint8_t *access_unit, size_t size,
                       uint32_t timestamp, uint8_t *out, size_t capacity) noexcept nogil:
    cdef RTPStream before = stream[0]
    cdef OctetWriter writer = octet_writer(out, capacity)
    cdef Access access
    cdef int status = _packetize(form, stream, access_unit, size, timestamp, &writer, &access)
    if status == STATUS_OK and not writer.short:
        return access.size
    stream[0] = before
    return ERROR_SHORT if status == STATUS_OK else status
