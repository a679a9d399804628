"""RTP packets to access units; see depacketizer.pxd."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset
from camfleet.core.octets cimport (
    OctetReader, octet_reader, take_octets, take_reader, take_u8, take_u16, take_u32,
)
from camfleet.core.rtp.nal cimport NALFormat
from camfleet.core.rtp.packetizer cimport codec_of, format_of
from camfleet.core.rtp.stream cimport INTERLEAVED_HEADER_SIZE
from camfleet.core.status cimport ERROR_MEMORY

from typing import NamedTuple

cdef enum:
    NO_GAP
    GAP                       # packets are missing before this one
    STRANGE                   # a repetition, long out of order, or of nobody we know
    TICKS_PER_MS = 90         # of the only clock rate that video has (RFC 6184 8.1, RFC 7798 7.1)


# ---------------------------------------------------------------- numbering

# Where a packet stands; changes nothing, as a packet may be given twice.
cdef int _place(const Numbering *numbering, uint16_t sequence, uint32_t ssrc) noexcept nogil:
    cdef uint16_t ahead = <uint16_t>(sequence - numbering.highest)
    if not numbering.started or ssrc != numbering.ssrc:
        return GAP
    if ahead == 1:
        return NO_GAP
    if 1 < ahead < MAX_DROPOUT:
        return GAP
    # RFC 3550 A.1: two packets in sequence, far from what was, are a sender who has begun anew.
    return GAP if numbering.restart_seen and sequence == numbering.restart else STRANGE


cdef void _count(Numbering *numbering, int place, uint16_t sequence, uint32_t ssrc) noexcept nogil:
    cdef uint16_t ahead = <uint16_t>(sequence - numbering.highest)
    if place == STRANGE:
        if <uint16_t>-ahead > MAX_MISORDER:
            numbering.restart = sequence + 1
            numbering.restart_seen = True
        return
    if not numbering.started or ssrc != numbering.ssrc or ahead >= MAX_DROPOUT:
        numbering.started = True
        numbering.ssrc = ssrc
        numbering.cycles = 0
        numbering.first = sequence
        numbering.received = 0
    elif sequence < numbering.highest:
        numbering.cycles += 1 << 16
    numbering.highest = sequence
    numbering.restart_seen = False
    numbering.received += 1


cdef void _count_jitter(Assembly *assembly, uint32_t timestamp, int64_t now_ns) noexcept nogil:
    cdef uint32_t transit = <uint32_t>(now_ns // 1000 * TICKS_PER_MS // 1000) - timestamp
    cdef uint32_t change = transit - assembly.transit
    if change >> 31:
        change = -change
    if assembly.numbering.received > 1:
        assembly.jitter += change - ((assembly.jitter + 8) >> 4)
    assembly.transit = transit


# ---------------------------------------------------------------- one access unit

cdef inline uint8_t _type(const NALFormat *form, uint8_t first) noexcept nogil:
    return (first & form.type_mask) >> form.type_shift


cdef int _append(Assembly *assembly, const uint8_t *octets, size_t size) noexcept nogil:
    cdef size_t wanted = assembly.size + size, capacity = max(assembly.capacity, <size_t>LEAST_UNIT_SIZE)
    cdef uint8_t *data
    if assembly.damaged:
        return PACKET_TAKEN   # nobody will see it
    if wanted > MAX_UNIT_SIZE:
        assembly.damaged = True
        return PACKET_TAKEN
    if wanted > assembly.capacity:
        while capacity < wanted:
            capacity *= 2
        data = <uint8_t *>realloc(assembly.data, capacity)
        if data == NULL:
            return ERROR_MEMORY
        assembly.data = data
        assembly.capacity = capacity
    memcpy(assembly.data + assembly.size, octets, size)
    assembly.size = wanted
    return PACKET_TAKEN


# A start code and a NAL unit's header; `unit` is what follows of it, as far as it is here.
cdef int _begin_unit(Assembly *assembly, const uint8_t *header, OctetReader *unit) noexcept nogil:
    cdef const NALFormat *form = assembly.form
    cdef uint8_t kind = _type(form, header[0])
    cdef uint64_t bit = <uint64_t>1 << kind
    cdef bint first_slice = unit.left and unit.at[0] & 0x80
    # The sender, or somebody between us, says that the unit is broken (forbidden_zero_bit, F); or it is none.
    if header[0] & 0x80 or bit & form.unspecified:
        assembly.damaged = True
    # Slices of which the first is lost. H.264: first_mb_in_slice is 0; H.265: first_slice_segment_in_pic_flag.
    if assembly.unsure and bit & form.slices and not first_slice:
        assembly.damaged = True
    assembly.unsure = False
    assembly.types |= bit
    if _append(assembly, b"\x00\x00\x00\x01", 4) < 0:
        return ERROR_MEMORY
    return _append(assembly, header, form.header_size)


cdef int _take_unit(Assembly *assembly, OctetReader *unit) noexcept nogil:
    cdef const uint8_t *header = take_octets(unit, assembly.form.header_size)
    if header == NULL:
        assembly.damaged = True
        return PACKET_TAKEN
    if _begin_unit(assembly, header, unit) < 0:
        return ERROR_MEMORY
    return _append(assembly, unit.at, unit.left)


# RFC 6184 5.7.1, RFC 7798 4.4.2
cdef int _take_aggregate(Assembly *assembly, OctetReader *payload) noexcept nogil:
    cdef OctetReader unit
    take_octets(payload, assembly.form.header_size)
    while payload.left:
        unit = take_reader(payload, take_u16(payload))
        if unit.short:
            assembly.damaged = True
            break
        if _take_unit(assembly, &unit) < 0:
            return ERROR_MEMORY
    return PACKET_TAKEN


# RFC 6184 5.8, RFC 7798 4.4.3
cdef int _take_fragment(Assembly *assembly, OctetReader *payload) noexcept nogil:
    cdef const NALFormat *form = assembly.form
    cdef const uint8_t *indicator = take_octets(payload, form.header_size)
    cdef uint8_t flags = take_u8(payload)
    cdef uint8_t header[2]
    cdef bint start = flags & 0x80 != 0
    if payload.short or start == assembly.in_fragments:
        assembly.damaged = True
        assembly.in_fragments = False
        return PACKET_TAKEN
    if start:
        memcpy(header, indicator, form.header_size)
        header[0] = (header[0] & ~form.type_mask) | ((flags << form.type_shift) & form.type_mask)
        if _begin_unit(assembly, header, payload) < 0:
            return ERROR_MEMORY
    assembly.in_fragments = not flags & 0x40
    return _append(assembly, payload.at, payload.left)


cdef int _take_payload(Assembly *assembly, OctetReader *payload) noexcept nogil:
    cdef const NALFormat *form = assembly.form
    cdef uint8_t kind
    if not payload.left:
        return PACKET_TAKEN   # keeps a path through a firewall open
    kind = _type(form, payload.at[0])
    if kind == form.fragmentation:
        return _take_fragment(assembly, payload)
    if assembly.in_fragments:
        assembly.damaged = True
        assembly.in_fragments = False
    if kind == form.aggregation:
        return _take_aggregate(assembly, payload)
    return _take_unit(assembly, payload)


cdef void _open(Assembly *assembly, uint32_t timestamp, int place) noexcept nogil:
    if place == NO_GAP and assembly.has_ended and timestamp == assembly.ended:
        assembly.markers_lie = True
    assembly.is_open = True
    assembly.timestamp = timestamp


# Parameter sets alone are no unit: some cameras send them with a marker, or a timestamp, of their own.
cdef inline bint _has_picture(const Assembly *assembly) noexcept nogil:
    return assembly.damaged or assembly.types & assembly.form.slices != 0


# Whether it can be shown; if not, it is gone.
cdef bint _close(Assembly *assembly) noexcept nogil:
    assembly.has_ended = True
    assembly.ended = assembly.timestamp
    if assembly.damaged or assembly.in_fragments:
        assembly.needs_key_frame = True
    elif not assembly.needs_key_frame or assembly.types & assembly.form.key_frame:
        assembly.is_first = assembly.needs_key_frame
        assembly.needs_key_frame = False
        return True
    assembly.damaged_units += 1
    assembly_next(assembly)
    return False


cdef void assembly_next(Assembly *assembly) noexcept nogil:
    assembly.size = 0
    assembly.types = 0
    assembly.is_open = assembly.damaged = assembly.in_fragments = False
    if assembly.capacity > KEPT_CAPACITY:
        free(assembly.data)
        assembly.data = NULL
        assembly.capacity = 0


# ---------------------------------------------------------------- packets

# The payload of an RTP packet, without CSRC list, extension and padding (RFC 3550 5.1, 5.3.1).
cdef OctetReader _payload(OctetReader packet, uint8_t first) noexcept nogil:
    cdef uint8_t padding
    take_octets(&packet, (first & 0x0F) * 4)
    if first & 0x10:
        take_u16(&packet)
        take_octets(&packet, <size_t>take_u16(&packet) * 4)
    if first & 0x20 and not packet.short:
        padding = packet.at[packet.left - 1] if packet.left else 0
        if padding == 0 or padding > packet.left:
            packet.short = True
        else:
            packet.left -= padding
    return packet


cdef int assembly_take(Assembly *assembly, const uint8_t *packet, size_t size, int64_t now_ns) noexcept nogil:
    cdef OctetReader reader = octet_reader(packet, size)
    cdef uint8_t first = take_u8(&reader), second = take_u8(&reader)
    cdef uint16_t sequence = take_u16(&reader)
    cdef uint32_t timestamp = take_u32(&reader), ssrc = take_u32(&reader)
    cdef OctetReader payload = _payload(reader, first)
    cdef int place
    if payload.short or first & 0xC0 != 0x80 or second & 0x7F != assembly.payload_type:
        assembly.strange_packets += 1
        return PACKET_TAKEN
    place = _place(&assembly.numbering, sequence, ssrc)
    if place == GAP and assembly.is_open:
        assembly.damaged = True
    if place != STRANGE and assembly.is_open and timestamp != assembly.timestamp:
        if not _has_picture(assembly):
            assembly.timestamp = timestamp
        elif _close(assembly):
            return UNIT_BEFORE
    _count(&assembly.numbering, place, sequence, ssrc)
    if place == STRANGE:
        assembly.strange_packets += 1
        return PACKET_TAKEN
    _count_jitter(assembly, timestamp, now_ns)
    if place == GAP:
        assembly.unsure = assembly.needs_key_frame = True
    if not assembly.is_open:
        _open(assembly, timestamp, place)
    if _take_payload(assembly, &payload) < 0:
        return ERROR_MEMORY
    if second & 0x80 and not assembly.markers_lie and _has_picture(assembly) and _close(assembly):
        return UNIT_WITH
    return PACKET_TAKEN


# The `$` frames of one channel at the start of `stream`, up to the one that completes a unit. Returns as assembly_take.
cdef int _take_frames(Assembly *assembly, OctetReader *stream, uint8_t channel, int64_t now_ns) noexcept nogil:
    cdef OctetReader rest, frame
    cdef int status
    while stream.left > INTERLEAVED_HEADER_SIZE and stream.at[0] == c'$' and stream.at[1] == channel:
        rest = stream[0]
        take_u16(&rest)
        frame = take_reader(&rest, take_u16(&rest))
        if frame.short:
            break
        status = assembly_take(assembly, frame.at, frame.left, now_ns)
        if status != UNIT_BEFORE:
            stream[0] = rest
        if status != PACKET_TAKEN:
            return status
    return PACKET_TAKEN


# ---------------------------------------------------------------- for Python

class ReceivedUnit(NamedTuple):
    data: bytes
    timestamp: int
    key_frame: bool
    parameter_sets: bool
    is_first: bool


class Reception(NamedTuple):
    ssrc: int
    highest_sequence: int
    expected: int
    received: int
    jitter: int


cdef class Depacketizer:
    cdef Assembly assembly
    cdef list units

    def __cinit__(self, str codec, *, uint8_t payload_type):
        memset(&self.assembly, 0, sizeof(Assembly))
        self.assembly.form = format_of(codec_of(codec))
        if self.assembly.form == NULL:
            raise ValueError("no codec")
        self.assembly.payload_type = payload_type
        self.assembly.needs_key_frame = True
        self.units = []

    def __dealloc__(self):
        free(self.assembly.data)

    def take_frames(self, data, size_t at, uint8_t channel, int64_t now_ns):
        cdef Py_buffer view
        cdef OctetReader stream
        cdef int status = UNIT_WITH
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            stream = octet_reader(<const uint8_t *>view.buf, <size_t>view.len)
            take_octets(&stream, at)
            while status != PACKET_TAKEN:
                with nogil:
                    status = _take_frames(&self.assembly, &stream, channel, now_ns)
                self._end_unit(status)
            return view.len - <Py_ssize_t>stream.left
        finally:
            PyBuffer_Release(&view)

    def take_packet(self, const uint8_t[::1] packet not None, int64_t now_ns):
        cdef const uint8_t *place = &packet[0] if len(packet) else NULL
        cdef int status = UNIT_BEFORE
        while status == UNIT_BEFORE:
            status = assembly_take(&self.assembly, place, packet.shape[0], now_ns)
            self._end_unit(status)

    cdef int _end_unit(self, int status) except -1:
        cdef Assembly *assembly = &self.assembly
        if status == ERROR_MEMORY:
            raise MemoryError
        if status != PACKET_TAKEN:
            self.units.append(ReceivedUnit(
                PyBytes_FromStringAndSize(<const char *>assembly.data, assembly.size),
                assembly.timestamp,
                assembly.types & assembly.form.key_frame != 0,
                assembly.types & assembly.form.parameter_sets != 0,
                assembly.is_first,
            ))
            assembly_next(assembly)
        return 0

    def take_units(self):
        units, self.units = self.units, []
        return units

    @property
    def needs_key_frame(self):
        return self.assembly.needs_key_frame

    @property
    def damaged_units(self):
        return self.assembly.damaged_units

    @property
    def strange_packets(self):
        return self.assembly.strange_packets

    def reception(self):
        cdef Numbering *numbering = &self.assembly.numbering
        if not numbering.started:
            return None
        highest = numbering.cycles + numbering.highest
        return Reception(
            numbering.ssrc, highest, highest - numbering.first + 1, numbering.received, self.assembly.jitter >> 4
        )
