# The byte stream format of H.264 (ITU-T H.264 Annex B): start codes, NAL units, zeros that belong to neither.
#
#   leading zeros* [00] 00 00 01 NAL unit  trailing zeros*  [00] 00 00 01 NAL unit ...
#
# A NAL unit never ends in a zero byte (7.4.1), so trailing zeros and the first byte of a 4-byte start code are one case.

from libc.stdint cimport uint8_t

cdef struct NALUnit:
    const uint8_t *data       # the NAL unit header first
    size_t size

cdef struct AnnexBReader:
    const uint8_t *at         # behind a start code
    const uint8_t *end

# STATUS_OK, or ERROR_INVALID when no start code comes first (such as length-prefixed units, ISO/IEC 14496-15).
cdef int annexb_open(AnnexBReader *reader, const uint8_t *access_unit, size_t size) noexcept nogil
# The next NAL unit that is not empty; False at the end. A copy of the reader reads the same units again.
cdef bint annexb_next(AnnexBReader *reader, NALUnit *unit) noexcept nogil
