"""Memory of a client; client.pxd is the contract."""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from camfleet.core.atomic cimport atomic_add_i64, atomic_load_i64
from camfleet.core.net.audience cimport audience_leave
from camfleet.core.net.inlet cimport inlet_release
from camfleet.core.net.queue cimport EVENT_CLOSED, Item, item_in
from camfleet.core.ring.block cimport block_release
from camfleet.core.tls.session cimport session_wipe

cdef extern from *:
    """
    #define ASSERT_FITS(part, whole) _Static_assert(sizeof *(part) <= sizeof *(whole), #part " does not fit in " #whole)
    """
    void ASSERT_FITS(const Item *part, const Client *whole) noexcept nogil

cdef int64_t live = 0


cdef Client *client_new(int descriptor) noexcept nogil:
    cdef Client *client = <Client *> calloc(1, sizeof(Client))
    if client == NULL:
        return NULL
    client.descriptor = descriptor
    atomic_add_i64(&live, 1)
    return client


cdef void let_go(Client *client) noexcept nogil:
    """Of all that it holds."""
    audience_leave(client)
    block_release(client.partial)
    if client.tls != NULL:
        session_wipe(client.tls)
        free(client.tls)
    free(client.unread)
    free(client.frame)
    free(client.tail)
    inlet_release(client.inlet)
    atomic_add_i64(&live, -1)


cdef void client_free(Client *client) noexcept nogil:
    if client == NULL:
        return
    let_go(client)
    free(client)


cdef Item *client_farewell(Client *client) noexcept nogil:
    cdef Client was = client[0]
    cdef Item *event
    ASSERT_FITS(event, client)
    let_go(client)
    event = item_in(client, EVENT_CLOSED, was.id, 0)
    event.reason = was.reason
    event.number[0] = was.error_number
    event.number[1] = <int64_t> was.bytes_sent
    event.number[2] = <int64_t> was.frames_sent
    event.number[3] = <int64_t> was.frames_skipped
    return event


cdef void client_fail(Client *client, const char *reason, int error_number) noexcept nogil:
    """The first reason stays: what follows is a consequence."""
    if client.reason == NULL:
        client.reason = reason
        client.error_number = error_number


cdef int64_t live_clients() noexcept nogil:
    return atomic_load_i64(&live)
