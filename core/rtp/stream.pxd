# RTP numbering shared by all payload formats (RFC 3550 5.1): a payload format only splits an access unit.
#
#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |       $       |    channel    |            length             |   RFC 2326 10.12
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |V=2|P|X|  CC   |M|     PT      |       sequence number         |   RFC 3550 5.1
# |                           timestamp                           |
# |           synchronization source (SSRC) identifier            |

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    INTERLEAVED_HEADER_SIZE = 4
    RTP_HEADER_SIZE = 12
    # 1472 - 12: the largest datagram that fits 1500 - 20 - 8, less nothing else; see MAX_RTP_SIZE
    MAX_RTP_SIZE = 1440       # RTP header included; below 1500 - 40 (IPv6) - 8 and below every client's 1500-byte buffer

cdef struct RTPStream:
    uint32_t ssrc
    uint16_t sequence         # of the next packet
    uint8_t payload_type
    uint8_t channel           # of the $ header: 0 for the first track
    uint32_t packets          # sent so far, modulo 2^32, for sender reports
    uint32_t octets           # payload octets sent so far, modulo 2^32

# `$` header + RTP header for a payload of `payload_size`; advances sequence and counters. Returns bytes written (16).
cdef size_t write_headers(RTPStream *stream, uint32_t timestamp, bint marker, size_t payload_size,
                          uint8_t *out) noexcept nogil
