# RTP payloads of codecs that are made of NAL units. H.264 (RFC 6184) and H.265 (RFC 7798) split an access unit by the same
# rules; a NALFormat is what differs.
#
#   single NAL unit packet   header ...                              the unit as it is
#   aggregation packet       header  size unit  size unit ...        sizes of 16 bits; STAP-A, AP
#   fragmentation unit       header  S|E|type  a part of a unit      without the unit's header; FU-A, FU

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from camfleet.core.rtp.stream cimport RTPStream

# Types of NAL units are bits in sets of them.
cdef struct NALFormat:
    size_t header_size        # of a NAL unit, and of the header of packets made of several or of a part
    uint8_t type_mask         # where the type stands in the header's first byte
    uint8_t type_shift
    uint8_t aggregation       # types of such packets
    uint8_t fragmentation
    uint8_t sei               # the type of SEI units that stand before the picture
    const uint8_t *settings   # UUID of the encoder that writes about itself
    uint64_t unsent
    uint64_t unspecified      # of no meaning in a NAL unit, but perhaps in a payload
    uint64_t slices           # coded pictures and parts of them
    uint64_t key_frame        # any of these: a reader may start here
    uint64_t parameter_sets   # all of these
    # Makes of an aggregation packet's header, so far, one that covers the unit too; the type is set later.
    void (*cover)(uint8_t *header, const uint8_t *unit) noexcept nogil

# What an access unit becomes.
cdef struct Access:
    int64_t size              # bytes that nal_write will write, $ and RTP headers included
    uint32_t packets
    bint key_frame
    bint parameter_sets

# Looks at one access unit (Annex B) and says what it will become. Negative: ERROR_INVALID (no start code first, no NAL
# unit to send, or over MAX_PACKETS packets).
cdef int nal_measure(const NALFormat *form, const uint8_t *access_unit, size_t size, Access *access) noexcept nogil
# Writes all packets, each with its $ header, marker on the last. Returns bytes written or a negative status; then the
# stream is as before.
cdef int64_t nal_write(const NALFormat *form, RTPStream *stream, const uint8_t *access_unit, size_t size,
                       uint32_t timestamp, uint8_t *out, size_t capacity) noexcept nogil
