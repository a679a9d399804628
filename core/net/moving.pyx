"""How a client leaves for another process; moving.pxd is the contract."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from camfleet.core.net.leaving cimport hand_out
from camfleet.core.net.queue cimport EVENT_MOVED, Item, item_data, item_new
from camfleet.core.ring.block cimport block_data


cdef uint8_t *put(uint8_t *out, const void *data, size_t size) noexcept nogil:
    if size:
        memcpy(out, data, size)
    return out + size


cdef Item *moved(const Client *client, const uint8_t *session, size_t session_size) noexcept nogil:
    """NULL when memory is out."""
    cdef MovedClient head
    cdef size_t partial = client.partial.size - client.partial_offset if client.partial != NULL else 0
    cdef size_t tail = client.tail_size - client.tail_offset
    head.session_size, head.unread_size, head.frame_size = session_size, client.unread_size, client.frame_size
    head.unsent_size = partial + tail
    head.skip, head.codec, head.fraction_lost = client.skip, client.codec, client.fraction_lost
    head.bytes_sent, head.bytes_received = client.bytes_sent, client.bytes_received
    head.frames_sent, head.frames_skipped = client.frames_sent, client.frames_skipped
    head.bytes_acknowledged = client.bytes_acknowledged
    head.key_updates = client.tls.updates_sent if client.tls != NULL else 0
    head.last_alive_ns, head.last_progress_ns = client.last_alive_ns, client.last_progress_ns
    cdef size_t size = sizeof(head) + session_size + head.unread_size + head.frame_size + head.unsent_size
    cdef Item *event = item_new(EVENT_MOVED, client.id, NULL, size)
    if event == NULL:
        return NULL
    cdef uint8_t *out = put(item_data(event), &head, sizeof(head))
    out = put(out, session, session_size)
    out = put(out, client.unread, head.unread_size)
    out = put(out, client.frame, head.frame_size)
    if partial:
        out = put(out, block_data(client.partial) + client.partial_offset, partial)
    if tail:
        put(out, client.tail + client.tail_offset, tail)
    return event


cdef void move_out(Engine *engine, Client *client) noexcept nogil:
    hand_out(engine, client, moved)
