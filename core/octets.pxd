# Bounded big-endian writing and reading: the only place in core that steps pointers over packets. The one error is "too
# short", and it sticks: check once, after the last step.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset


# Without a buffer (`out` NULL) a writer only counts: measuring and writing are then the same code and cannot disagree.
cdef struct OctetWriter:
    uint8_t *out
    size_t size               # written, or counted, so far
    size_t capacity
    bint short                # something did not fit: what is there is worthless


cdef inline OctetWriter octet_writer(uint8_t *out, size_t capacity) noexcept nogil:
    cdef OctetWriter writer
    writer.out = out
    writer.size = 0
    writer.capacity = capacity
    writer.short = False
    return writer


cdef inline OctetWriter octet_counter() noexcept nogil:
    return octet_writer(NULL, <size_t>-1)


# The place of the next `size` bytes, already counted as written; NULL when counting or when they do not fit.
cdef inline uint8_t *put_space(OctetWriter *writer, size_t size) noexcept nogil:
    cdef uint8_t *place
    if size > writer.capacity - writer.size:
        writer.short = True
        return NULL
    place = writer.out + writer.size if writer.out != NULL else NULL
    writer.size += size
    return place


cdef inline void put_octets(OctetWriter *writer, const uint8_t *octets, size_t size) noexcept nogil:
    cdef uint8_t *place = put_space(writer, size)
    if place != NULL:
        memcpy(place, octets, size)


cdef inline void put_zeros(OctetWriter *writer, size_t size) noexcept nogil:
    cdef uint8_t *place = put_space(writer, size)
    if place != NULL:
        memset(place, 0, size)


cdef inline void put_u8(OctetWriter *writer, uint8_t value) noexcept nogil:
    cdef uint8_t *place = put_space(writer, 1)
    if place != NULL:
        place[0] = value


cdef inline void put_u16(OctetWriter *writer, uint16_t value) noexcept nogil:
    cdef uint8_t *place = put_space(writer, 2)
    if place != NULL:
        place[0] = <uint8_t>(value >> 8)
        place[1] = <uint8_t>value


cdef inline void put_u32(OctetWriter *writer, uint32_t value) noexcept nogil:
    cdef uint8_t *place = put_space(writer, 4)
    if place != NULL:
        place[0] = <uint8_t>(value >> 24)
        place[1] = <uint8_t>(value >> 16)
        place[2] = <uint8_t>(value >> 8)
        place[3] = <uint8_t>value


cdef inline void put_u64(OctetWriter *writer, uint64_t value) noexcept nogil:
    put_u32(writer, <uint32_t>(value >> 32))
    put_u32(writer, <uint32_t>value)


cdef struct OctetReader:
    const uint8_t *at
    size_t left
    bint short                # something was asked for that is not there; every later answer is 0 or NULL


cdef inline OctetReader octet_reader(const uint8_t *octets, size_t size) noexcept nogil:
    cdef OctetReader reader
    reader.at = octets
    reader.left = size
    reader.short = False
    return reader


# The next `size` bytes, or NULL.
cdef inline const uint8_t *take_octets(OctetReader *reader, size_t size) noexcept nogil:
    cdef const uint8_t *octets = reader.at
    if reader.short or size > reader.left:
        reader.short = True
        return NULL
    reader.at += size
    reader.left -= size
    return octets


# A reader of the next `size` bytes; a short one when they are not there.
cdef inline OctetReader take_reader(OctetReader *reader, size_t size) noexcept nogil:
    cdef const uint8_t *octets = take_octets(reader, size)
    cdef OctetReader part = octet_reader(octets, 0 if octets == NULL else size)
    part.short = reader.short
    return part


cdef inline uint8_t take_u8(OctetReader *reader) noexcept nogil:
    cdef const uint8_t *octets = take_octets(reader, 1)
    return 0 if octets == NULL else octets[0]


cdef inline uint16_t take_u16(OctetReader *reader) noexcept nogil:
    cdef const uint8_t *octets = take_octets(reader, 2)
    return 0 if octets == NULL else <uint16_t>((octets[0] << 8) | octets[1])


cdef inline uint32_t take_u32(OctetReader *reader) noexcept nogil:
    cdef const uint8_t *octets = take_octets(reader, 4)
    if octets == NULL:
        return 0
    return (<uint32_t>octets[0] << 24) | (<uint32_t>octets[1] << 16) | (<uint32_t>octets[2] << 8) | octets[3]


cdef inline uint64_t take_u64(OctetReader *reader) noexcept nogil:
    cdef uint64_t high = take_u32(reader)
    return (high << 32) | take_u32(reader)
