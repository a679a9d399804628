# From RTP packets back to access units, of a sender who cannot be trusted: RFC 3550 for the order, RFC 6184 (single NAL
# unit, STAP-A, FU-A) and RFC 7798 without DON (single NAL unit, AP, FU) for the payload.
#
#   packet --> numbering: what is lost? --> NAL units behind start codes --> whole? decodable? --> access unit
#
# Who reads the result sees whole pictures only: a unit of which something is missing is left out, and all that follow it
# up to the next key frame, as they refer to it.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from camfleet.core.rtp.nal cimport NALFormat

cdef enum:
    MAX_UNIT_SIZE = 8 * 1024 * 1024         # a key frame of 2160p at 100 Mb/s has 1 to 3 MB
    KEPT_CAPACITY = 512 * 1024              # of the buffer, from one unit to the next
    MAX_MISORDER = 100                      # RFC 3550 A.1
    MAX_DROPOUT = 3000
    LEAST_UNIT_SIZE = 4096

cdef enum:
    PACKET_TAKEN = 0
    UNIT_BEFORE = 1           # a unit is complete as this packet belongs to another; give the packet again
    UNIT_WITH = 2             # a unit is complete with this packet

cdef struct Numbering:        # RFC 3550 A.1, A.3
    bint started
    uint32_t ssrc
    uint16_t highest
    uint16_t restart          # the number that would make of two strange packets a sender who has begun anew
    bint restart_seen
    uint32_t cycles           # of the sequence number, in its upper half
    uint32_t first            # extended
    uint32_t received

cdef struct Assembly:
    const NALFormat *form
    uint8_t payload_type
    Numbering numbering
    uint32_t jitter           # RFC 3550 A.8, sixteenfold, in ticks of 90 kHz
    uint32_t transit

    uint8_t *data             # the unit under way, as Annex B
    size_t size
    size_t capacity
    uint32_t timestamp
    uint64_t types            # of its NAL units
    bint is_open              # a packet of it has come
    bint damaged
    bint in_fragments         # of a NAL unit whose last fragment has not come
    bint unsure               # something is lost before it, of which a part may have been its own

    bint is_first             # the unit that is complete is the first, or the first after a loss
    bint needs_key_frame      # what comes before the next one cannot be decoded
    bint markers_lie          # packets came behind a marker and had its timestamp: units end with the timestamp alone
    bint has_ended            # a unit has, with `ended`
    uint32_t ended
    uint64_t damaged_units    # and those that refer to them
    uint64_t strange_packets  # no RTP, another payload type, or long out of order

# `packet`: one without `$` header. Returns one of the three above, or ERROR_MEMORY.
cdef int assembly_take(Assembly *assembly, const uint8_t *packet, size_t size, int64_t now_ns) noexcept nogil
# The unit that is complete has been copied: on to the next.
cdef void assembly_next(Assembly *assembly) noexcept nogil
