"""From frame blocks and RTSP text to the socket: interleave, seal, send, and what happens when the socket is full.

Order on the wire: the rest of a block that was cut (`partial`, plain only), then `tail`, then the next block; so text,
which goes through the tail, never stands inside a `$` frame. A sealed byte is never sealed again: what the socket does
not take of a TLS frame is kept as the tail, and nothing else is ever copied for a reader.
"""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from camfleet.core.net.client cimport (
    BACKLOG_MAX, MEDIA_PLAYING, SEND_BUFFER_MAX, SEND_BUFFER_MIN, STAYS, TURN_SIZE, UNREAD_REPLIES_MAX, UNSENT_MIN,
    Audience, Client, Scratch, client_blocked, client_fail,
)
from camfleet.core.net.pages cimport NOT_IN_PAGES, pages_find
from camfleet.core.net.sys cimport (
    IPPROTO_TCP, MSG_DONTWAIT, MSG_NOSIGNAL, SO_SNDBUFFORCE, SOL_SOCKET, TCP_NOTSENT_LOWAT,
    monotonic_ns, send, sendfile, setsockopt,
)
from camfleet.core.ring.block cimport FrameBlock, block_data, block_release, block_retain
from camfleet.core.ring.latency cimport latency_count
from camfleet.core.ring.window cimport NO_BLOCK, StreamWindow, window_at, window_skip
from camfleet.core.rtp.stream cimport INTERLEAVED_HEADER_SIZE
from camfleet.core.status cimport ERROR_CLOSED, ERROR_LIMIT, ERROR_MEMORY, STATUS_OK
from camfleet.core.tls.session cimport session_seal, session_seal_alert, session_seal_bound

cdef enum:
    RTP_CHANNEL = 0           # as blocks are made: first track
    ALERT_RECORD_SIZE_MAX = 64


cdef inline void took(Client *client, size_t size, int64_t now_ns) noexcept nogil:
    client.bytes_sent += size
    client.last_progress_ns = now_ns


