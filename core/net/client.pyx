"""Life of a client inside the engine; client.pxd is the contract."""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free

from camfleet.core.atomic cimport atomic_add_i64, atomic_exchange_u32
from camfleet.core.ring.block cimport block_release
from camfleet.core.ring.window cimport JOIN_FORCE
from camfleet.core.tls.session cimport session_wipe


cdef void client_free(Client *client) noexcept nogil:
    client_detach(client)
    block_release(client.partial)
    session_wipe(&client.tls)
    free(client.unread)
    free(client.frame)
    free(client.tail)
    free(client)


cdef void client_fail(Client *client, const char *reason, int error_number) noexcept nogil:
    """The first reason stays: what follows is a consequence."""
    if client.reason == NULL:
        client.reason = reason
        client.error_number = error_number


cdef void client_attach(Client *client, Audience *audience) noexcept nogil:
    client.audience = audience
    client.previous = NULL
    client.next = audience.first
    if audience.first != NULL:
        audience.first.previous = client
    audience.first = client
    atomic_add_i64(&audience.subscription.stream.readers, 1)


cdef void client_detach(Client *client) noexcept nogil:
    block_release(client.first)
    client.first = NULL
    client.media = MEDIA_NONE
    client.waiting = False
    client.behind_since_ns = 0
    if client.audience == NULL:
        return
    if client.next != NULL:
        client.next.previous = client.previous
    if client.previous != NULL:
        client.previous.next = client.next
    else:
        client.audience.first = client.next
    atomic_add_i64(&client.audience.subscription.stream.readers, -1)
    client.audience = NULL


cdef void audience_want_key_frame(Audience *audience, int64_t now_ns) noexcept nogil:
    cdef StreamState *stream = audience.subscription.stream
    if (
        stream.join == JOIN_FORCE
        and now_ns - stream.last_key_frame_ns >= KEY_FRAME_SPACING_NS
        and now_ns - audience.asked_ns >= KEY_FRAME_SPACING_NS
    ):
        audience.asked_ns = now_ns
        atomic_exchange_u32(&stream.key_frame_wanted, 1)
