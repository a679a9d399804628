"""Writing and giving back pages; pages.pxd is the contract."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from posix.unistd cimport close

from camfleet.core.net.sys cimport (
    FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, MFD_CLOEXEC, fallocate, getpagesize, memfd_create, pwrite,
)
from camfleet.core.ring.block cimport FrameBlock, block_data
from camfleet.core.ring.window cimport WINDOW_SLOTS


cdef void pages_init(PageFile *pages) noexcept nogil:
    memset(pages, 0, sizeof(PageFile))
    pages.descriptor = -1


cdef void pages_free(PageFile *pages) noexcept nogil:
    if pages.descriptor >= 0:
        close(pages.descriptor)


cdef void refuse(PageFile *pages) noexcept nogil:
    """From now on no block is in pages. Those that sockets still hold live on without the file."""
    pages_free(pages)
    pages_init(pages)
    pages.refused = True


cdef bint write_block(PageFile *pages, const FrameBlock *block) noexcept nogil:
    if pages.descriptor < 0:
        pages.descriptor = memfd_create("camfleet frames", MFD_CLOEXEC)
    return pages.descriptor >= 0 and pwrite(
        pages.descriptor, block_data(<FrameBlock *> block), block.size, pages.end
    ) == <ssize_t> block.size


cdef void pages_push(PageFile *pages, uint64_t position, const FrameBlock *block, bint wanted) noexcept nogil:
    cdef int64_t page_size = getpagesize()
    pages.newest = position
    pages.starts[position & (WINDOW_SLOTS - 1)] = pages.end
    if not wanted or pages.refused:
        return
    if write_block(pages, block):
        pages.end += (block.size + page_size - 1) // page_size * page_size
    else:
        refuse(pages)


cdef void pages_trim(PageFile *pages, uint64_t position) noexcept nogil:
    cdef int64_t begin = pages.starts[position & (WINDOW_SLOTS - 1)]
    if begin <= pages.begin:
        return
    if fallocate(
        pages.descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pages.begin, begin - pages.begin
    ) == 0:
        pages.begin = begin
    else:
        refuse(pages)               # it would grow as long as the stream runs
