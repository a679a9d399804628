"""The fan-out loop; engine.pxd is the contract.

A client leaves in one of three ways: dropped (the socket is dead or stalled), closing (goodbye written, FIN sent, the
peer's FIN awaited for at most a second), or releasing (output drained, then given to another process).
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from posix.unistd cimport close

from camfleet.core.net.client cimport (
    CLOSING, INPUT_BUFFER_SIZE, MEDIA_JOINING, MEDIA_PLAYING, MEDIA_READY, PENDING_MAX, RELEASING, STAYS, Leaving,
    UNCONSUMED_MAX, UNREAD_SIZE_MAX,
    audience_want_key_frame, client_attach, client_blocked, client_detach, client_fail, client_free,
)
from camfleet.core.net.input cimport client_receive
from camfleet.core.net.output cimport client_pump, client_write_alert, client_write_text
from camfleet.core.net.queue cimport (
    COMMAND_ADD_STREAM, COMMAND_ADOPT, COMMAND_CLOSE, COMMAND_CONSUMED, COMMAND_END, COMMAND_PAUSE, COMMAND_PLAY,
    COMMAND_PREPARE, COMMAND_RELEASE, COMMAND_SEND, COMMAND_STOP, EVENT_CLOSED, EVENT_READY, EVENT_RELEASED,
    Item, item_data, item_free, item_new, queue_free, queue_init, queue_put, queue_take,
)
from camfleet.core.net.sys cimport (
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, SHUT_WR, SIOCOUTQ,
    epoll_create1, epoll_ctl, epoll_event, epoll_wait, ioctl, monotonic_ns,
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock, shutdown,
)
from camfleet.core.ring.block cimport FrameBlock, block_retain
from camfleet.core.ring.mailbox cimport mailbox_take
from camfleet.core.ring.stream cimport Subscription
from camfleet.core.ring.window cimport NO_BLOCK, window_at, window_clear, window_join, window_push
from camfleet.core.rtp.rtcp cimport RTCP_BYE_SIZE_MAX, write_bye
from camfleet.core.status cimport ERROR_CLOSED, ERROR_MEMORY, ERROR_SYSTEM, STATUS_OK
from camfleet.core.tls.move cimport SESSION_EXPORT_MAX, session_export

cdef extern from "<openssl/crypto.h>" nogil:
    void OPENSSL_cleanse(void *memory, size_t size)

cdef enum:
    SLOT_BITS = 16            # of a client id
    MAX_CLIENTS = 1 << 16     # of one thread, twice what one process may have in open files by most defaults
    EVENTS_PER_WAIT = 256
    TICK_MS = 100
    ALERT_LEVEL_WARNING = 1
    ALERT_CLOSE_NOTIFY = 0

cdef int64_t GOODBYE_NS = 1_000_000_000
cdef int64_t ACKNOWLEDGED_INTERVAL_NS = 1_000_000_000
cdef int64_t WAKE_ID = 0      # ids of clients are never 0


# ---------------------------------------------------------------- life

cdef int engine_init(Engine *engine) noexcept nogil:
    memset(engine, 0, sizeof(Engine))
    engine.epoll = epoll_create1(EPOLL_CLOEXEC)
    if engine.epoll < 0 or queue_init(&engine.commands) < 0 or queue_init(&engine.events) < 0:
        return ERROR_SYSTEM
    pthread_mutex_init(&engine.table_lock, NULL)
    engine.table = <Client **> calloc(MAX_CLIENTS, sizeof(Client *))      # pages are touched as slots are used
    engine.scratch.input = <uint8_t *> malloc(INPUT_BUFFER_SIZE + UNREAD_SIZE_MAX)
    if engine.table == NULL or engine.scratch.input == NULL:
        return ERROR_MEMORY
    cdef epoll_event wake
    wake.events = EPOLLIN
    wake.data.u64 = WAKE_ID
    return epoll_ctl(engine.epoll, EPOLL_CTL_ADD, engine.commands.wake_fd, &wake)


cdef void engine_free(Engine *engine) noexcept nogil:
    cdef Audience *audience = engine.audiences
    cdef Audience *following
    while audience != NULL:
        following = audience.next
        window_clear(&audience.window)
        free(audience)
        audience = following
    queue_free(&engine.commands)
    queue_free(&engine.events)
    pthread_mutex_destroy(&engine.table_lock)
    free(engine.table)
    free(engine.scratch.input)
    free(engine.scratch.sealed)
    free(engine.scratch.copy)
    close(engine.epoll)


cdef uint64_t engine_register(Engine *engine, Client *client) noexcept nogil:
    cdef uint32_t slot = 0
    pthread_mutex_lock(&engine.table_lock)
    while slot < engine.table_used and engine.table[slot] != NULL:
        slot += 1
    if slot < MAX_CLIENTS:
        engine.table_used = max(engine.table_used, slot + 1)
        engine.generation += 1
        client.id = engine.generation << SLOT_BITS | slot
        engine.clients += 1
        # Last, as the engine's thread reads the table without the lock: slots only ever go from NULL to a whole client.
        engine.table[slot] = client
    pthread_mutex_unlock(&engine.table_lock)
    return client.id


cdef Client *find(Engine *engine, uint64_t id) noexcept nogil:
    cdef uint32_t slot = <uint32_t> (id & (MAX_CLIENTS - 1))
    cdef Client *client = engine.table[slot]
    return client if client != NULL and client.id == id else NULL


cdef void forget(Engine *engine, Client *client) noexcept nogil:
    pthread_mutex_lock(&engine.table_lock)
    engine.table[client.id & (MAX_CLIENTS - 1)] = NULL
    engine.clients -= 1
    pthread_mutex_unlock(&engine.table_lock)
    client_free(client)


cdef void drop(Engine *engine, Client *client, const char *reason) noexcept nogil:
    client_fail(client, reason, 0)
    close(client.descriptor)                # also leaves epoll: nobody else has it
    cdef Item *event = item_new(EVENT_CLOSED, client.id, NULL, 0)
    if event != NULL:
        event.reason = client.reason
        event.number[0] = client.error_number
        event.number[1] = <int64_t> client.frames_sent
        event.number[2] = <int64_t> client.frames_skipped
        event.head_size = client.bytes_sent
        queue_put(&engine.events, event)
    forget(engine, client)


# ---------------------------------------------------------------- leaving

cdef void leave(Engine *engine, Client *client, Leaving how, int64_t now_ns) noexcept nogil:
    client_detach(client)
    client.leaving = how
    client.deadline_ns = now_ns + GOODBYE_NS


cdef void close_orderly(Engine *engine, Client *client, const char *reason, int64_t now_ns) noexcept nogil:
    """RFC 8446 6.1: close_notify before the FIN, unless a fatal alert has gone out already."""
    client_fail(client, reason, 0)
    if client.leaving == CLOSING:
        return
    leave(engine, client, CLOSING, now_ns)
    if client.secure and not client.tls.close_sent:
        client_write_alert(client, &engine.scratch, ALERT_LEVEL_WARNING, ALERT_CLOSE_NOTIFY, now_ns)


cdef void release(Engine *engine, Client *client) noexcept nogil:
    """Everything has left: descriptor and session go to Python as one event."""
    cdef uint8_t session[SESSION_EXPORT_MAX]
    cdef int64_t size = 0
    cdef Item *event
    if client.secure:
        size = session_export(&client.tls, session, SESSION_EXPORT_MAX, monotonic_ns())
        if size < 0:
            drop(engine, client, "session cannot be exported")
            return
    event = item_new(EVENT_RELEASED, client.id, session, <size_t> size + client.unread_size)
    OPENSSL_cleanse(session, sizeof(session))
    if event == NULL:
        drop(engine, client, "out of memory")
        return
    memcpy(item_data(event) + size, client.unread, client.unread_size)
    event.head_size = <size_t> size
    event.number[0] = client.descriptor
    epoll_ctl(engine.epoll, EPOLL_CTL_DEL, client.descriptor, NULL)
    queue_put(&engine.events, event)
    forget(engine, client)


cdef void settle(Engine *engine, Client *client, int status, int64_t now_ns) noexcept nogil:
    """After anything was done with a client: act on the status, go on leaving, and tell epoll what it waits for now."""
    cdef epoll_event wish
    cdef uint32_t interest = 0
    if status == ERROR_CLOSED and (client.leaving == CLOSING or not client.tls.close_received):
        drop(engine, client, "connection lost")
        return
    if status < 0:
        close_orderly(engine, client, "error", now_ns)
    if client.leaving == RELEASING and not client_blocked(client):
        release(engine, client)
        return
    if client.leaving == CLOSING and not client_blocked(client) and not client.fin_sent:
        shutdown(client.descriptor, SHUT_WR)
        client.fin_sent = True
    if client.leaving == CLOSING or (
        client.leaving == STAYS
        and client.delivered - client.consumed < UNCONSUMED_MAX
        and client.tail_size - client.tail_offset < PENDING_MAX
    ):
        interest |= EPOLLIN
    if client_blocked(client):
        interest |= EPOLLOUT
    if interest != client.interest:
        wish.events = interest
        wish.data.u64 = client.id
        epoll_ctl(engine.epoll, EPOLL_CTL_MOD, client.descriptor, &wish)
        client.interest = interest


# ---------------------------------------------------------------- media

cdef void begin(Engine *engine, Client *client, uint64_t position) noexcept nogil:
    """The first frame of a reader is known: keep it, and tell Python, which answers PLAY with its numbers."""
    cdef FrameBlock *block = window_at(&client.audience.window, position)
    cdef Item *event = item_new(EVENT_READY, client.id, NULL, 0)
    if event == NULL:
        return
    client.media = MEDIA_READY
    client.position = position
    client.first = block_retain(block)
    client.fresh = True
    event.number[0] = block.first_sequence
    event.number[1] = block.rtp_timestamp
    queue_put(&engine.events, event)


cdef void prepare(Engine *engine, Client *client, Item *command, int64_t now_ns) noexcept nogil:
    cdef Audience *audience = engine.audiences
    cdef uint64_t position
    while audience != NULL and audience.subscription.stream != <StreamState *> command.pointer:
        audience = audience.next
    if audience == NULL or client.leaving != STAYS:
        return
    client_detach(client)
    client_attach(client, audience)
    client.rtp_channel = <uint8_t> command.number[0]
    client.rtcp_channel = <uint8_t> command.number[1]
    client.media = MEDIA_JOINING
    position = window_join(&audience.window, audience.subscription.stream.join, now_ns)
    if position != NO_BLOCK:
        begin(engine, client, position)
    else:
        audience_want_key_frame(audience, now_ns)


cdef void take_blocks(Engine *engine, Audience *audience, int64_t now_ns) noexcept nogil:
    cdef FrameBlock *block = mailbox_take(&audience.subscription.mailbox)
    cdef Client *client
    cdef Client *following
    cdef int status
    if block == NULL:
        return
    while block != NULL:
        window_push(&audience.window, block)
        if block.key_frame:
            client = audience.first
            while client != NULL:
                if client.media == MEDIA_JOINING:
                    begin(engine, client, audience.window.newest_key)
                client = client.next
        block = mailbox_take(&audience.subscription.mailbox)
    client = audience.first
    while client != NULL:
        following = client.next
        # A socket that was full says itself when it is not any more.
        if client.media == MEDIA_PLAYING and not client_blocked(client):
            status = client_pump(client, &engine.scratch, engine.max_lag_ns, now_ns)
            if status < 0 or client_blocked(client):
                settle(engine, client, status, now_ns)
        client = following


cdef int say_goodbye(Engine *engine, Client *client, int64_t now_ns) noexcept nogil:
    """RTCP BYE (RFC 3550 6.6) to a reader that plays."""
    cdef uint8_t bye[RTCP_BYE_SIZE_MAX]
    cdef int64_t size
    if client.media != MEDIA_PLAYING:
        return STATUS_OK
    size = write_bye(&client.audience.subscription.stream.report, bye, sizeof(bye))
    if size < 0:
        return <int> size
    bye[1] = client.rtcp_channel
    return client_write_text(client, &engine.scratch, bye, <size_t> size, now_ns)


# ---------------------------------------------------------------- commands

cdef void add_stream(Engine *engine, Subscription *subscription) noexcept nogil:
    cdef Audience *audience = <Audience *> calloc(1, sizeof(Audience))
    if audience == NULL:
        return
    audience.subscription = subscription
    audience.window.newest_key = NO_BLOCK
    audience.window.keep_ns = 2 * engine.max_lag_ns
    audience.next = engine.audiences
    engine.audiences = audience


cdef void adopt(Engine *engine, Client *client, int64_t now_ns) noexcept nogil:
    cdef epoll_event wish
    client.last_alive_ns = client.last_progress_ns = now_ns
    client.interest = EPOLLIN
    client.adopted = True
    wish.events = EPOLLIN
    wish.data.u64 = client.id
    if epoll_ctl(engine.epoll, EPOLL_CTL_ADD, client.descriptor, &wish) < 0:
        drop(engine, client, "connection lost")
        return


cdef void obey(Engine *engine, Item *command, int64_t now_ns) noexcept nogil:
    cdef Client *client
    cdef int status = STATUS_OK
    if command.kind == COMMAND_STOP:
        engine.stopping = True
        return
    if command.kind == COMMAND_ADD_STREAM:
        add_stream(engine, <Subscription *> command.pointer)
        return
    client = find(engine, command.client)
    if client == NULL:
        return
    if command.kind == COMMAND_ADOPT:
        adopt(engine, client, now_ns)
        return
    if client.leaving != STAYS:
        return
    if command.kind == COMMAND_SEND:
        status = client_write_text(client, &engine.scratch, item_data(command), command.size, now_ns)
    elif command.kind == COMMAND_CONSUMED:
        client.consumed = <uint64_t> command.number[0]
        if command.number[1] and client.consumed == client.delivered:
            client.text_mode = False
    elif command.kind == COMMAND_PREPARE:
        prepare(engine, client, command, now_ns)
    elif command.kind == COMMAND_PLAY:
        status = client_write_text(client, &engine.scratch, item_data(command), command.size, now_ns)
        if status == STATUS_OK and client.media == MEDIA_READY:
            client.media = MEDIA_PLAYING
            status = client_pump(client, &engine.scratch, engine.max_lag_ns, now_ns)
    elif command.kind == COMMAND_PAUSE:
        client_detach(client)
    elif command.kind == COMMAND_END:
        status = say_goodbye(engine, client, now_ns)
        client_detach(client)
    elif command.kind == COMMAND_CLOSE:
        if command.size:
            status = client_write_text(client, &engine.scratch, item_data(command), command.size, now_ns)
        if status == STATUS_OK:
            status = say_goodbye(engine, client, now_ns)
        if status == STATUS_OK:
            close_orderly(engine, client, "closed by the server", now_ns)
    elif command.kind == COMMAND_RELEASE:
        leave(engine, client, RELEASING, now_ns)
    settle(engine, client, status, now_ns)


# ---------------------------------------------------------------- loop

cdef void look_at_acknowledged(Client *client, int64_t now_ns) noexcept nogil:
    """What the peer's kernel acknowledged is a sign of life (interop 43): a player on TCP may send nothing for hours."""
    cdef int unacknowledged = 0
    if ioctl(client.descriptor, SIOCOUTQ, &unacknowledged) == 0:
        if client.bytes_sent - <uint64_t> unacknowledged > client.bytes_acknowledged:
            client.bytes_acknowledged = client.bytes_sent - <uint64_t> unacknowledged
            client.last_alive_ns = now_ns


