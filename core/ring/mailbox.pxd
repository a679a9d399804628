# Hands frame blocks from one pipeline thread to one fan-out thread: single producer, single consumer, no lock.

from libc.stdint cimport uint64_t

from camfleet.core.atomic cimport atomic_load_u64, atomic_store_u64
from camfleet.core.ring.block cimport FrameBlock

cdef enum:
    MAILBOX_SLOTS = 256       # 8 s at 30 fps: a fan-out thread that is later than this has other troubles

cdef struct Mailbox:
    FrameBlock *slots[256]
    uint64_t written          # by the producer only
    uint64_t taken            # by the consumer only


cdef inline bint mailbox_put(Mailbox *mailbox, FrameBlock *block) noexcept nogil:
    """False when full; the reference then stays the caller's."""
    cdef uint64_t written = mailbox.written
    if written - atomic_load_u64(&mailbox.taken) == MAILBOX_SLOTS:
        return False
    mailbox.slots[written & (MAILBOX_SLOTS - 1)] = block
    atomic_store_u64(&mailbox.written, written + 1)
    return True


cdef inline FrameBlock *mailbox_take(Mailbox *mailbox) noexcept nogil:
    """NULL when empty; else the reference becomes the caller's."""
    cdef uint64_t taken = mailbox.taken
    if taken == atomic_load_u64(&mailbox.written):
        return NULL
    cdef FrameBlock *block = mailbox.slots[taken & (MAILBOX_SLOTS - 1)]
    atomic_store_u64(&mailbox.taken, taken + 1)
    return block
