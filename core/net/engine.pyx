"""The fan-out loop; engine.pxd is the contract."""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from posix.unistd cimport close

from camfleet.core.atomic cimport atomic_load_i64, atomic_load_u64
from camfleet.core.net.audience cimport (
    audience_awaits_codec, audience_forget, audience_free, audience_go_on, audience_join, audience_leave,
    audience_misled, audience_new, audience_take_blocks, audience_want_key_frame,
)
from camfleet.core.net.client cimport (
    CLOSING, INPUT_BUFFER_SIZE, MEDIA_JOINING, MEDIA_PLAYING, MEDIA_READY, NOTHING_DUE, STAYS,
    UNREAD_SIZE_MAX, client_blocked, client_fail, peer_said_close,
)
from camfleet.core.net.inlet cimport InletState, inlet_release
from camfleet.core.net.input cimport client_publish, client_receive, end_of_input
from camfleet.core.net.leaving cimport close_orderly, drop, release, say_goodbye, settle
from camfleet.core.net.moving cimport move_out
from camfleet.core.net.output cimport client_finish, client_pump, client_write_text
from camfleet.core.net.queue cimport (
    COMMAND_ADD_STREAM, COMMAND_ADOPT, COMMAND_CLOSE, COMMAND_CONSUMED, COMMAND_END, COMMAND_GO_ON, COMMAND_LIMITS,
    COMMAND_MOVE, COMMAND_PAUSE, COMMAND_PLAY, COMMAND_PREPARE, COMMAND_RECORD, COMMAND_RELEASE, COMMAND_REMOVE_STREAM,
    COMMAND_SEND, COMMAND_STOP, EVENT_MOVED, EVENT_RELEASED, EVENT_STREAM_REMOVED,
    Item, item_data, item_free, item_new, queue_free, queue_init, queue_put, queue_take,
)
from camfleet.core.net.sys cimport (
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, SIOCOUTQ,
    epoll_create1, epoll_ctl, epoll_event, epoll_wait_ns, ioctl, monotonic_ns,
)
from camfleet.core.net.table cimport table_at, table_close, table_find, table_free, table_init
from camfleet.core.ring.stream cimport Subscription
from camfleet.core.ring.window cimport NO_BLOCK
from camfleet.core.status cimport ERROR_MEMORY, ERROR_SYSTEM, STATUS_OK

cdef enum:
    EVENTS_PER_WAIT = 256

cdef int64_t TICK_NS = 100_000_000
cdef int64_t ACKNOWLEDGED_INTERVAL_NS = 1_000_000_000
cdef uint64_t WAKE_ID = 0     # ids of clients are never 0


# ---------------------------------------------------------------- life

cdef int engine_init(Engine *engine) noexcept nogil:
    cdef epoll_event wake
    memset(engine, 0, sizeof(Engine))
    engine.epoll = engine.commands.wake_fd = engine.events.wake_fd = -1
    engine.scratch.input = <uint8_t *> malloc(INPUT_BUFFER_SIZE + UNREAD_SIZE_MAX)
    if engine.scratch.input == NULL or table_init(&engine.table) < 0:
        return ERROR_MEMORY
    engine.epoll = epoll_create1(EPOLL_CLOEXEC)
    if engine.epoll < 0 or queue_init(&engine.commands) < 0 or queue_init(&engine.events) < 0:
        return ERROR_SYSTEM
    wake.events = EPOLLIN
    wake.data.u64 = WAKE_ID
    return epoll_ctl(engine.epoll, EPOLL_CTL_ADD, engine.commands.wake_fd, &wake)


cdef void drop_all(Engine *engine) noexcept nogil:
    cdef uint64_t slot
    cdef Client *client
    table_close(&engine.table)
    for slot in range(atomic_load_u64(&engine.table.used)):
        client = table_at(&engine.table, slot)
        if client != NULL:
            drop(engine, client, "the engine has stopped")


cdef void free_pointer(Item *command) noexcept nogil:
    """What a command holds that nobody has taken: its client has gone."""
    if command.kind == COMMAND_RECORD:
        inlet_release(<InletState *> command.pointer)


cdef void free_commands(Engine *engine) noexcept nogil:
    cdef Item *command = queue_take(&engine.commands)
    cdef Item *following
    while command != NULL:
        following = command.next
        free_pointer(command)
        item_free(command)
        command = following


