"""Rules of the stream window; window.pxd is the contract."""

from libc.stdint cimport int16_t, int64_t, uint16_t, uint64_t

from camfleet.core.ring.block cimport FrameBlock, block_release


cdef void drop_oldest(StreamWindow *window) noexcept nogil:
    cdef FrameBlock *block = window_at(window, window.begin)
    window.bytes -= block.size
    if window.newest_key == window.begin:
        window.newest_key = NO_BLOCK
    window.begin += 1
    block_release(block)


cdef void window_push(StreamWindow *window, FrameBlock *block) noexcept nogil:
    if window.end - window.begin == WINDOW_SLOTS:
        drop_oldest(window)
    window.slots[window.end & (WINDOW_SLOTS - 1)] = block
    window.bytes += block.size
    if block.key_frame:
        window.newest_key = window.end
    window.end += 1
    # The block just pushed always stays.
    while window.end - window.begin > 1 and window.bytes > WINDOW_BYTES_MAX:
        drop_oldest(window)
    # The newest group of pictures is for joiners; what is older serves only readers that lag.
    cdef int64_t kept_since_ns = block.due_ns - window.keep_ns
    while (
        window.newest_key != NO_BLOCK
        and window.begin < window.newest_key
        and window_at(window, window.begin).due_ns < kept_since_ns
    ):
        drop_oldest(window)


cdef void window_forget(StreamWindow *window, uint64_t needed) noexcept nogil:
    if window.newest_key == NO_BLOCK or window.begin >= window.newest_key:
        return
    cdef uint64_t kept_from = min(window.newest_key, needed)
    cdef int64_t kept_since_ns = window_at(window, window.end - 1).due_ns - MOVED_NS
    while window.begin < kept_from and window_at(window, window.begin).due_ns < kept_since_ns:
        drop_oldest(window)


cdef void window_clear(StreamWindow *window) noexcept nogil:
    while window.begin != window.end:
        drop_oldest(window)


cdef uint64_t window_join(const StreamWindow *window, int join, int64_t now_ns) noexcept nogil:
    if join == JOIN_LIVE or window.newest_key == NO_BLOCK:
        return NO_BLOCK
    cdef FrameBlock *newest = window.slots[(window.end - 1) & (WINDOW_SLOTS - 1)]
    if now_ns - newest.due_ns > STALLED_NS:
        return NO_BLOCK
    cdef FrameBlock *key_frame = window.slots[window.newest_key & (WINDOW_SLOTS - 1)]
    if join == JOIN_FORCE and now_ns - key_frame.due_ns >= FRESH_KEY_FRAME_NS:
        return NO_BLOCK
    return window.newest_key


cdef uint64_t window_skip(const StreamWindow *window, uint64_t position) noexcept nogil:
    if window.newest_key == NO_BLOCK or window.newest_key <= position:
        return NO_BLOCK
    return window.newest_key


cdef uint64_t window_go_on(const StreamWindow *window, uint16_t sequence) noexcept nogil:
    cdef uint64_t position = window.end
    while position != window.begin:
        position -= 1
        if window.slots[position & (WINDOW_SLOTS - 1)].first_sequence == sequence:
            return position
    # Sequence numbers wrap, but no window holds half of them (WINDOW_BYTES_MAX).
    if window.begin == window.end or <int16_t> (
        window.slots[(window.end - 1) & (WINDOW_SLOTS - 1)].first_sequence - sequence
    ) < 0:
        return window.end
    return window.newest_key if window.newest_key != NO_BLOCK else window.end
