"""From the socket to RTSP text, RTCP and media: records are opened, interleaved frames handled here, text goes to Python.

The engine does not parse RTSP. At a message boundary a `$` begins an interleaved frame (RFC 2326 10.12), which it handles
itself; anything else begins text, and from then on every byte is Python's until Python has said, by `consumed`, that it
stands at a boundary again and nothing newer was delivered. The media of a client that publishes is not looked at: it
goes to an inlet, from where another thread takes it.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from camfleet.core.net.audience cimport audience_want_key_frame
from camfleet.core.net.client cimport (
    CLOSING, INPUT_BUFFER_SIZE, RTCP_SIZE_MAX, UNREAD_SIZE_MAX,
    Client, Scratch, client_blocked, client_fail,
)
from camfleet.core.net.inlet cimport inlet_add, inlet_begin, inlet_release, inlet_ring
from camfleet.core.net.output cimport client_write_alert, client_write_text
from camfleet.core.net.queue cimport EVENT_RECEIVED, Item, Queue, item_new, queue_put
from camfleet.core.net.sys cimport MSG_DONTWAIT, recv
from camfleet.core.rtp.rtcp cimport RTCPReport, parse_rtcp
from camfleet.core.rtp.stream cimport INTERLEAVED_HEADER_SIZE
from camfleet.core.status cimport ERROR_CLOSED, ERROR_LIMIT, ERROR_MEMORY, STATUS_OK
from camfleet.core.tls.record cimport record_size
from camfleet.core.tls.session cimport ALERT_WARNING, CLOSE_NOTIFY, RECEIVED_CLOSE, RECEIVED_DATA, session_receive

cdef enum:
    ALERT_LEVEL_FATAL = 2


cdef void interleaved_frame(Client *client, uint8_t channel, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    """RTCP about our stream is heard; anything else that a client sends on a channel is dropped."""
    cdef RTCPReport report
    if client.audience == NULL or channel != client.rtcp_channel:
        return
    if parse_rtcp(data, size, client.audience.subscription.stream.rtp.ssrc, &report) < 0:
        return
    if report.receiver_report:
        client.fraction_lost = report.fraction_lost
    if report.key_frame_wanted:
        audience_want_key_frame(client.audience, now_ns)


cdef int keep_frame(Client *client, const uint8_t *data, size_t size) noexcept nogil:
    """Collect an interleaved frame that came in pieces."""
    if client.frame == NULL:
        client.frame = <uint8_t *> malloc(INTERLEAVED_HEADER_SIZE + RTCP_SIZE_MAX)
        if client.frame == NULL:
            client_fail(client, "out of memory", 0)
            return ERROR_MEMORY
    memcpy(client.frame + client.frame_size, data, size)
    client.frame_size += <uint32_t> size
    return STATUS_OK


cdef void drop_frame(Client *client) noexcept nogil:
    free(client.frame)
    client.frame = NULL
    client.frame_size = 0


cdef size_t payload_size(const Client *client) noexcept nogil:
    """Of the interleaved frame that has begun, from its header."""
    return (client.frame[2] << 8) | client.frame[3]


cdef bint is_media(const Client *client, uint8_t channel) noexcept nogil:
    """Of a client that publishes."""
    return client.inlet != NULL and (channel == client.rtp_channel or channel == client.rtcp_channel)


cdef void begin_media(Client *client, const uint8_t *header, int64_t now_ns) noexcept nogil:
    inlet_begin(client.inlet, header, now_ns)
    client.into_inlet = True
    client.skip = (header[2] << 8) | header[3]


cdef void client_publish(Client *client, InletState *inlet) noexcept nogil:
    inlet_release(client.inlet)
    client.inlet = inlet
    client.into_inlet = False       # the rest of a frame that has begun has no place in another inlet


cdef int64_t take_frame(Client *client, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    """Take bytes of one interleaved frame off the front, its header before its payload; returns how many."""
    cdef size_t wanted = INTERLEAVED_HEADER_SIZE
    if client.frame_size == 0 and size >= wanted and is_media(client, data[1]):
        begin_media(client, data, now_ns)       # the usual one: nothing is kept of it here
        return <int64_t> wanted
    if client.frame_size >= INTERLEAVED_HEADER_SIZE:
        wanted += payload_size(client)
    cdef size_t step = min(size, wanted - client.frame_size)
    if keep_frame(client, data, step) < 0:
        return ERROR_MEMORY
    if client.frame_size < INTERLEAVED_HEADER_SIZE:
        return <int64_t> step
    cdef size_t payload = payload_size(client)
    cdef size_t kept = client.frame_size - INTERLEAVED_HEADER_SIZE
    if is_media(client, client.frame[1]):
        begin_media(client, client.frame, now_ns)
        if kept:                                # from before there was an inlet
            inlet_add(client.inlet, client.frame + INTERLEAVED_HEADER_SIZE, kept)
            client.skip -= <uint32_t> kept
        drop_frame(client)
    elif payload > RTCP_SIZE_MAX:
        client.skip = <uint32_t> payload
        client.into_inlet = False
        drop_frame(client)
    elif client.frame_size == INTERLEAVED_HEADER_SIZE + payload:
        interleaved_frame(client, client.frame[1], client.frame + INTERLEAVED_HEADER_SIZE, payload, now_ns)
        drop_frame(client)
    return <int64_t> step


cdef int deliver(Client *client, Queue *events, const uint8_t *data, size_t size) noexcept nogil:
    cdef Item *item = item_new(EVENT_RECEIVED, client.id, data, size)
    if item == NULL:
        client_fail(client, "out of memory", 0)
        return ERROR_MEMORY
    client.text_mode = True
    client.delivered += size
    queue_put(events, item)
    return STATUS_OK


cdef int end_of_input(Client *client, Queue *events) noexcept nogil:
    """The peer has said its last word. If Python has still to answer something, it closes after that, else we do now."""
    if client.leaving == CLOSING or client.input_ended or not client.text_mode:
        return ERROR_CLOSED
    client.input_ended = True
    return deliver(client, events, NULL, 0)


cdef int plaintext(Client *client, Queue *events, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    cdef int64_t taken
    while size:
        if client.skip:
            taken = <int64_t> min(size, <size_t> client.skip)
            if client.into_inlet:
                inlet_add(client.inlet, data, <size_t> taken)
            client.skip -= <uint32_t> taken
        elif client.frame_size or (not client.text_mode and data[0] == c'$'):
            taken = take_frame(client, data, size, now_ns)
            if taken < 0:
                return <int> taken
        else:
            return deliver(client, events, data, size)
        data += taken
        size -= <size_t> taken
    return STATUS_OK


cdef int keep_unread(Client *client, const uint8_t *data, size_t size) noexcept nogil:
    if size and client.unread == NULL:
        client.unread = <uint8_t *> malloc(UNREAD_SIZE_MAX)
        if client.unread == NULL:
            client_fail(client, "out of memory", 0)
            return ERROR_MEMORY
    if size:
        memcpy(client.unread, data, size)
    else:
        free(client.unread)
        client.unread = NULL
    client.unread_size = <uint32_t> size
    return STATUS_OK


cdef int records(Client *client, Scratch *scratch, Queue *events, uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    cdef uint8_t *text
    cdef size_t text_size
    cdef int64_t length
    cdef int status
    while True:
        length = record_size(data, size)
        if length < 0:
            length = <int64_t> size         # no record can begin like this: session_receive says with which alert
        if length == 0 or <size_t> length > size:
            return keep_unread(client, data, size)
        status = session_receive(client.tls, data, <size_t> length, now_ns, &text, &text_size)
        if status == RECEIVED_DATA:
            status = plaintext(client, events, text, text_size, now_ns)
            if status < 0:
                return status
        elif status == RECEIVED_CLOSE:
            client_fail(client, "close_notify", 0)
            return end_of_input(client, events)
        elif status < 0:
            if client.tls.alert_to_send:
                client_fail(client, "TLS error", client.tls.alert_to_send)
                client_write_alert(client, scratch, ALERT_LEVEL_FATAL, client.tls.alert_to_send, now_ns)
            elif status == ERROR_LIMIT:
                client_fail(client, "limit of the peer's TLS key", 0)
            else:
                client_fail(client, "TLS alert received", client.tls.alert_received)
            return status
        # While the socket is full the answer waits too, one for all requests: it must only precede our next data.
        if client.tls.answer_due and not client_blocked(client):
            status = client_write_text(client, scratch, NULL, 0, now_ns)
            if status < 0:
                return status
        data += length
        size -= <size_t> length


cdef int client_receive(Client *client, Scratch *scratch, Queue *events, int64_t now_ns) noexcept nogil:
    cdef size_t have = client.unread_size
    cdef ssize_t got
    cdef int status
    if have:
        memcpy(scratch.input, client.unread, have)
    got = recv(client.descriptor, scratch.input + have, INPUT_BUFFER_SIZE, MSG_DONTWAIT)
    if got < 0:
        if errno == EAGAIN or errno == EINTR:
            return STATUS_OK
        client_fail(client, "connection lost", errno)
        return ERROR_CLOSED
    if got == 0:
        client_fail(client, "closed by the peer", 0)
        if end_of_input(client, events) == STATUS_OK:
            return STATUS_OK
        if client.tls != NULL:       # in the middle of TLS or not: it may still read (RFC 8446 6.1)
            client_write_alert(client, scratch, ALERT_WARNING, CLOSE_NOTIFY, now_ns)
        return ERROR_CLOSED
    client.bytes_received += <size_t> got
    client.last_alive_ns = now_ns
    if client.leaving == CLOSING:
        return STATUS_OK
    if client.tls == NULL:
        status = plaintext(client, events, scratch.input, <size_t> got, now_ns)
    else:
        status = records(client, scratch, events, scratch.input, have + <size_t> got, now_ns)
    if client.inlet != NULL:
        inlet_ring(client.inlet)
    return status
