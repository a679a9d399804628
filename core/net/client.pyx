"""Memory of a client; client.pxd is the contract."""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from camfleet.core.atomic cimport atomic_add_i64, atomic_load_i64
from camfleet.core.net.audience cimport audience_leave
from camfleet.core.net.queue cimport EVENT_CLOSED, item_free, item_new
from camfleet.core.ring.block cimport block_release
from camfleet.core.tls.session cimport session_wipe

cdef int64_t live = 0


cdef Client *client_new(int descriptor) noexcept nogil:
    cdef Client *client = <Client *> calloc(1, sizeof(Client))
    if client == NULL:
        return NULL
    client.farewell = item_new(EVENT_CLOSED, 0, NULL, 0)
    if client.farewell == NULL:
        free(client)
        return NULL
    client.descriptor = descriptor
    atomic_add_i64(&live, 1)
    return client


cdef void client_free(Client *client) noexcept nogil:
    if client == NULL:
        return
    audience_leave(client)
    block_release(client.partial)
    session_wipe(&client.tls)
    item_free(client.farewell)
    free(client.unread)
    free(client.frame)
    free(client.tail)
    free(client)
    atomic_add_i64(&live, -1)


cdef void client_fail(Client *client, const char *reason, int error_number) noexcept nogil:
    """The first reason stays: what follows is a consequence."""
    if client.reason == NULL:
        client.reason = reason
        client.error_number = error_number


cdef int64_t live_clients() noexcept nogil:
    return atomic_load_i64(&live)
