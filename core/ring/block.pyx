"""Memory of frame blocks; block.pxd is the contract."""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from camfleet.core.atomic cimport atomic_add_i64, atomic_load_i64

cdef int64_t live = 0


cdef FrameBlock *block_new(size_t capacity) noexcept nogil:
    cdef FrameBlock *block = <FrameBlock *> malloc(sizeof(FrameBlock) + capacity)
    if block != NULL:
        block.references = 1
        atomic_add_i64(&live, 1)
    return block


cdef void block_free(FrameBlock *block) noexcept nogil:
    free(block)
    atomic_add_i64(&live, -1)


cdef int64_t live_blocks() noexcept nogil:
    return atomic_load_i64(&live)
