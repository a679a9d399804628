# RFC 6184, packetization-mode 1: single NAL unit, STAP-A, FU-A.

from libc.stdint cimport int64_t, uint8_t, uint32_t
from camfleet.core.rtp.stream cimport RTPStream

cdef enum:
    NAL_IDR = 5
    NAL_SEI = 6
    NAL_SPS = 7
    NAL_PPS = 8
    NAL_ACCESS_UNIT_DELIMITER = 9
    NAL_END_OF_SEQUENCE = 10
    NAL_END_OF_STREAM = 11
    NAL_FILLER = 12
    NAL_STAP_A = 24
    NAL_FU_A = 28

cdef struct H264Access:
    int64_t size              # bytes that h264_write will write, $ and RTP headers included
    uint32_t packets
    bint key_frame            # holds an IDR slice (NAL type 5)
    bint parameter_sets       # holds SPS and PPS

# Looks at one access unit (Annex B) and says what it will become. Negative: ERROR_INVALID (no start code first, no NAL
# unit to send, or over MAX_PACKETS packets).
cdef int h264_measure(const uint8_t *access_unit, size_t size, H264Access *access) noexcept nogil
# Writes all packets, each with its $ header, marker on the last. Returns bytes written or a negative status; then the
# stream is as before.
cdef int64_t h264_write(RTPStream *stream, const uint8_t *access_unit, size_t size, uint32_t timestamp,
                        uint8_t *out, size_t capacity) noexcept nogil