cdef void free_events(Engine *engine) noexcept nogil:
    """A connection that was given up and that nobody took is still ours to close."""
    cdef Item *event = queue_take(&engine.events)
    cdef Item *following
    while event != NULL:
        following = event.next
        if event.kind == EVENT_RELEASED or event.kind == EVENT_MOVED:
            close(<int> event.number[0])
        item_free(event)
        event = following


cdef void engine_free(Engine *engine) noexcept nogil:
    cdef Audience *audience = engine.audiences
    cdef Audience *following
    drop_all(engine)
    free_commands(engine)
    free_events(engine)
    while audience != NULL:
        following = audience.next
        audience_free(audience)
        audience = following
    queue_free(&engine.commands)
    queue_free(&engine.events)
    table_free(&engine.table)
    free(engine.scratch.input)
    free(engine.scratch.sealed)
    free(engine.scratch.copy)
    if engine.epoll >= 0:
        close(engine.epoll)


# ---------------------------------------------------------------- media

cdef int send_away(Engine *engine, Client *client, int64_t now_ns) noexcept nogil:
    """The stream is not what this client was told in DESCRIBE: it has to ask again. STATUS_OK, or negative."""
    cdef int status = say_goodbye(engine, client, now_ns)
    if status == STATUS_OK:
        close_orderly(engine, client, "the stream has another codec now", now_ns)
    return status


cdef void show_blocks(Engine *engine, Audience *audience, int64_t until_ns, int64_t now_ns) noexcept nogil:
    """A stream's blocks that are due by `until_ns` to all who play it. A socket that was full says itself when it is not any more."""
    cdef Client *client
    cdef Client *following
    cdef int status
    cdef uint64_t needed = NO_BLOCK
    if not audience_take_blocks(audience, &engine.events, until_ns):
        return
    client = audience.first
    while client != NULL:
        following = client.next
        if audience_misled(audience, client):
            if not audience_awaits_codec(audience, client):
                settle(engine, client, send_away(engine, client, now_ns), now_ns)
            client = following
            continue
        if client.media != MEDIA_JOINING:
            needed = min(needed, client.position)
        if client.media == MEDIA_PLAYING and not client_blocked(client):
            status = client_pump(client, &engine.scratch, engine.max_lag_ns, now_ns)
            if status < 0 or client_blocked(client) or client.more:
                settle(engine, client, status, now_ns)
        client = following
    audience_forget(audience, needed)


# ---------------------------------------------------------------- commands

cdef void add_stream(Engine *engine, Subscription *subscription) noexcept nogil:
    cdef Audience *audience = audience_new(subscription, engine.max_lag_ns, engine.pages_from)
    if audience != NULL:
        audience.next = engine.audiences
        engine.audiences = audience


cdef void remove_stream(Engine *engine, void *stream) noexcept nogil:
    """Who is still there has no media any more. The event says that nothing here points into the stream now."""
    cdef Audience **link = &engine.audiences
    cdef Audience *audience
    cdef Item *event = item_new(EVENT_STREAM_REMOVED, 0, NULL, 0)
    while link[0] != NULL and <void *> link[0].subscription.stream != stream:
        link = &link[0].next
    audience = link[0]
    if audience != NULL:
        link[0] = audience.next
        while audience.first != NULL:
            audience_leave(audience.first)
        audience_free(audience)
    if event != NULL:               # else the stream's memory is kept until the engine's end
        event.pointer = stream
        queue_put(&engine.events, event)


cdef Audience *audience_of(Engine *engine, const void *stream) noexcept nogil:
    cdef Audience *audience = engine.audiences
    while audience != NULL and <const void *> audience.subscription.stream != stream:
        audience = audience.next
    return audience


cdef void set_limits(Engine *engine, const Item *command) noexcept nogil:
    """For those who are here already; who comes later has been given the same by FanOut.adopt."""
    cdef uint64_t slot
    cdef Client *client
    engine.stall_timeout_ns = command.number[0]
    for slot in range(atomic_load_u64(&engine.table.used)):
        client = table_at(&engine.table, slot)
        if client != NULL and client.adopted and client.tls != NULL:
            client.tls.policy.records_soft = <uint64_t> command.number[1]
            client.tls.policy.spacing_ns = command.number[2]


