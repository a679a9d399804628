# Hands frame blocks from one pipeline thread to one fan-out thread: single producer, single consumer, no lock.
#
# Blocks may come ahead of their time. The consumer sleeps until the first one is due, or, when there is none, until it is
# rung for; so the producer rings only for a block that comes into an empty box.

from libc.stdint cimport uint64_t

from camfleet.core.atomic cimport atomic_fence, atomic_load_u64, atomic_store_u64
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


cdef inline bint mailbox_was_empty(Mailbox *mailbox) noexcept nogil:
    """After a put: whether the consumer may sleep without knowing of the block."""
    atomic_fence()              # it has seen this block in mailbox_first, or we see here that it has taken all others
    return atomic_load_u64(&mailbox.taken) == mailbox.written - 1


cdef inline FrameBlock *mailbox_first(const Mailbox *mailbox) noexcept nogil:
    """The next to take, NULL when empty; the reference stays the mailbox's."""
    atomic_fence()
    if mailbox.taken == atomic_load_u64(&mailbox.written):
        return NULL
    return mailbox.slots[mailbox.taken & (MAILBOX_SLOTS - 1)]


cdef inline FrameBlock *mailbox_take(Mailbox *mailbox) noexcept nogil:
    """NULL when empty; else the reference becomes the caller's."""
    cdef FrameBlock *block = mailbox_first(mailbox)
    if block != NULL:
        atomic_store_u64(&mailbox.taken, mailbox.taken + 1)
    return block
