"""FanOut: the Python face of the engine. Every method only queues a command or takes events; see fanout.pyi."""

import os
from collections import namedtuple

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from camfleet.core.mutex cimport pthread_mutex_lock, pthread_mutex_unlock
from camfleet.core.net.client cimport (
    MEDIA_PLAYING, RTCP_SIZE_MAX, UNREAD_SIZE_MAX, Client, client_free, client_new, live_clients,
)
from camfleet.core.net.engine cimport Engine, engine_free, engine_init, engine_run
from camfleet.core.net.inlet cimport Inlet, inlet_hold, inlet_release
from camfleet.core.net.moving cimport MovedClient
from camfleet.core.net.queue cimport (
    COMMAND_ADD_STREAM, COMMAND_ADOPT, COMMAND_CLOSE, COMMAND_CONSUMED, COMMAND_END, COMMAND_GO_ON, COMMAND_LIMITS,
    COMMAND_MOVE, COMMAND_PAUSE, COMMAND_PLAY, COMMAND_PREPARE, COMMAND_RECORD, COMMAND_RELEASE, COMMAND_REMOVE_STREAM,
    COMMAND_SEND, COMMAND_STOP, EVENT_CLOSED, EVENT_MOVED, EVENT_READY, EVENT_RECEIVED, EVENT_STREAM_REMOVED,
    Item, ItemKind, item_data, item_free, item_new, live_items, queue_append, queue_take, queue_wake,
)
from camfleet.core.net.sys cimport monotonic_ns
from camfleet.core.net.table cimport table_add, table_at
from camfleet.core.ring.block cimport live_blocks
from camfleet.core.ring.stream cimport MediaStream, Subscription
from camfleet.core.rtp.packetizer cimport codec_of
from camfleet.core.rtp.stream cimport INTERLEAVED_HEADER_SIZE
from camfleet.core.tls.move cimport session_import
from camfleet.core.tls.session cimport TLSSession

from camfleet.core.net import huge_pages
from camfleet.core.rtp.packetizer import CODECS
from camfleet.core.tls.session import alert_name
from camfleet.core.wire.succession import ReaderState

Received = namedtuple("Received", "client data")
Ready = namedtuple("Ready", "client sequence rtp_timestamp preparation")
Closed = namedtuple("Closed", "client reason detail bytes_sent frames_sent frames_skipped")
Released = namedtuple("Released", "client descriptor session unread")
Moved = namedtuple("Moved", "client descriptor session unread unsent state")
Event = Received | Ready | Closed | Released | Moved
ReaderCounters = namedtuple(
    "ReaderCounters",
    "client bytes_sent frames_sent frames_skipped bytes_received playing fraction_lost last_received_ns lag_ns key_updates",
)
LiveObjects = namedtuple("LiveObjects", "blocks clients items")


def live_objects() -> LiveObjects:
    return LiveObjects(live_blocks(), live_clients(), live_items())


cdef object event_from_item(Item *item):
    cdef const uint8_t *data = item_data(item)
    if item.kind == EVENT_RECEIVED:
        return Received(item.client, data[:item.size])
    if item.kind == EVENT_READY:
        return Ready(item.client, item.number[0], item.number[1], item.number[2])
    if item.kind == EVENT_CLOSED:
        reason = item.reason.decode()
        detail = ""
        if reason.startswith("TLS"):
            detail = alert_name(item.number[0])
        elif item.number[0]:
            detail = os.strerror(item.number[0])
        return Closed(item.client, reason, detail, item.number[1], item.number[2], item.number[3])
    if item.kind == EVENT_MOVED:
        return moved_from_item(item)
    return Released(item.client, item.number[0], data[:item.head_size], data[item.head_size:item.size])


cdef object moved_from_item(Item *item):
    cdef MovedClient *head = <MovedClient *> item_data(item)
    cdef const uint8_t *data = <const uint8_t *> (head + 1)
    cdef const uint8_t *unread = data + head.session_size
    cdef const uint8_t *frame = unread + head.unread_size
    cdef const uint8_t *unsent = frame + head.frame_size
    state = ReaderState(
        frame=frame[:head.frame_size], skip=head.skip, codec=CODECS[head.codec], fraction_lost=head.fraction_lost,
        bytes_sent=head.bytes_sent, bytes_received=head.bytes_received, bytes_acknowledged=head.bytes_acknowledged, frames_sent=head.frames_sent,
        frames_skipped=head.frames_skipped, key_updates=head.key_updates, last_alive_ns=head.last_alive_ns,
        last_progress_ns=head.last_progress_ns,
    )
    return Moved(item.client, item.number[0], data[:head.session_size], unread[:head.unread_size],
                 unsent[:head.unsent_size], state)


