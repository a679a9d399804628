"""What is asked of the allocators: Python's own, for what is small, and glibc's. Another C library is left as it is."""

import ctypes
import sys

from camfleet.core.memory import give_back

_libc = ctypes.CDLL(None)
_is_glibc = hasattr(_libc, "gnu_get_libc_version")
_libc.malloc.argtypes, _libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
_libc.free.argtypes = [ctypes.c_void_p]
_libc.sbrk.restype = ctypes.c_void_p

# mallopt(3): from how many bytes on a block has pages of its own, and how many may stay free at the end of all
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
OWN_PAGES_FROM = 128 * 1024  # as it begins
OWN_PAGES_FROM_AT_MOST = 32 * 1024 * 1024
KEPT_AT_MOST = 4 * 1024 * 1024  # a picture of 1080p; what many clients took for a moment goes back

# CPython's obmalloc.c: a pool has blocks of one size.
POOL_SIZE, POOL_HEADER_SIZE = 16_384, 48
BLOCK_SIZES = range(48, 513, 16)
GAPS_MAX = 2000  # of one size; some 200 have been seen

SMALLEST = 24  # of malloc's
_taken: list[bytes] = []


def keep_no_large_blocks() -> None:
    """By itself malloc learns from every large block that is freed to keep the next. FFmpeg decodes a picture to know a
    file, and so each worker would keep 3 MB, and clear memory that it otherwise gets as untouched pages. Is inherited.
    """
    if _is_glibc:
        _libc.mallopt(M_MMAP_THRESHOLD, OWN_PAGES_FROM)


def keep_large_blocks() -> None:
    """What it would learn from pictures, for who makes one after the other."""
    if _is_glibc:
        _libc.mallopt(M_MMAP_THRESHOLD, OWN_PAGES_FROM_AT_MOST)
        _libc.mallopt(M_TRIM_THRESHOLD, KEPT_AT_MOST)


def fill_gaps() -> None:
    """Take, for good, what is free between used blocks. What is made next would lie there, a little in each of many
    pages; now it lies side by side in new ones.
    """
    for size in BLOCK_SIZES:
        _fill_gaps_of_pools(size)
    if _is_glibc:
        _fill_gaps_of_malloc()


def _fill_gaps_of_pools(size: int) -> None:
    """Until blocks come one behind the other, as many as there are in a pool: it is a new one."""
    count = (POOL_SIZE - POOL_HEADER_SIZE) // size
    blocks: list[bytes] = []
    while len(blocks) < GAPS_MAX:
        blocks.append(bytes(size - sys.getsizeof(b"")))
        if len(blocks) >= count and id(blocks[-1]) - id(blocks[-count]) == (count - 1) * size:
            break
    _taken.extend(blocks[:-count])


def _fill_gaps_of_malloc() -> None:
    """The large ones first. What needs more memory than there was is in no gap."""
    give_back()
    end = _libc.sbrk(0) - POOL_SIZE
    size = OWN_PAGES_FROM // 2
    while size >= SMALLEST:
        while (block := _libc.malloc(size) or end) < end:
            pass
        if block != end:
            _libc.free(block)
        size = size * 3 // 4 if size > 1024 else size - 16
