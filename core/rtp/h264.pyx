"""RFC 6184 packetizer; see h264.pxd.

One walk over the access unit, `_packetize`, serves measuring (a writer that only counts) and writing. Consecutive NAL
units that fit into one packet together become a STAP-A: SEI + SPS + PPS cost one packet, not three. A unit that fits
alone becomes a single NAL unit packet, a larger one FU-As of the largest size (UDP_SEGMENT wants equal sizes but the last).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint16_t
from libc.string cimport memcmp, memset
from camfleet.core.octets cimport OctetWriter, octet_counter, octet_writer, put_octets, put_u8, put_u16
from camfleet.core.rtp.annexb cimport AnnexBReader, NALUnit, annexb_next, annexb_open
from camfleet.core.rtp.stream cimport MAX_PACKETS, MAX_PAYLOAD_SIZE, put_headers
from camfleet.core.status cimport ERROR_INVALID, ERROR_SHORT, STATUS_OK

from typing import NamedTuple

# x264 writes its version and all its settings into the first access unit: 700 bytes about the encoder that are none of
# a reader's business. Other user data (time stamps, vendor data of a passed-through camera) is left alone.
cdef const uint8_t *X264_UUID = b"\xdc\x45\xe9\xbd\xe6\xd9\x48\xb7\x96\x2c\xd8\x20\xd9\x23\xee\xef"


# An SEI NAL unit (H.264 7.3.2.3) that begins with payload type 5, user_data_unregistered, of x264. The payload size is
# a run of 255 and a last byte; x264 puts no second message into the unit.
cdef bint _is_x264_settings(const NALUnit *unit) noexcept nogil:
    cdef size_t at = 2
    if unit.data[0] & 0x1F != NAL_SEI or unit.size < 2 or unit.data[1] != 5:
        return False
    while at < unit.size and unit.data[at] == 255:
        at += 1
    at += 1
    return at + 16 <= unit.size and memcmp(unit.data + at, X264_UUID, 16) == 0


# +---------------+
# |F|NRI|  Type   |   RFC 6184 1.3
# +---------------+
# What is not sent: delimiters and filler, which carry nothing that RTP does not say or want, and the types that H.264
# leaves unspecified (0, 24-31), which RFC 6184 5.2 gives another meaning.
cdef bint _is_sent(const NALUnit *unit) noexcept nogil:
    cdef uint8_t kind = unit.data[0] & 0x1F
    if kind == 0 or kind >= NAL_STAP_A or NAL_ACCESS_UNIT_DELIMITER <= kind <= NAL_FILLER:
        return False
    return not _is_x264_settings(unit)


cdef bint _next_sent(AnnexBReader *reader, NALUnit *unit) noexcept nogil:
    while annexb_next(reader, unit):
        if _is_sent(unit):
            return True
    return False


#  0                   1
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |F|NRI|Type=28|S|E|R|  NAL type |   RFC 6184 5.8: FU indicator, FU header, then a part of the unit without its header
cdef void _put_fragments(RTPStream *stream, uint32_t timestamp, const NALUnit *unit, bint last_unit,
                         OctetWriter *out) noexcept nogil:
    cdef size_t at = 1, size
    cdef uint8_t kind = unit.data[0] & 0x1F, start = 0x80, end = 0
    while at < unit.size:
        size = min(unit.size - at, <size_t>MAX_PAYLOAD_SIZE - 2)
        if at + size == unit.size:
            end = 0x40
        put_headers(stream, timestamp, last_unit and end != 0, 2 + size, out)
        put_u8(out, (unit.data[0] & 0xE0) | NAL_FU_A)
        put_u8(out, start | end | kind)
        put_octets(out, unit.data + at, size)
        at += size
        start = 0


# +-+-+-+-+-+-+-+-+
# |F|NRI|Type=24|  size (16 bits)  NAL unit  size  NAL unit ...   RFC 6184 5.7.1: NRI is the highest of the units, F the or
cdef int _packetize(RTPStream *stream, const uint8_t *access_unit, size_t size, uint32_t timestamp, OctetWriter *out,
                    H264Access *access) noexcept nogil:
    cdef AnnexBReader reader, group
    cdef NALUnit unit, following
    cdef uint32_t before = stream.packets, kinds = 0
    cdef size_t together
    cdef uint8_t forbidden, importance
    cdef bint more
    if annexb_open(&reader, access_unit, size) < 0 or not _next_sent(&reader, &unit):
        return ERROR_INVALID
    while True:
        group = reader
        together = 1 + 2 + unit.size
        forbidden = unit.data[0] & 0x80
        importance = unit.data[0] & 0x60
        kinds |= <uint32_t>1 << (unit.data[0] & 0x1F)
        more = _next_sent(&reader, &following)
        while more and together + 2 + following.size <= MAX_PAYLOAD_SIZE:
            together += 2 + following.size
            forbidden |= following.data[0] & 0x80
            importance = max(importance, following.data[0] & 0x60)
            kinds |= <uint32_t>1 << (following.data[0] & 0x1F)
            more = _next_sent(&reader, &following)
        if together > 1 + 2 + unit.size:
            put_headers(stream, timestamp, not more, together, out)
            put_u8(out, forbidden | importance | NAL_STAP_A)
            together -= 1
            while together:
                put_u16(out, <uint16_t>unit.size)
                put_octets(out, unit.data, unit.size)
                together -= 2 + unit.size
                if together:
                    _next_sent(&group, &unit)
        elif unit.size <= MAX_PAYLOAD_SIZE:
            put_headers(stream, timestamp, not more, unit.size, out)
            put_octets(out, unit.data, unit.size)
        else:
            _put_fragments(stream, timestamp, &unit, not more, out)
        if not more:
            break
        unit = following
    access.size = <int64_t>out.size
    access.packets = stream.packets - before
    access.key_frame = kinds >> NAL_IDR & 1
    access.parameter_sets = (kinds >> NAL_SPS & 1) and (kinds >> NAL_PPS & 1)
    return STATUS_OK if access.packets <= MAX_PACKETS else ERROR_INVALID


cdef int h264_measure(const uint8_t *access_unit, size_t size, H264Access *access) noexcept nogil:
    cdef RTPStream stream
    cdef OctetWriter counter = octet_counter()
    memset(&stream, 0, sizeof(stream))
    return _packetize(&stream, access_unit, size, 0, &counter, access)


cdef int64_t h264_write(RTPStream *stream, const uint8_t *access_unit, size_t size, uint32_t timestamp,
                        uint8_t *out, size_t capacity) noexcept nogil:
    cdef RTPStream before = stream[0]
    cdef OctetWriter writer = octet_writer(out, capacity)
    cdef H264Access access
    cdef int status = _packetize(stream, access_unit, size, timestamp, &writer, &access)
    if status == STATUS_OK and not writer.short:
        return access.size
    stream[0] = before
    return ERROR_SHORT if status == STATUS_OK else status


class Access(NamedTuple):
    size: int
    packets: int
    key_frame: bool
    parameter_sets: bool


def measure(const uint8_t[::1] access_unit not None):
    cdef H264Access access
    if not len(access_unit) or h264_measure(&access_unit[0], access_unit.shape[0], &access) < 0:
        raise ValueError("not an H.264 access unit in Annex B format")
    return Access(access.size, access.packets, access.key_frame, access.parameter_sets)


cdef class Packetizer:
    cdef RTPStream stream

    def __init__(self, *, ssrc=0, sequence=0, payload_type=96, channel=0):
        memset(&self.stream, 0, sizeof(RTPStream))
        self.stream.ssrc = ssrc
        self.stream.sequence = sequence
        self.stream.payload_type = payload_type
        self.stream.channel = channel

    def packetize(self, const uint8_t[::1] access_unit not None, uint32_t timestamp, capacity=None):
        cdef int64_t written
        cdef size_t room = measure(access_unit).size if capacity is None else capacity
        cdef bytes out = PyBytes_FromStringAndSize(NULL, room)
        cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(out)
        if not len(access_unit):
            raise ValueError("not an H.264 access unit in Annex B format")
        written = h264_write(&self.stream, &access_unit[0], access_unit.shape[0], timestamp, place, room)
        if written == ERROR_SHORT:
            raise BufferError(f"{room} bytes are too few")
        if written < 0:
            raise ValueError("not an H.264 access unit in Annex B format")
        return out if <size_t>written == room else out[:written]

    @property
    def sequence(self):
        return self.stream.sequence

    @property
    def packets(self):
        return self.stream.packets

    @property
    def octets(self):
        return self.stream.octets
