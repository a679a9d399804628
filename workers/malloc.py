"""What is asked of glibc's malloc; another C library is left as it is."""

import ctypes

_libc = ctypes.CDLL(None)

M_MMAP_THRESHOLD = -3  # mallopt(3)
MMAP_THRESHOLD = 128 * 1024  # the default; once it is set it stays


def keep_no_large_blocks() -> None:
    """For a worker that encodes nothing. FFmpeg decodes a picture to know a file; malloc takes that for a habit
    and keeps 3 MB for the next.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)


def give_back() -> None:
    """Free pages to the system, those between used ones too."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