cdef void tick(Engine *engine, int64_t now_ns) noexcept nogil:
    cdef uint32_t slot
    cdef Client *client
    cdef bint look = now_ns - engine.acknowledged_ns >= ACKNOWLEDGED_INTERVAL_NS
    engine.ticked_ns = now_ns
    if look:
        engine.acknowledged_ns = now_ns
    for slot in range(engine.table_used):
        client = engine.table[slot]
        if client == NULL or not client.adopted:
            continue
        if client.leaving != STAYS and now_ns >= client.deadline_ns:
            drop(engine, client, "closed by the server" if client.leaving == CLOSING else "hand-back timed out")
        elif client_blocked(client) and now_ns - client.last_progress_ns > engine.stall_timeout_ns:
            drop(engine, client, "nothing could be written for too long")
        elif client.media == MEDIA_JOINING:
            audience_want_key_frame(client.audience, now_ns)
        if look and engine.table[slot] != NULL:
            look_at_acknowledged(client, now_ns)


cdef void serve(Engine *engine, epoll_event *ready, int64_t now_ns) noexcept nogil:
    cdef Client *client = find(engine, ready.data.u64)
    cdef int status = STATUS_OK
    if client == NULL:
        return
    if ready.events & (EPOLLERR | EPOLLHUP) and not client.interest & EPOLLIN:
        drop(engine, client, "connection lost")
        return
    if ready.events & (EPOLLIN | EPOLLERR | EPOLLHUP):
        status = client_receive(client, &engine.scratch, &engine.events, now_ns)
    if status == STATUS_OK and ready.events & EPOLLOUT:
        status = client_pump(client, &engine.scratch, engine.max_lag_ns, now_ns)
    settle(engine, client, status, now_ns)


cdef void engine_run(Engine *engine) noexcept nogil:
    cdef epoll_event ready[EVENTS_PER_WAIT]
    cdef int count, i
    cdef int64_t now_ns
    cdef Item *command
    cdef Item *following
    cdef Audience *audience
    cdef uint32_t slot
    while not engine.stopping:
        count = epoll_wait(engine.epoll, ready, EVENTS_PER_WAIT, TICK_MS if engine.clients else -1)
        now_ns = monotonic_ns()
        command = queue_take(&engine.commands)
        while command != NULL:
            following = command.next
            obey(engine, command, now_ns)
            item_free(command)
            command = following
        audience = engine.audiences
        while audience != NULL:
            take_blocks(engine, audience, now_ns)
            audience = audience.next
        for i in range(count):
            serve(engine, &ready[i], now_ns)
        if now_ns - engine.ticked_ns >= TICK_MS * 1_000_000:
            tick(engine, now_ns)
    for slot in range(engine.table_used):
        if engine.table[slot] != NULL:
            drop(engine, engine.table[slot], "the engine has stopped")