cdef int restore(Client *client, state: ReaderState) except -1:
    """As another engine has left it. The caller frees it when this raises."""
    cdef const uint8_t[::1] frame = state.frame
    if frame.shape[0] > INTERLEAVED_HEADER_SIZE + RTCP_SIZE_MAX:
        raise ValueError(f"an interleaved frame of {frame.shape[0]} bytes, none so large is kept")
    if frame.shape[0]:
        client.frame = <uint8_t *> malloc(INTERLEAVED_HEADER_SIZE + RTCP_SIZE_MAX)
        if client.frame == NULL:
            raise MemoryError
        memcpy(client.frame, &frame[0], <size_t> frame.shape[0])
        client.frame_size = <uint32_t> frame.shape[0]
    client.skip, client.codec, client.fraction_lost = state.skip, <uint8_t> codec_of(state.codec), state.fraction_lost
    client.bytes_sent, client.bytes_received = state.bytes_sent, state.bytes_received
    client.bytes_acknowledged = state.bytes_acknowledged
    client.frames_sent, client.frames_skipped = state.frames_sent, state.frames_skipped
    client.last_alive_ns, client.last_progress_ns = state.last_alive_ns, state.last_progress_ns
    if client.tls != NULL:
        client.tls.updates_sent = state.key_updates
    return 0


cdef struct Snapshot:
    uint64_t id, bytes_sent, frames_sent, frames_skipped, bytes_received
    bint playing
    uint8_t fraction_lost
    int64_t last_alive_ns, behind_since_ns
    uint32_t key_updates


cdef Snapshot take_snapshot(const Client *client) noexcept nogil:
    cdef Snapshot snapshot
    snapshot.id = client.id
    snapshot.bytes_sent = client.bytes_sent
    snapshot.frames_sent = client.frames_sent
    snapshot.frames_skipped = client.frames_skipped
    snapshot.bytes_received = client.bytes_received
    snapshot.playing = client.media == MEDIA_PLAYING
    snapshot.fraction_lost = client.fraction_lost
    snapshot.last_alive_ns = client.last_alive_ns
    snapshot.behind_since_ns = client.behind_since_ns
    snapshot.key_updates = client.tls.updates_sent if client.tls != NULL else 0
    return snapshot


cdef object reader_counters(const Snapshot *snapshot, int64_t now_ns):
    return ReaderCounters(
        snapshot.id, snapshot.bytes_sent, snapshot.frames_sent, snapshot.frames_skipped, snapshot.bytes_received,
        bool(snapshot.playing), snapshot.fraction_lost, snapshot.last_alive_ns,
        now_ns - snapshot.behind_since_ns if snapshot.behind_since_ns else 0, snapshot.key_updates,
    )


