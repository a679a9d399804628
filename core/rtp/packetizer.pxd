# Payload formats by the codec's name in our settings.

from libc.stdint cimport uint8_t
from camfleet.core.rtp.nal cimport NALFormat

cdef enum:
    NO_CODEC                  # not known
    CODEC_H264
    CODEC_H265

# NO_CODEC for "". Raises ValueError on any other name.
cdef int codec_of(str name) except -1
# NULL for NO_CODEC.
cdef const NALFormat *format_of(uint8_t codec) noexcept nogil