cdef int64_t offer(Client *client, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    """What the socket takes now, 0 when it is full, negative when it is dead."""
    cdef ssize_t sent = send(client.descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
    if sent < 0:
        if errno == EAGAIN or errno == EINTR or errno == ENOBUFS:
            return 0
        client_fail(client, "connection lost", errno)
        return ERROR_CLOSED
    if sent > 0:
        took(client, <size_t> sent, now_ns)
    return sent


cdef int64_t offer_block(Client *client, FrameBlock *block, uint32_t offset, int64_t now_ns) noexcept nogil:
    """A block of the plain reader's window, from `offset` on: by its pages, if it is in some."""
    cdef Audience *audience = client.audience
    cdef int64_t at = NOT_IN_PAGES
    cdef ssize_t sent
    if client.position >= audience.window.begin:    # the first block of a joiner may be older
        at = pages_find(&audience.pages, client.position)
    if at != NOT_IN_PAGES:
        at += offset
        sent = sendfile(client.descriptor, audience.pages.descriptor, &at, block.size - offset)
        if sent > 0:
            took(client, <size_t> sent, now_ns)
            return sent
    return offer(client, block_data(block) + offset, block.size - offset, now_ns)


cdef int keep(Client *client, const uint8_t *data, size_t size) noexcept nogil:
    """Append to the tail."""
    cdef size_t pending = client.tail_size - client.tail_offset
    cdef uint8_t *grown
    if client.tail_offset:
        memmove(client.tail, client.tail + client.tail_offset, pending)
        client.tail_offset = 0
        client.tail_size = pending
    if pending + size > client.tail_capacity:
        grown = <uint8_t *> realloc(client.tail, pending + size)
        if grown == NULL:
            client_fail(client, "out of memory", 0)
            return ERROR_MEMORY
        client.tail = grown
        client.tail_capacity = pending + size
    memcpy(client.tail + pending, data, size)
    client.tail_size = pending + size
    return STATUS_OK


cdef int write_out(Client *client, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    """Bytes in their final form, behind whatever waits."""
    cdef int64_t sent = 0
    if not client_blocked(client):
        client.last_progress_ns = now_ns        # the clock of a stall starts when something begins to wait
        sent = offer(client, data, size, now_ns)
        if sent < 0:
            return <int> sent
    if <size_t> sent == size:
        return STATUS_OK
    return keep(client, data + sent, size - <size_t> sent)


cdef void count_latency(Client *client, int64_t capture_ns) noexcept nogil:
    """A frame's last byte is in the kernel. A clock of its own: one turn serves many readers."""
    cdef int64_t now_ns = monotonic_ns()
    if client.audience != NULL:
        latency_count(&client.audience.subscription.latency, now_ns - capture_ns, now_ns)


cdef int flush(Client *client, int64_t now_ns) noexcept nogil:
    cdef int64_t sent
    if client.partial != NULL:
        sent = offer(client, block_data(client.partial) + client.partial_offset,
                     client.partial.size - client.partial_offset, now_ns)
        if sent < 0:
            return <int> sent
        client.partial_offset += <uint32_t> sent
        if client.partial_offset < client.partial.size:
            return STATUS_OK
        block_release(client.partial)
        client.partial = NULL
    if client.tail_size > client.tail_offset:
        sent = offer(client, client.tail + client.tail_offset, client.tail_size - client.tail_offset, now_ns)
        if sent < 0:
            return <int> sent
        client.tail_offset += <size_t> sent
        if client.tail_offset < client.tail_size:
            return STATUS_OK
    if client.tail != NULL:
        # Only readers that were slow for a moment come here: no memory stays with them.
        free(client.tail)
        client.tail = NULL
        client.tail_offset = client.tail_size = client.tail_capacity = 0
    client.unread_replies = 0
    if client.waiting_capture_ns:
        count_latency(client, client.waiting_capture_ns)
        client.waiting_capture_ns = 0
    return STATUS_OK


cdef int reserve(Client *client, uint8_t **buffer, size_t *capacity, size_t size) noexcept nogil:
    if size <= capacity[0]:
        return STATUS_OK
    cdef uint8_t *grown = <uint8_t *> realloc(buffer[0], size)
    if grown == NULL:
        client_fail(client, "out of memory", 0)
        return ERROR_MEMORY
    buffer[0] = grown
    capacity[0] = size
    return STATUS_OK


cdef int write_sealed(Client *client, Scratch *scratch, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    cdef int64_t sealed
    if reserve(client, &scratch.sealed, &scratch.sealed_capacity, session_seal_bound(client.tls, size)) < 0:
        return ERROR_MEMORY
    sealed = session_seal(client.tls, data, size, scratch.sealed, scratch.sealed_capacity, now_ns)
    if sealed < 0:
        client_fail(client, "limit of the TLS key" if sealed == ERROR_LIMIT else "TLS error", 0)
        return <int> sealed
    return write_out(client, scratch.sealed, <size_t> sealed, now_ns)


cdef int client_write_text(Client *client, Scratch *scratch, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    if client_blocked(client):
        client.unread_replies += size
        if client.unread_replies > UNREAD_REPLIES_MAX:
            client_fail(client, "does not read its replies", 0)
            return ERROR_LIMIT
    if client.tls != NULL:
        return write_sealed(client, scratch, data, size, now_ns)
    return write_out(client, data, size, now_ns)


cdef int client_write_alert(Client *client, Scratch *scratch, uint8_t level, uint8_t description, int64_t now_ns) noexcept nogil:
    cdef uint8_t record[64]
    cdef int64_t size = session_seal_alert(client.tls, level, description, record, ALERT_RECORD_SIZE_MAX)
    if size < 0:
        return <int> size
    return write_out(client, record, <size_t> size, now_ns)


cdef void change_channels(const Client *client, uint8_t *data, size_t size) noexcept nogil:
    """Blocks carry channels 0 and 1; this reader asked for others."""
    cdef size_t at = 0
    while at + INTERLEAVED_HEADER_SIZE <= size:
        data[at + 1] = client.rtp_channel if data[at + 1] == RTP_CHANNEL else client.rtcp_channel
        at += INTERLEAVED_HEADER_SIZE + ((data[at + 2] << 8) | data[at + 3])


cdef void enlarge_send_buffer(Client *client, uint32_t frame_size) noexcept nogil:
    """A socket that cannot take a whole key frame at once makes every key frame slow (design section 4)."""
    cdef int wanted = <int> (frame_size + frame_size // 2)
    cdef int half = min(max(<int> SEND_BUFFER_MIN, wanted), <int> SEND_BUFFER_MAX) // 2      # the kernel doubles it
    cdef int unsent = min(max(<int> UNSENT_MIN, wanted), <int> SEND_BUFFER_MAX)
    # Without the privilege (CAP_NET_ADMIN) the kernel's own tuning stays, up to tcp_wmem; SO_SNDBUF would switch it off
    # and is often limited to less. What piles up for a reader that does not keep up is bounded in any case.
    setsockopt(client.descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &half, sizeof(half))
    setsockopt(client.descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent))
    client.send_buffer = frame_size + frame_size // 4


cdef int write_block(Client *client, Scratch *scratch, FrameBlock *block, int64_t now_ns) noexcept nogil:
    cdef uint32_t offset = 0 if client.fresh or block.report_due else block.report_size
    cdef const uint8_t *data = block_data(block) + offset
    cdef size_t size = block.size - offset
    cdef int64_t sent
    client.fresh = False
    if block.key_frame and block.size > client.send_buffer:
        enlarge_send_buffer(client, block.size)
    if client.rtp_channel != RTP_CHANNEL or client.rtcp_channel != RTP_CHANNEL + 1:
        if reserve(client, &scratch.copy, &scratch.copy_capacity, size) < 0:
            return ERROR_MEMORY
        memcpy(scratch.copy, data, size)
        change_channels(client, scratch.copy, size)
        data = scratch.copy
        if client.tls == NULL:
            return write_out(client, data, size, now_ns)
    if client.tls != NULL:
        return write_sealed(client, scratch, data, size, now_ns)
    if client_blocked(client):          # see client_finish
        return keep(client, data, size)
    client.last_progress_ns = now_ns
    sent = offer_block(client, block, offset, now_ns)
    if sent < 0:
        return <int> sent
    if <size_t> sent < size:
        client.partial = block_retain(block)
        client.partial_offset = offset + <uint32_t> sent
    return STATUS_OK


cdef FrameBlock *next_block(Client *client, int64_t max_lag_ns, int64_t now_ns) noexcept nogil:
    """The block at the reader's position, after giving up frames if it must; NULL: nothing to send now."""
    cdef StreamWindow *window = &client.audience.window
    cdef uint64_t target
    if client.first != NULL:
        return client.first
    cdef bint evicted = client.position < window.begin
    cdef bint late = client.behind_since_ns != 0 and now_ns - client.behind_since_ns > max_lag_ns
    if evicted or late:
        target = window_skip(window, client.position)
        if target != NO_BLOCK:
            client.frames_skipped += target - client.position
            client.position = target
            client.behind_since_ns = 0
            client.fresh = True
        elif evicted:
            return NULL
    if client.position == window.end:
        return NULL
    return window_at(window, client.position)


cdef int send_block(Client *client, Scratch *scratch, FrameBlock *block, int64_t now_ns) noexcept nogil:
    """The block at the reader's position, which moves on."""
    cdef int status = write_block(client, scratch, block, now_ns)
    client.position += 1
    if status == STATUS_OK:
        client.frames_sent += 1
        if client_blocked(client):
            client.waiting_capture_ns = block.capture_ns
        else:
            count_latency(client, block.capture_ns)
    block_release(client.first)
    client.first = NULL
    return status


cdef int client_pump(Client *client, Scratch *scratch, int64_t max_lag_ns, int64_t now_ns) noexcept nogil:
    cdef uint64_t turn_end = client.bytes_sent + TURN_SIZE
    cdef FrameBlock *block
    cdef int status = flush(client, now_ns)
    client.more = False
    while status == STATUS_OK and not client_blocked(client):
        if client.media != MEDIA_PLAYING or client.leaving != STAYS:
            return STATUS_OK
        block = next_block(client, max_lag_ns, now_ns)
        if block == NULL:
            client.behind_since_ns = 0
            return STATUS_OK
        if client.bytes_sent >= turn_end:
            client.more = True
            break
        status = send_block(client, scratch, block, now_ns)
    if client.media == MEDIA_PLAYING and client.behind_since_ns == 0:
        client.behind_since_ns = now_ns
    return status


cdef int client_finish(Client *client, Scratch *scratch, int64_t max_lag_ns, int64_t now_ns) noexcept nogil:
    cdef FrameBlock *block
    cdef int status = flush(client, now_ns)
    while status == STATUS_OK and client.media == MEDIA_PLAYING:
        block = next_block(client, max_lag_ns, now_ns)
        if block == NULL:
            return STATUS_OK
        if client.tail_size - client.tail_offset + block.size > BACKLOG_MAX:
            client.frames_skipped += client.audience.window.end - client.position
            return STATUS_OK
        status = send_block(client, scratch, block, now_ns)
    return status
