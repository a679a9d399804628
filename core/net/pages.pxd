# The newest frame blocks of a stream in a memory file: sendfile hands its pages to the kernel, where send would copy the
# bytes once more for each plain reader (docs/decisions/0013). Each block begins a page, and no byte is written twice:
# sockets may still hold a page when its block is long gone. Owned by one fan-out thread. Not to be used where the file
# may get huge pages (core/net/huge_pages.py).

from libc.stdint cimport int64_t, uint64_t

from camfleet.core.ring.block cimport FrameBlock
from camfleet.core.ring.window cimport WINDOW_SLOTS

cdef enum:
    NOT_IN_PAGES = -1

cdef struct PageFile:
    int descriptor
    bint refused              # the kernel did not want to, or not to take pages back: no memory, a sandbox
    int64_t begin             # bytes before are given back
    int64_t end               # where the next block goes
    uint64_t newest           # position in the window of the last block pushed
    int64_t starts[1024]      # WINDOW_SLOTS, by position: `end` when the block came, whether it went in or not

cdef void pages_init(PageFile *pages) noexcept nogil
cdef void pages_free(PageFile *pages) noexcept nogil
# The block that just came into the window at `position`; `wanted`: it shall go in.
cdef void pages_push(PageFile *pages, uint64_t position, const FrameBlock *block, bint wanted) noexcept nogil
# Give back what is older than `position`, a block of the window.
cdef void pages_trim(PageFile *pages, uint64_t position) noexcept nogil


cdef inline int64_t pages_find(const PageFile *pages, uint64_t position) noexcept nogil:
    """Where the block at a position of the window begins, or NOT_IN_PAGES."""
    cdef int64_t start = pages.starts[position & (WINDOW_SLOTS - 1)]
    cdef int64_t following = pages.starts[(position + 1) & (WINDOW_SLOTS - 1)] if position < pages.newest else pages.end
    return start if following > start else <int64_t> NOT_IN_PAGES
