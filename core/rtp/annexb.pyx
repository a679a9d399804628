"""Annex B byte streams; see annexb.pxd."""

from libc.string cimport memchr
from camfleet.core.status cimport ERROR_INVALID, STATUS_OK


# The first 00 00 01 at or after `at`, or `end`. Entropy-coded data holds a 01 in 256 bytes, cabac_zero_words (00 00 03)
# and stuffing hold none: looking for the 01 with libc's vector code is several times faster than looking for zeros.
cdef const uint8_t *_start_code(const uint8_t *at, const uint8_t *end) noexcept nogil:
    cdef const uint8_t *one
    while end - at >= 3:
        one = <const uint8_t *>memchr(at + 2, 1, end - at - 2)
        if one == NULL:
            return end
        at = one - 2
        if at[0] == 0 and at[1] == 0:
            return at
        at += 1
    return end


cdef int annexb_open(AnnexBReader *reader, const uint8_t *access_unit, size_t size) noexcept nogil:
    cdef const uint8_t *end = access_unit + size
    cdef const uint8_t *start = _start_code(access_unit, end)
    cdef const uint8_t *zero = access_unit
    reader.at = reader.end = end
    while zero < start:
        if zero[0] != 0:
            return ERROR_INVALID
        zero += 1
    if start == end:
        return ERROR_INVALID
    reader.at = start + 3
    return STATUS_OK


cdef bint annexb_next(AnnexBReader *reader, NALUnit *unit) noexcept nogil:
    cdef const uint8_t *start
    cdef const uint8_t *end
    while reader.at < reader.end:
        start = reader.at
        end = _start_code(start, reader.end)
        reader.at = end + 3 if end < reader.end else end
        while end > start and (end - 1)[0] == 0:
            end -= 1
        if end > start:
            unit.data = start
            unit.size = <size_t>(end - start)
            return True
    return False


def nal_units(const uint8_t[::1] access_unit not None):
    cdef AnnexBReader reader
    cdef NALUnit unit
    if not len(access_unit) or annexb_open(&reader, &access_unit[0], access_unit.shape[0]) < 0:
        raise ValueError("no Annex B start code at the beginning")
    units = []
    while annexb_next(&reader, &unit):
        units.append(unit.data[:unit.size])
    return units
