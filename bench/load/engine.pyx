"""The load tool's readers: one epoll set of thousands of RTSP connections, driven by one thread.

The thread alternates between `wait`, which receives, decrypts and counts media without the GIL, and Python, which gets
whole RTSP messages and answers them. So nothing is locked: only what counts and changes nothing (`totals`,
`times`, `delay_histogram`) may be asked by another thread, and it may see a counter that is one packet old.

Bytes are read behind what was left over of the last read of that connection, so that every item is seen in one piece;
between two reads a reader keeps only such a rest, under one packet as a rule.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, strlen
from posix.time cimport (
    CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, clock_gettime, clock_nanosleep, clockid_t, timespec,
)
from posix.unistd cimport close
from camfleet.bench.load.connection cimport (
    Connection, TLSClient, connection_close, connection_connected, connection_flush, connection_goodbye,
    connection_handshake, connection_open, connection_queue, connection_receive,
)
from camfleet.bench.load.framing cimport ITEM_FRAME, ITEM_INVALID, MAX_ITEM_SIZE, Item, next_item
from camfleet.bench.load.media cimport DELAY_BUCKETS, MAX_TRACKS, Delays, Track, track_rtcp, track_rtp
from camfleet.core.rtp.packetizer cimport codec_of, format_of

from typing import NamedTuple

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLLIN
        EPOLLOUT
    ctypedef union epoll_data:
        uint32_t u32
    struct epoll_event:
        uint32_t events
        epoll_data data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int descriptor, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int size, int timeout_ms)

cdef enum:
    CONNECTING = 0
    HANDSHAKE = 1
    OPEN = 2
    CLOSED = 3
    BATCH = 256               # epoll events of one pass
    # Between passes that found all there was. Who sleeps in epoll is woken by the next frame, and on one host the server
    # pays for that, frame by frame: an eighth of what a reader costs. A client elsewhere costs it nothing. Frames are
    # seen so much later at the most.
    NAP_NS = 1_000_000
    OWN_SHARE = 16            # of so many TLS readers all but the first open records without libssl (decision 16)
    # One read takes up to this much. A reader that has more waiting is behind by more than a key frame.
    READ_SIZE = 262_144

cdef struct Reader:
    Connection connection
    int state
    uint32_t interest         # what epoll watches for
    uint8_t *rest             # received, but not yet a whole item
    size_t rest_size
    size_t rest_capacity
    int64_t connected_ns
    int64_t secure_ns
    uint64_t octets
    int tracks
    Track track[4]

cdef struct Event:
    uint32_t reader
    bint closed
    size_t size
    uint8_t *data


cdef inline int64_t _clock(clockid_t clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


class Message(NamedTuple):
    reader: int
    data: bytes


class Closed(NamedTuple):
    reader: int
    reason: str


class Totals(NamedTuple):
    octets: int
    packets: int
    malformed: int
    sequence_gaps: int
    packets_missing: int
    frames: int
    frames_incomplete: int
    key_frames: int
    frame_gaps: int
    frames_missing: int
    started: int
    reads: int
    full_reads: int
    cpu_ns: int


class Times(NamedTuple):
    connected_ns: int
    secure_ns: int
    first_key_ns: int
    last_frame_ns: int
    longest_ns: int
    first_sequences: tuple


cdef class Engine:
    cdef int epoll
    cdef uint32_t capacity
    cdef uint32_t opened
    cdef Reader *readers
    cdef uint8_t *buffer
    cdef Event *queue
    cdef size_t queued
    cdef size_t queue_capacity
    cdef TLSClient tls
    cdef Delays delays
    cdef uint64_t reads
    cdef uint64_t full_reads
    cdef int64_t cpu_ns

    # ---------------------------------------------------------------- life

    def __cinit__(self, uint32_t capacity, TLSClient tls not None):
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.capacity = capacity
        self.readers = <Reader *>calloc(capacity, sizeof(Reader))
        self.buffer = <uint8_t *>malloc(MAX_ITEM_SIZE + READ_SIZE)
        self.tls = tls
        if self.epoll < 0 or self.readers == NULL or self.buffer == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t index
        cdef size_t event
        for index in range(self.opened):
            self._release(&self.readers[index])
        for event in range(self.queued):
            free(self.queue[event].data)
        free(self.queue)
        free(self.readers)
        free(self.buffer)
        if self.epoll >= 0:
            close(self.epoll)

    # ---------------------------------------------------------------- orders

    def open(self, int descriptor, bytes request, bytes tls_name=None, bint is_address=False):
        cdef Reader *reader
        cdef bint tls = tls_name is not None
        cdef const char *name = tls_name if tls else b""
        if self.opened == self.capacity:
            raise ValueError(f"{self.capacity} readers are open already")
        reader = &self.readers[self.opened]
        self.opened += 1
        if not connection_open(&reader.connection, descriptor, self.tls.context if tls else NULL, self.tls.verify, name,
                               is_address, (self.opened - 1) % OWN_SHARE != 0):
            raise MemoryError
        connection_queue(&reader.connection, request, len(request))
        self._watch(reader, EPOLL_CTL_ADD)
        return self.opened - 1

    def send(self, uint32_t index, bytes data):
        cdef Reader *reader = self._reader(index)
        if reader.state == OPEN:
            connection_queue(&reader.connection, data, len(data))
            connection_flush(&reader.connection)
            self._watch(reader, EPOLL_CTL_MOD)

    def track(self, uint32_t index, uint8_t rtp_channel, uint8_t rtcp_channel, str codec not None, uint32_t clock_rate):
        cdef Reader *reader = self._reader(index)
        cdef Track *track
        if reader.tracks == MAX_TRACKS:
            raise ValueError(f"over {MAX_TRACKS} tracks")
        track = &reader.track[reader.tracks]
        track.rtp_channel = rtp_channel
        track.rtcp_channel = rtcp_channel
        track.form = format_of(<uint8_t>codec_of(codec))
        track.clock_rate = clock_rate
        reader.tracks += 1

    def close(self, uint32_t index):
        cdef Reader *reader = self._reader(index)
        if reader.state == OPEN:
            connection_goodbye(&reader.connection)
        self._release(reader)

    def wait(self, double timeout_s):
        cdef int64_t deadline = _clock(CLOCK_MONOTONIC) + <int64_t>(timeout_s * 1e9)
        cdef Event *event
        cdef size_t index
        with nogil:
            self._run(deadline)
            self.cpu_ns = _clock(CLOCK_THREAD_CPUTIME_ID)
        events = []
        for index in range(self.queued):
            event = &self.queue[index]
            data = event.data[:event.size]
            free(event.data)
            events.append(Closed(event.reader, data.decode()) if event.closed else Message(event.reader, data))
        self.queued = 0
        return events

    # ---------------------------------------------------------------- answers

    def totals(self):
        cdef uint64_t octets = 0, packets = 0, malformed = 0, gaps = 0, missing = 0, frames = 0, incomplete = 0
        cdef uint64_t keys = 0, frame_gaps = 0, frames_missing = 0, started = 0
        cdef uint32_t index
        cdef int which
        cdef Reader *reader
        cdef Track *track
        for index in range(self.opened):
            reader = &self.readers[index]
            octets += reader.octets
            started += _first_key(reader) != 0
            for which in range(reader.tracks):
                track = &reader.track[which]
                packets += track.packets
                malformed += track.malformed
                gaps += track.sequence_gaps
                missing += track.packets_missing
                frames += track.frames
                incomplete += track.frames_incomplete
                keys += track.key_frames
                frame_gaps += track.frame_gaps
                frames_missing += track.frames_missing
        return Totals(octets, packets, malformed, gaps, missing, frames, incomplete, keys, frame_gaps, frames_missing,
                      started, self.reads, self.full_reads, self.cpu_ns)

    def times(self, uint32_t index):
        cdef Reader *reader = self._reader(index)
        cdef Track *track
        cdef int64_t last = 0, longest = 0
        cdef int which
        sequences = []
        for which in range(reader.tracks):
            track = &reader.track[which]
            last = max(last, track.last_frame_ns)
            longest = max(longest, track.longest_ns)
            sequences.append(track.first_sequence if track.started else None)
        return Times(reader.connected_ns, reader.secure_ns, _first_key(reader), last, longest, tuple(sequences))

    def delay_histogram(self):
        return [self.delays.buckets[index] for index in range(DELAY_BUCKETS)]

    # ---------------------------------------------------------------- the loop

    cdef Reader *_reader(self, uint32_t index) except NULL:
        if index >= self.opened:
            raise IndexError(index)
        return &self.readers[index]

    # Until something is for Python, or the deadline; what has arrived is counted at least once.
    cdef void _run(self, int64_t deadline) noexcept nogil:
        cdef epoll_event events[BATCH]
        cdef int64_t left = deadline - _clock(CLOCK_MONOTONIC)
        cdef int count, index
        cdef timespec nap
        nap.tv_sec = 0
        nap.tv_nsec = NAP_NS
        while True:
            count = epoll_wait(self.epoll, events, BATCH, <int>((max(left, 0) + 999_999) // 1_000_000))
            for index in range(count):
                self._service(&self.readers[events[index].data.u32], events[index].events)
            left = deadline - _clock(CLOCK_MONOTONIC)
            if self.queued or left <= 0:
                return
            if count < BATCH:
                clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL)

    cdef void _service(self, Reader *reader, uint32_t events) noexcept nogil:
        cdef Connection *connection = &reader.connection
        if reader.state == CONNECTING:
            connection_connected(connection)
            reader.connected_ns = _clock(CLOCK_MONOTONIC)
            reader.state = HANDSHAKE
        if reader.state == HANDSHAKE and connection.failure == NULL and connection_handshake(connection):
            reader.secure_ns = _clock(CLOCK_MONOTONIC)
            reader.state = OPEN
            connection_flush(connection)
        elif reader.state == OPEN:
            if events & EPOLLOUT:
                connection_flush(connection)
            if events & ~<uint32_t>EPOLLOUT and connection.failure == NULL:
                self._read(reader)
        if connection.failure == NULL:
            self._watch(reader, EPOLL_CTL_MOD)
        else:
            self._push(reader, <const uint8_t *>connection.failure, strlen(connection.failure), True)
            self._release(reader)

    cdef void _read(self, Reader *reader) noexcept nogil:
        cdef size_t filled
        cdef bint more = True
        while more:
            filled = reader.rest_size
            if filled:
                memcpy(self.buffer, reader.rest, filled)
            filled += connection_receive(&reader.connection, self.buffer + filled, READ_SIZE, &more)
            reader.octets += filled - reader.rest_size
            self.reads += 1
            self.full_reads += more
            self._take(reader, filled)
            more = more and reader.connection.failure == NULL

    # Every whole item at the beginning of the buffer; what is left over is kept for the next read.
    cdef void _take(self, Reader *reader, size_t filled) noexcept nogil:
        cdef int64_t now_ns = _clock(CLOCK_MONOTONIC), unix_ns = _clock(CLOCK_REALTIME)
        cdef uint8_t *at = self.buffer
        cdef Item item
        cdef int kind = next_item(at, filled, &item)
        while kind > 0:
            if kind == ITEM_FRAME:
                self._frame(reader, &item, now_ns, unix_ns)
            else:
                self._push(reader, item.data, item.size, False)
            at += item.taken
            filled -= item.taken
            kind = next_item(at, filled, &item)
        if kind == ITEM_INVALID:
            reader.connection.failure = b"sent neither RTSP nor a $ frame"
            filled = 0
        if filled > reader.rest_capacity:
            free(reader.rest)
            reader.rest = <uint8_t *>malloc(filled)
            reader.rest_capacity = filled
            if reader.rest == NULL:
                reader.connection.failure = b"out of memory"
                reader.rest_capacity = filled = 0
        if filled:
            memcpy(reader.rest, at, filled)
        reader.rest_size = filled

    cdef void _frame(self, Reader *reader, const Item *item, int64_t now_ns, int64_t unix_ns) noexcept nogil:
        cdef int which
        for which in range(reader.tracks):
            if reader.track[which].rtp_channel == item.channel:
                track_rtp(&reader.track[which], item.data, item.size, now_ns, unix_ns, &self.delays)
            elif reader.track[which].rtcp_channel == item.channel:
                track_rtcp(&reader.track[which], item.data, item.size)

    # ---------------------------------------------------------------- what changes besides media

    cdef void _watch(self, Reader *reader, int operation) noexcept nogil:
        cdef epoll_event event
        event.events = EPOLLIN | (EPOLLOUT if reader.connection.wants_write else 0)
        event.data.u32 = <uint32_t>(reader - self.readers)
        if event.events != reader.interest:
            reader.interest = event.events
            epoll_ctl(self.epoll, operation, reader.connection.descriptor, &event)

    cdef void _push(self, Reader *reader, const uint8_t *data, size_t size, bint closed) noexcept nogil:
        cdef Event *event
        cdef size_t capacity = max(<size_t>64, 2 * self.queue_capacity)
        if self.queued == self.queue_capacity:
            event = <Event *>realloc(self.queue, capacity * sizeof(Event))
            if event == NULL:
                return
            self.queue = event
            self.queue_capacity = capacity
        event = &self.queue[self.queued]
        event.data = <uint8_t *>malloc(size)
        if event.data == NULL:
            return
        memcpy(event.data, data, size)
        event.size = size
        event.reader = <uint32_t>(reader - self.readers)
        event.closed = closed
        self.queued += 1

    cdef void _release(self, Reader *reader) noexcept nogil:
        if reader.state != CLOSED:
            reader.state = CLOSED
            connection_close(&reader.connection)
            free(reader.rest)
            reader.rest = NULL
            reader.rest_size = reader.rest_capacity = 0


cdef int64_t _first_key(const Reader *reader) noexcept nogil:
    cdef int which
    for which in range(reader.tracks):
        if reader.track[which].first_key_ns:
            return reader.track[which].first_key_ns
    return 0
