"""Joining and leaving the readers of a stream; audience.pxd is the contract."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free

from camfleet.core.atomic cimport atomic_add_i64, atomic_exchange_u32, atomic_load_i64
from camfleet.core.net.client cimport MEDIA_JOINING, MEDIA_NONE, MEDIA_PLAYING, MEDIA_READY, NOTHING_DUE
from camfleet.core.net.pages cimport pages_free, pages_init, pages_push, pages_trim
from camfleet.core.net.queue cimport EVENT_READY, item_new, queue_put
from camfleet.core.ring.block cimport FrameBlock, block_release, block_retain
from camfleet.core.ring.mailbox cimport mailbox_first, mailbox_take
from camfleet.core.ring.stream cimport StreamState
from camfleet.core.ring.window cimport (
    JOIN_FORCE, NO_BLOCK, window_at, window_clear, window_forget, window_go_on, window_join, window_push,
)
from camfleet.core.rtp.packetizer cimport NO_CODEC

cdef int64_t KEY_FRAME_SPACING_NS = 500_000_000     # at most two forced key frames a second, natural ones counted


cdef Audience *audience_new(Subscription *subscription, int64_t keep_ns, int64_t pages_from) noexcept nogil:
    cdef Audience *audience = <Audience *> calloc(1, sizeof(Audience))
    if audience != NULL:
        audience.subscription = subscription
        audience.next_due_ns = NOTHING_DUE
        audience.window.newest_key = NO_BLOCK
        audience.window.keep_ns = keep_ns
        pages_init(&audience.pages)
        audience.pages_from = pages_from
    return audience


cdef void audience_free(Audience *audience) noexcept nogil:
    window_clear(&audience.window)
    pages_free(&audience.pages)
    free(audience)


cdef void enter(Audience *audience, Client *client) noexcept nogil:
    client.audience = audience
    client.previous = NULL
    client.next = audience.first
    if audience.first != NULL:
        audience.first.previous = client
    audience.first = client
    audience.plain_readers += client.tls == NULL
    atomic_add_i64(&audience.subscription.stream.readers, 1)


cdef void audience_leave(Client *client) noexcept nogil:
    if client.audience == NULL:
        return
    block_release(client.first)
    client.first = NULL
    client.media = MEDIA_NONE
    client.behind_since_ns = 0
    client.waiting_capture_ns = 0
    if client.next != NULL:
        client.next.previous = client.previous
    if client.previous != NULL:
        client.previous.next = client.next
    else:
        client.audience.first = client.next
    client.audience.plain_readers -= client.tls == NULL
    atomic_add_i64(&client.audience.subscription.stream.readers, -1)
    client.audience = NULL


cdef void start_at(Client *client, uint64_t position, Queue *events) noexcept nogil:
    """The first frame of a reader is known: keep it, and tell Python, which answers PLAY with its numbers."""
    cdef FrameBlock *block = window_at(&client.audience.window, position)
    cdef Item *event = item_new(EVENT_READY, client.id, NULL, 0)
    if event == NULL:
        return                      # it waits for the next key frame
    client.media = MEDIA_READY
    client.codec = block.codec
    client.position = position
    client.first = block_retain(block)
    client.fresh = True
    event.number[0] = block.first_sequence
    event.number[1] = block.rtp_timestamp
    event.number[2] = client.preparations
    queue_put(events, event)


cdef void audience_join(Audience *audience, Client *client, Queue *events, int64_t now_ns) noexcept nogil:
    cdef uint64_t position = window_join(&audience.window, audience.subscription.stream.join, now_ns)
    audience_leave(client)
    enter(audience, client)
    client.media = MEDIA_JOINING
    if audience_misled(audience, client):
        return
    if position != NO_BLOCK:
        start_at(client, position, events)
    else:
        audience_want_key_frame(audience, now_ns)


cdef void audience_go_on(Audience *audience, Client *client, uint16_t sequence) noexcept nogil:
    audience_leave(client)
    enter(audience, client)
    client.media = MEDIA_PLAYING
    client.position = window_go_on(&audience.window, sequence)
    client.fresh = True


cdef void begin_codec(Audience *audience, uint8_t codec) noexcept nogil:
    """Who plays, and was told nothing, counts on what it has got so far."""
    cdef Client *client = audience.first
    while client != NULL:
        if client.media == MEDIA_PLAYING and client.codec == NO_CODEC:
            client.codec = audience.codec
        client = client.next
    window_clear(&audience.window)
    audience.codec = codec


cdef bint audience_take_blocks(Audience *audience, Queue *events, int64_t until_ns) noexcept nogil:
    cdef FrameBlock *block = mailbox_first(&audience.subscription.mailbox)
    cdef bint found = False
    cdef Client *client
    while block != NULL and block.due_ns <= until_ns:
        found = True
        mailbox_take(&audience.subscription.mailbox)
        if block.codec != audience.codec:
            begin_codec(audience, block.codec)
        window_push(&audience.window, block)
        pages_push(&audience.pages, audience.window.end - 1, block, audience.plain_readers >= audience.pages_from)
        pages_trim(&audience.pages, audience.window.begin)
        client = audience.first if block.key_frame else NULL
        while client != NULL:
            if client.media == MEDIA_JOINING and not audience_misled(audience, client):
                start_at(client, audience.window.newest_key, events)
            client = client.next
        block = mailbox_first(&audience.subscription.mailbox)
    audience.next_due_ns = block.due_ns if block != NULL else NOTHING_DUE
    return found


cdef void audience_forget(Audience *audience, uint64_t needed) noexcept nogil:
    window_forget(&audience.window, needed)
    pages_trim(&audience.pages, audience.window.begin)


cdef void audience_want_key_frame(Audience *audience, int64_t now_ns) noexcept nogil:
    cdef StreamState *stream = audience.subscription.stream
    if (
        stream.join == JOIN_FORCE
        and now_ns - atomic_load_i64(&stream.last_key_frame_ns) >= KEY_FRAME_SPACING_NS
        and now_ns - audience.asked_ns >= KEY_FRAME_SPACING_NS
    ):
        audience.asked_ns = now_ns
        atomic_exchange_u32(&stream.key_frame_wanted, 1)