cdef class FanOut:
    cdef Engine engine
    cdef bint initialized
    cdef list streams           # kept alive as long as the engine holds pointers into them

    cdef uint64_t key_update_records
    cdef int64_t key_update_spacing_ns
    cdef int turns              # `with` blocks that we are in
    cdef bint wake_due          # at the end of the outermost

    def __cinit__(self, *, stall_timeout_s: float = 10.0, max_lag_s: float = 2.0,
                  key_update_records: int = 4_194_304, key_update_spacing_s: float = 10.0,
                  pages_from: int = 8) -> None:
        self.initialized = True
        if engine_init(&self.engine) < 0:
            raise OSError("no epoll instance or eventfd: is the limit of open files reached?")
        self.engine.stall_timeout_ns = <int64_t> (stall_timeout_s * 1e9)
        self.engine.max_lag_ns = <int64_t> (max_lag_s * 1e9)
        self.engine.pages_from = INT64_MAX if huge_pages.possible() else pages_from
        self.key_update_records = key_update_records
        self.key_update_spacing_ns = <int64_t> (key_update_spacing_s * 1e9)
        self.streams = []

    def __dealloc__(self) -> None:
        if self.initialized:
            engine_free(&self.engine)

    @property
    def event_fd(self) -> int:
        return self.engine.events.wake_fd

    def run(self) -> None:
        with nogil:
            engine_run(&self.engine)

    def __enter__(self) -> None:
        self.turns += 1

    def __exit__(self, *_) -> None:
        self.turns -= 1
        if self.wake_due and not self.turns:
            self.wake_due = False
            queue_wake(&self.engine.commands)

    cdef void put(self, Item *command) noexcept:
        if queue_append(&self.engine.commands, command):
            if self.turns:
                self.wake_due = True
            else:
                queue_wake(&self.engine.commands)

    cdef int command(self, ItemKind kind, uint64_t client, const uint8_t *data, size_t size, void *pointer,
                     int64_t first, int64_t second, int64_t third = 0) except -1:
        cdef Item *item = item_new(kind, client, data, size)
        if item == NULL:
            raise MemoryError
        item.pointer = pointer
        item.number[0] = first
        item.number[1] = second
        item.number[2] = third
        self.put(item)
        return 0

    def stop(self) -> None:
        self.command(COMMAND_STOP, 0, NULL, 0, NULL, 0, 0)

    def add_stream(self, MediaStream stream not None) -> None:
        cdef Subscription *subscription = stream.subscribe(self.engine.commands.wake_fd)
        self.streams.append(stream)
        self.command(COMMAND_ADD_STREAM, 0, NULL, 0, subscription, 0, 0)

    def remove_stream(self, MediaStream stream not None) -> None:
        self.command(COMMAND_REMOVE_STREAM, 0, NULL, 0, &stream.state, 0, 0)

    cdef int forget(self, const void *stream) except -1:
        self.streams = [each for each in self.streams if <const void *> &(<MediaStream> each).state != stream]
        return 0

    def set_limits(self, double stall_timeout_s, uint64_t key_update_records, double key_update_spacing_s) -> None:
        self.key_update_records = key_update_records
        self.key_update_spacing_ns = <int64_t> (key_update_spacing_s * 1e9)
        self.command(
            COMMAND_LIMITS, 0, NULL, 0, NULL,
            <int64_t> (stall_timeout_s * 1e9), <int64_t> key_update_records, self.key_update_spacing_ns,
        )

    def adopt(
        self, int descriptor, const uint8_t[::1] session = b"", const uint8_t[::1] unread = b"", bint in_text = False,
        const uint8_t[::1] unsent = b"", state: ReaderState | None = None,
    ) -> int:
        if unread.shape[0] > UNREAD_SIZE_MAX:
            raise ValueError(f"{unread.shape[0]} bytes of unread ciphertext, one record has at most {UNREAD_SIZE_MAX}")
        if unread.shape[0] and not session.shape[0]:
            raise ValueError("unread ciphertext, but no TLS session")
        os.set_blocking(descriptor, False)
        cdef Client *client = client_new(descriptor)
        cdef Item *command = item_new(COMMAND_ADOPT, 0, NULL, 0)     # now: after table_add nothing may fail
        if client == NULL or command == NULL:
            client_free(client)
            item_free(command)
            raise MemoryError
        client.text_mode = in_text
        try:
            if session.shape[0]:
                client.tls = <TLSSession *> calloc(1, sizeof(TLSSession))
                if client.tls == NULL:
                    raise MemoryError
                if session_import(client.tls, &session[0], <size_t> session.shape[0], monotonic_ns()) < 0:
                    raise ValueError("the TLS session cannot be imported")
                client.tls.policy.records_soft = self.key_update_records
                client.tls.policy.spacing_ns = self.key_update_spacing_ns
            if unread.shape[0]:
                client.unread = <uint8_t *> malloc(UNREAD_SIZE_MAX)
                if client.unread == NULL:
                    raise MemoryError
                memcpy(client.unread, &unread[0], <size_t> unread.shape[0])
                client.unread_size = <unsigned int> unread.shape[0]
            if unsent.shape[0]:
                client.tail = <uint8_t *> malloc(<size_t> unsent.shape[0])
                if client.tail == NULL:
                    raise MemoryError
                memcpy(client.tail, &unsent[0], <size_t> unsent.shape[0])
                client.tail_size = client.tail_capacity = <size_t> unsent.shape[0]
            if state is not None:
                restore(client, state)
            command.client = table_add(&self.engine.table, client)
            if command.client == 0:
                raise ValueError("the fan-out thread has stopped or has no place for another client")
        except BaseException:
            client_free(client)
            item_free(command)
            raise
        cdef uint64_t id = command.client
        self.put(command)
        return id

    def send(self, uint64_t client, const uint8_t[::1] data not None) -> None:
        if data.shape[0]:
            self.command(COMMAND_SEND, client, &data[0], <size_t> data.shape[0], NULL, 0, 0)

    def consumed(self, uint64_t client, int64_t total, bint at_boundary, const uint8_t[::1] reply = b"") -> None:
        self.command(
            COMMAND_CONSUMED, client, &reply[0] if reply.shape[0] else NULL, <size_t> reply.shape[0],
            NULL, total, at_boundary,
        )

    def prepare(self, uint64_t client, MediaStream stream not None, uint8_t rtp_channel, uint8_t rtcp_channel,
                str codec not None = "") -> None:
        self.command(
            COMMAND_PREPARE, client, NULL, 0, &stream.state, rtp_channel, rtcp_channel, codec_of(codec),
        )

    def play(self, uint64_t client, const uint8_t[::1] reply not None) -> None:
        self.command(COMMAND_PLAY, client, &reply[0] if reply.shape[0] else NULL, <size_t> reply.shape[0], NULL, 0, 0)

    def go_on(
        self, uint64_t client, MediaStream stream not None, uint8_t rtp_channel, uint8_t rtcp_channel, uint16_t sequence
    ) -> None:
        self.command(COMMAND_GO_ON, client, NULL, 0, &stream.state, rtp_channel, rtcp_channel, sequence)

    def record(self, uint64_t client, Inlet inlet not None, uint8_t rtp_channel, uint8_t rtcp_channel) -> None:
        inlet_hold(inlet.state)
        try:
            self.command(COMMAND_RECORD, client, NULL, 0, inlet.state, rtp_channel, rtcp_channel)
        except MemoryError:
            inlet_release(inlet.state)
            raise

    def pause(self, uint64_t client) -> None:
        self.command(COMMAND_PAUSE, client, NULL, 0, NULL, 0, 0)

    def end(self, uint64_t client) -> None:
        self.command(COMMAND_END, client, NULL, 0, NULL, 0, 0)

    def close(self, uint64_t client, const uint8_t[::1] data = b"") -> None:
        self.command(COMMAND_CLOSE, client, &data[0] if data.shape[0] else NULL, <size_t> data.shape[0], NULL, 0, 0)

    def release(self, uint64_t client) -> None:
        self.command(COMMAND_RELEASE, client, NULL, 0, NULL, 0, 0)

    def move(self, uint64_t client) -> None:
        self.command(COMMAND_MOVE, client, NULL, 0, NULL, 0, 0)

    def events(self) -> list:
        cdef Item *item = queue_take(&self.engine.events)
        cdef Item *following
        found = []
        while item != NULL:
            following = item.next
            try:
                if item.kind == EVENT_STREAM_REMOVED:
                    self.forget(item.pointer)
                else:
                    found.append(event_from_item(item))
            finally:
                item_free(item)
                item = following
        return found

    def readers(self):
        cdef Client *client
        cdef Snapshot *snapshots
        cdef uint64_t slot, count = 0
        cdef int64_t now_ns
        # Copied under the lock, made into objects after it: the engine waits for this lock when a client goes.
        with nogil:
            pthread_mutex_lock(&self.engine.table.lock)
            snapshots = <Snapshot *> malloc(<size_t> self.engine.table.clients * sizeof(Snapshot) + 1)
            if snapshots != NULL:
                for slot in range(self.engine.table.used):
                    client = table_at(&self.engine.table, slot)
                    if client != NULL:
                        snapshots[count] = take_snapshot(client)
                        count += 1
            pthread_mutex_unlock(&self.engine.table.lock)
            now_ns = monotonic_ns()
        if snapshots == NULL:
            raise MemoryError
        try:
            for slot in range(count):
                yield reader_counters(&snapshots[slot], now_ns)
        finally:
            free(snapshots)
