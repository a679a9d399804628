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

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from camfleet.core.octets cimport OctetWriter, put_u8, put_u16, put_u32

cdef enum:
    INTERLEAVED_HEADER_SIZE = 4
    RTP_HEADER_SIZE = 12
    # RTP header included: 1500 - 40 (IPv6) - 8 (UDP) = 1452, and room for 12 bytes more (SRTP tag, tunnels).
    # gortsplib: 1472 at most for TCP too, as some clients read into 1500-byte buffers.
    MAX_RTP_SIZE = 1440
    MAX_PAYLOAD_SIZE = 1440 - 12
    # Packets of one access unit: half of the sequence numbers, or a receiver could not order them.
    MAX_PACKETS = 32_768

cdef struct RTPStream:
    uint32_t ssrc
    uint16_t sequence         # of the next packet
    uint8_t payload_type
    uint8_t channel           # of the $ header: 0 for the first track
    uint32_t packets          # sent so far, modulo 2^32, for sender reports
    uint32_t octets           # payload octets sent so far, modulo 2^32


# `$` header + RTP header for a payload of `payload_size`, which the caller puts next; advances sequence and counters.
cdef inline void put_headers(RTPStream *stream, uint32_t timestamp, bint marker, size_t payload_size,
                             OctetWriter *out) noexcept nogil:
    put_u8(out, c'$')
    put_u8(out, stream.channel)
    put_u16(out, <uint16_t>(RTP_HEADER_SIZE + payload_size))
    put_u8(out, 2 << 6)
    put_u8(out, (0x80 if marker else 0) | stream.payload_type)
    put_u16(out, stream.sequence)
    put_u32(out, timestamp)
    put_u32(out, stream.ssrc)
    stream.sequence += 1
    stream.packets += 1
    stream.octets += <uint32_t>payload_size