cdef void adopt(Engine *engine, Client *client, int64_t now_ns) noexcept nogil:
    cdef epoll_event wish
    if not client.last_alive_ns:      # else it comes from another engine
        client.last_alive_ns = client.last_progress_ns = now_ns
    client.interest = EPOLLIN
    client.adopted = True
    wish.events = EPOLLIN
    wish.data.u64 = client.id
    if epoll_ctl(engine.epoll, EPOLL_CTL_ADD, client.descriptor, &wish) < 0:
        client_fail(client, "connection lost", errno)
        drop(engine, client, "connection lost")
    elif peer_said_close(client):     # at the last owner, behind a request that is still to be answered
        client.text_mode = True
        settle(engine, client, end_of_input(client, &engine.events), now_ns)
    elif client_blocked(client):
        settle(engine, client, STATUS_OK, now_ns)


cdef int obey_for(Engine *engine, Client *client, Item *command, int64_t now_ns) noexcept nogil:
    """A command about a client that stays. STATUS_OK, or negative: close it."""
    cdef Audience *audience
    cdef int status = STATUS_OK
    if command.size:
        status = client_write_text(client, &engine.scratch, item_data(command), command.size, now_ns)
    if status < 0:
        return status
    if command.kind == COMMAND_CONSUMED:
        client.consumed = <uint64_t> command.number[0]
        if command.number[1] and client.consumed == client.delivered:
            client.text_mode = False
    elif command.kind == COMMAND_PREPARE:
        client.preparations += 1
        audience = audience_of(engine, command.pointer)
        if audience != NULL:
            client.rtp_channel = <uint8_t> command.number[0]
            client.rtcp_channel = <uint8_t> command.number[1]
            client.codec = <uint8_t> command.number[2]
            audience_join(audience, client, &engine.events, now_ns)
    elif command.kind == COMMAND_PLAY and client.media == MEDIA_READY:
        client.media = MEDIA_PLAYING
        status = client_pump(client, &engine.scratch, engine.max_lag_ns, now_ns)
    elif command.kind == COMMAND_GO_ON:
        audience = audience_of(engine, command.pointer)
        if audience != NULL:
            client.rtp_channel = <uint8_t> command.number[0]
            client.rtcp_channel = <uint8_t> command.number[1]
            audience_go_on(audience, client, <uint16_t> command.number[2])
            status = client_pump(client, &engine.scratch, engine.max_lag_ns, now_ns)
    elif command.kind == COMMAND_RECORD:
        client.rtp_channel = <uint8_t> command.number[0]
        client.rtcp_channel = <uint8_t> command.number[1]
        client_publish(client, <InletState *> command.pointer)
        command.pointer = NULL
    elif command.kind == COMMAND_PAUSE:
        audience_leave(client)
        client_publish(client, NULL)
    elif command.kind == COMMAND_END:
        status = say_goodbye(engine, client, now_ns)
        audience_leave(client)
        client_publish(client, NULL)
    elif command.kind == COMMAND_CLOSE:
        status = say_goodbye(engine, client, now_ns)
        if status == STATUS_OK:
            close_orderly(engine, client, "closed by the server", now_ns)
    elif command.kind == COMMAND_RELEASE:
        release(client, now_ns)
    return status


cdef void show_all_blocks(Engine *engine, int64_t until_ns, int64_t now_ns) noexcept nogil:
    cdef Audience *audience = engine.audiences
    while audience != NULL:
        show_blocks(engine, audience, until_ns, now_ns)
        audience = audience.next


cdef void move(Engine *engine, Client *client, int64_t now_ns) noexcept nogil:
    cdef int status = client_finish(client, &engine.scratch, engine.max_lag_ns, now_ns)
    if status < 0:
        settle(engine, client, status, now_ns)
    else:
        audience_leave(client)
        move_out(engine, client)


