# A frame block: one access unit, packetized once for all readers of a stream, immutable after it was published.
#
#   | sender report (`report_size` bytes, may be 0) | $ RTP | $ RTP | ... | $ RTP, marker |
#   ^ a joiner, and everybody when `report_due`, starts here
#                                                   ^ all others start at `report_size`
#
# One contiguous buffer, so that plain TCP is one send and TLS seals straight from it. Shared by counting references:
# the publisher, each window, and each reader that stopped in the middle of it hold one.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from camfleet.core.atomic cimport atomic_add_i64

cdef struct FrameBlock:
    int64_t references
    int64_t capture_ns        # presentation time, on the monotonic clock
    int64_t due_ns            # shown to readers from then on
    uint32_t rtp_timestamp
    uint16_t first_sequence   # of its first RTP packet
    uint8_t codec             # Codec of core/rtp/packetizer.pxd
    bint key_frame            # a reader may start with it: an IDR picture (H.265: CRA, BLA), with parameter sets
    bint report_due
    uint32_t report_size
    uint32_t size


cdef inline uint8_t *block_data(FrameBlock *block) noexcept nogil:
    return <uint8_t *> (block + 1)


# One reference, the caller's; NULL when memory is out.
cdef FrameBlock *block_new(size_t capacity) noexcept nogil
cdef void block_free(FrameBlock *block) noexcept nogil
# How many there are in this process: what a soak test watches.
cdef int64_t live_blocks() noexcept nogil


cdef inline FrameBlock *block_retain(FrameBlock *block) noexcept nogil:
    atomic_add_i64(&block.references, 1)
    return block


cdef inline void block_release(FrameBlock *block) noexcept nogil:
    if block != NULL and atomic_add_i64(&block.references, -1) == 0:
        block_free(block)
