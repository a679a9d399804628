# The stream window: the last frame blocks of a stream, owned by one fan-out thread (no locks), and the rules of where
# a reader starts and where it goes on after it was too slow. A reader is a position in it.

from libc.stdint cimport int64_t, uint16_t, uint64_t

from camfleet.core.ring.block cimport FrameBlock

cdef enum:
    WINDOW_SLOTS = 1024                     # 34 s at 30 fps
    WINDOW_BYTES_MAX = 32 * 1024 * 1024     # a 50 s GOP at 5 Mb/s
    JOIN_FORCE = 0                          # the encoder is ours: it makes a key frame when asked
    JOIN_NEWEST = 1                         # pass-through: the newest key frame, however old
    JOIN_LIVE = 2                           # pass-through: the next key frame

cdef extern from *:
    """
    #define NO_BLOCK UINT64_MAX
    #define FRESH_KEY_FRAME_NS 500000000LL  /* a joiner may be this late, for a picture at once */
    #define STALLED_NS 2000000000LL         /* a window with nothing newer is the rest of an earlier run */
    #define MOVED_NS 500000000LL            /* a reader that comes from another engine has been away for less */
    """
    const uint64_t NO_BLOCK
    const int64_t FRESH_KEY_FRAME_NS
    const int64_t STALLED_NS
    const int64_t MOVED_NS

cdef struct StreamWindow:
    FrameBlock *slots[1024]
    uint64_t begin            # the oldest block kept
    uint64_t end              # the next to come; a position equal to it has seen everything
    uint64_t newest_key       # NO_BLOCK: none kept
    uint64_t bytes
    int64_t keep_ns           # blocks before the newest key frame are kept for so long at most, for readers that lag


cdef inline FrameBlock *window_at(StreamWindow *window, uint64_t position) noexcept nogil:
    return window.slots[position & (WINDOW_SLOTS - 1)]


# Takes over the caller's reference.
cdef void window_push(StreamWindow *window, FrameBlock *block) noexcept nogil
# No reader's next block is before `needed` (NO_BLOCK: there are no readers): what only serves readers that lag may go.
cdef void window_forget(StreamWindow *window, uint64_t needed) noexcept nogil
cdef void window_clear(StreamWindow *window) noexcept nogil
# Where a joiner starts, or NO_BLOCK: at the next key frame (with JOIN_FORCE: ask for one).
cdef uint64_t window_join(const StreamWindow *window, int join, int64_t now_ns) noexcept nogil
# Where a reader at `position` goes on that must give up frames: the newest key frame after it, or NO_BLOCK: the next one.
cdef uint64_t window_skip(const StreamWindow *window, uint64_t position) noexcept nogil
# Where a reader goes on that has had everything before this sequence number: at its block, or when that is no longer
# kept, at the newest key frame. The end: it is still to come.
cdef uint64_t window_go_on(const StreamWindow *window, uint16_t sequence) noexcept nogil