cdef void obey(Engine *engine, Item *command, int64_t now_ns) noexcept nogil:
    cdef Client *client
    if command.kind == COMMAND_MOVE:
        show_all_blocks(engine, NOTHING_DUE, now_ns)      # what was pushed before the command leaves before the client
    if command.kind == COMMAND_STOP:
        engine.stopping = True
    elif command.kind == COMMAND_ADD_STREAM:
        add_stream(engine, <Subscription *> command.pointer)
    elif command.kind == COMMAND_REMOVE_STREAM:
        remove_stream(engine, command.pointer)
    elif command.kind == COMMAND_LIMITS:
        set_limits(engine, command)
    else:
        client = table_find(&engine.table, command.client)
        if client != NULL and command.kind == COMMAND_ADOPT:
            adopt(engine, client, now_ns)
        elif client != NULL and client.leaving == STAYS and command.kind == COMMAND_MOVE:
            move(engine, client, now_ns)
        elif client != NULL and client.leaving == STAYS:
            settle(engine, client, obey_for(engine, client, command, now_ns), now_ns)
        free_pointer(command)


# ---------------------------------------------------------------- loop

cdef void look_at_acknowledged(Client *client, int64_t now_ns) noexcept nogil:
    """What the peer's kernel acknowledged is a sign of life (interop 43): a player on TCP may send nothing for hours."""
    cdef int waiting = 0
    cdef int64_t acknowledged
    if ioctl(client.descriptor, SIOCOUTQ, &waiting) == 0:
        acknowledged = <int64_t> client.bytes_sent - waiting    # below 0: bytes of the last owner wait too
        if acknowledged > client.bytes_acknowledged:
            client.bytes_acknowledged = acknowledged
            # A line so slow that its socket never has room still moves: the reader skips, but it stays.
            client.last_alive_ns = client.last_progress_ns = now_ns


cdef void keep_deadlines(Engine *engine, Client *client, bint look, int64_t now_ns) noexcept nogil:
    if client.leaving != STAYS and now_ns >= client.deadline_ns:
        drop(engine, client, "closed by the server" if client.leaving == CLOSING else "hand-back timed out")
        return
    if client_blocked(client) and now_ns - client.last_progress_ns > engine.stall_timeout_ns:
        drop(engine, client, "nothing could be written for too long")
        return
    if client.media == MEDIA_JOINING:
        audience_want_key_frame(client.audience, now_ns)
    if look:
        look_at_acknowledged(client, now_ns)


cdef void tick(Engine *engine, int64_t now_ns) noexcept nogil:
    cdef uint64_t slot
    cdef Client *client
    cdef bint look = now_ns - engine.acknowledged_ns >= ACKNOWLEDGED_INTERVAL_NS
    engine.ticked_ns = now_ns
    if look:
        engine.acknowledged_ns = now_ns
    for slot in range(atomic_load_u64(&engine.table.used)):
        client = table_at(&engine.table, slot)
        if client != NULL and client.adopted:
            keep_deadlines(engine, client, look, now_ns)


cdef void serve(Engine *engine, epoll_event *ready, int64_t now_ns) noexcept nogil:
    cdef Client *client
    cdef int status = STATUS_OK
    if ready.data.u64 == WAKE_ID:
        return
    client = table_find(&engine.table, ready.data.u64)
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


cdef int64_t sleep_ns(const Engine *engine) noexcept nogil:
    """Until the next block is due or clients are to be looked at; negative: until somebody rings."""
    cdef int64_t due_ns = NOTHING_DUE
    cdef int64_t now_ns
    cdef const Audience *audience = engine.audiences
    while audience != NULL:
        due_ns = min(due_ns, audience.next_due_ns)
        audience = audience.next
    if due_ns == NOTHING_DUE:
        return TICK_NS if atomic_load_i64(&engine.table.clients) else -1
    now_ns = monotonic_ns()
    return min(max(<int64_t> 0, due_ns - now_ns), TICK_NS)


cdef void engine_run(Engine *engine) noexcept nogil:
    cdef epoll_event ready[EVENTS_PER_WAIT]
    cdef int count, i
    cdef int64_t now_ns
    cdef Item *command
    cdef Item *following
    while not engine.stopping:
        count = epoll_wait_ns(engine.epoll, ready, EVENTS_PER_WAIT, sleep_ns(engine))
        now_ns = monotonic_ns()
        command = queue_take(&engine.commands)
        while command != NULL:
            following = command.next
            obey(engine, command, now_ns)
            item_free(command)
            command = following
        show_all_blocks(engine, now_ns, now_ns)
        for i in range(count):
            serve(engine, &ready[i], now_ns)
        if now_ns - engine.ticked_ns >= TICK_NS:
            tick(engine, now_ns)
    drop_all(engine)
