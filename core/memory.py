"""What was needed for a moment goes back to the kernel: the allocator would keep it for the next time."""

import ctypes

LARGE_SIZE = 65_536
_libc = ctypes.CDLL(None)


def give_back() -> None:
    """After a crowd, or after something of LARGE_SIZE and more. It looks at the whole heap: some 100 microseconds."""
    if hasattr(_libc, "malloc_trim"):  # glibc's
        _libc.malloc_trim(0)
