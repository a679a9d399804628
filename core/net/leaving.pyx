"""Goodbyes, and what becomes of descriptor and session; leaving.pxd is the contract."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy
from posix.unistd cimport close

from camfleet.core.net.audience cimport audience_leave
from camfleet.core.net.client cimport (
    CLOSING, MEDIA_PLAYING, RELEASING, STAYS, UNCONSUMED_MAX, Leaving,
    client_blocked, client_fail, client_farewell, client_free, peer_said_close,
)
from camfleet.core.net.output cimport client_write_alert, client_write_text
from camfleet.core.net.queue cimport EVENT_RELEASED, Item, item_data, item_new, queue_put
from camfleet.core.net.sys cimport (
    EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLIN, EPOLLOUT, SHUT_WR, SO_LINGER, SOL_SOCKET,
    epoll_ctl, epoll_event, linger, monotonic_ns, setsockopt, shutdown,
)
from camfleet.core.net.table cimport table_remove
from camfleet.core.rtp.rtcp cimport RTCP_BYE_SIZE_MAX, write_bye
from camfleet.core.status cimport ERROR_CLOSED, STATUS_OK
from camfleet.core.tls.libcrypto cimport OPENSSL_cleanse
from camfleet.core.tls.move cimport SESSION_EXPORT_MAX, session_export
from camfleet.core.tls.session cimport ALERT_WARNING, CLOSE_NOTIFY

cdef int64_t GOODBYE_NS = 1_000_000_000


cdef void abort_connection(int descriptor) noexcept nogil:
    """RST at the close, and the kernel forgets what waits. A FIN would wait behind it, for minutes, for a peer that does
    not read."""
    cdef linger at_once
    at_once.l_onoff = 1
    at_once.l_linger = 0
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once))


cdef void drop(Engine *engine, Client *client, const char *reason) noexcept nogil:
    client_fail(client, reason, 0)
    # Before the close: another process may still hold a copy, and then epoll would go on watching it.
    epoll_ctl(engine.epoll, EPOLL_CTL_DEL, client.descriptor, NULL)
    if client_blocked(client):
        abort_connection(client.descriptor)
    close(client.descriptor)
    table_remove(&engine.table, client)
    queue_put(&engine.events, client_farewell(client))


cdef void leave(Client *client, Leaving how, int64_t now_ns) noexcept nogil:
    audience_leave(client)
    client.leaving = how
    client.deadline_ns = now_ns + GOODBYE_NS


cdef void close_orderly(Engine *engine, Client *client, const char *reason, int64_t now_ns) noexcept nogil:
    """RFC 8446 6.1: close_notify before the FIN, unless a fatal alert has gone out already."""
    client_fail(client, reason, 0)
    if client.leaving == CLOSING:
        return
    leave(client, CLOSING, now_ns)
    if client.tls != NULL and not client.tls.close_sent:
        client_write_alert(client, &engine.scratch, ALERT_WARNING, CLOSE_NOTIFY, now_ns)


cdef void release(Client *client, int64_t now_ns) noexcept nogil:
    leave(client, RELEASING, now_ns)


cdef int say_goodbye(Engine *engine, Client *client, int64_t now_ns) noexcept nogil:
    cdef uint8_t bye[RTCP_BYE_SIZE_MAX]
    cdef int64_t size
    if client.media != MEDIA_PLAYING:
        return STATUS_OK
    size = write_bye(&client.audience.subscription.stream.report, bye, sizeof(bye))
    if size < 0:
        return <int> size
    bye[1] = client.rtcp_channel
    return client_write_text(client, &engine.scratch, bye, <size_t> size, now_ns)


cdef void hand_out(Engine *engine, Client *client, Describe describe) noexcept nogil:
    cdef uint8_t session[SESSION_EXPORT_MAX]
    cdef int64_t size = 0
    cdef Item *event
    if client.tls != NULL:
        size = session_export(client.tls, session, SESSION_EXPORT_MAX, monotonic_ns())
        if size < 0:
            drop(engine, client, "session cannot be exported")
            return
    event = describe(client, session, <size_t> size)
    OPENSSL_cleanse(session, sizeof(session))
    if event == NULL:
        drop(engine, client, "out of memory")
        return
    event.number[0] = client.descriptor
    epoll_ctl(engine.epoll, EPOLL_CTL_DEL, client.descriptor, NULL)
    queue_put(&engine.events, event)
    table_remove(&engine.table, client)
    client_free(client)


cdef Item *released(const Client *client, const uint8_t *session, size_t session_size) noexcept nogil:
    """Everything has left: session and unread ciphertext."""
    cdef Item *event = item_new(EVENT_RELEASED, client.id, NULL, session_size + client.unread_size)
    if event == NULL:
        return NULL
    event.head_size = session_size
    memcpy(item_data(event), session, session_size)
    if client.unread_size:
        memcpy(item_data(event) + session_size, client.unread, client.unread_size)
    return event


cdef bint wants_input(const Client *client) noexcept nogil:
    """A client that closes is read only to see its FIN; one that Python does not keep up with, not at all."""
    if client.leaving == CLOSING:
        return True
    return (
        client.leaving == STAYS
        and not client.input_ended
        and client.delivered - client.consumed < UNCONSUMED_MAX
    )


cdef void settle(Engine *engine, Client *client, int status, int64_t now_ns) noexcept nogil:
    cdef epoll_event wish
    if status == ERROR_CLOSED and (client.leaving == CLOSING or not peer_said_close(client)):
        drop(engine, client, "connection lost")
        return
    if status < 0:
        close_orderly(engine, client, "error", now_ns)
    if not client_blocked(client):
        if client.leaving == RELEASING:
            hand_out(engine, client, released)
            return
        if client.leaving == CLOSING and not client.fin_sent:
            shutdown(client.descriptor, SHUT_WR)
            client.fin_sent = True
    wish.events = EPOLLIN if wants_input(client) else 0
    if client_blocked(client) or client.more:
        wish.events |= EPOLLOUT
    if wish.events != client.interest:
        wish.data.u64 = client.id
        epoll_ctl(engine.epoll, EPOLL_CTL_MOD, client.descriptor, &wish)
        client.interest = wish.events
