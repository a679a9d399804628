"""MediaStream: packetize once per stream, show the frame block to every fan-out thread (design section 4)."""

import os
from collections import namedtuple

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.unistd cimport close, write

from camfleet.core.atomic cimport (
    atomic_exchange_u32, atomic_load_i64, atomic_load_u64, atomic_store_i64, atomic_store_u64,
)
from camfleet.core.clock cimport ntp_from_unix_ns, rtp_ticks
from camfleet.core.mutex cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock,
)
from camfleet.core.ring.block cimport FrameBlock, block_data, block_new, block_release, block_retain
from camfleet.core.ring.latency cimport LATENCY_BUCKETS, latency_collect, latency_percentile
from camfleet.core.ring.mailbox cimport mailbox_put, mailbox_take, mailbox_was_empty
from camfleet.core.ring.window cimport JOIN_FORCE, JOIN_LIVE, JOIN_NEWEST
from camfleet.core.rtp.nal cimport Access, NALFormat, nal_measure, nal_write
from camfleet.core.rtp.packetizer cimport NO_CODEC, codec_of, format_of
from camfleet.core.rtp.rtcp cimport MAX_CNAME_SIZE, sender_report_size, write_sender_report
from camfleet.core.status cimport ERROR_MEMORY

from camfleet.core.rtp.packetizer import CODECS
from camfleet.core.wire.succession import StreamNumbers

cdef enum:
    VIDEO_CLOCK_RATE = 90_000               # RFC 6184 8.1, RFC 7798 7.1

# RFC 3550 6.2 recommends 5 s; with a frame's time to spare, so that no gap is longer than that.
cdef int64_t REPORT_INTERVAL_NS = 4_900_000_000
# A frame that goes on for another process's needs a timestamp of its own: 90 ticks.
cdef int64_t FRAME_DISTANCE_MIN_NS = 1_000_000

JOIN_MODES = {"force": JOIN_FORCE, "newest": JOIN_NEWEST, "live": JOIN_LIVE}

StreamCounters = namedtuple(
    "StreamCounters", "frames key_frames bytes packets last_key_frame_ns largest_key_frame readers overflows"
)

StreamLatency = namedtuple("StreamLatency", "p50_ns p99_ns")


cdef void publish(Subscription *subscription, FrameBlock *block) noexcept nogil:
    """Never waits: a fan-out thread that does not keep up loses whole groups of pictures."""
    cdef uint64_t one = 1
    if subscription.overflowed and not block.key_frame:
        subscription.stream.overflows += 1
        return
    if not mailbox_put(&subscription.mailbox, block_retain(block)):
        block_release(block)
        subscription.overflowed = True
        subscription.stream.overflows += 1
        return
    subscription.overflowed = False
    if mailbox_was_empty(&subscription.mailbox):
        write(subscription.wake_fd, &one, sizeof(one))


cdef int64_t stream_push(StreamState *stream, const uint8_t *access_unit, size_t size, int64_t capture_ns,
                         int64_t due_ns) noexcept nogil:
    cdef int64_t written = 0
    pthread_mutex_lock(&stream.pushing)
    if not stream.held:
        written = push(stream, access_unit, size, capture_ns, due_ns)
    pthread_mutex_unlock(&stream.pushing)
    return written


cdef int64_t push(StreamState *stream, const uint8_t *access_unit, size_t size, int64_t capture_ns,
                  int64_t due_ns) noexcept nogil:
    cdef const NALFormat *form = format_of(stream.codec)
    cdef Access access
    cdef int status = nal_measure(form, access_unit, size, &access)
    if status < 0:
        return status
    if stream.key_frame_due:
        if not access.key_frame or capture_ns - stream.newest_capture_ns < FRAME_DISTANCE_MIN_NS:
            atomic_exchange_u32(&stream.key_frame_wanted, 1)
            return 0
        stream.key_frame_due = False
    cdef bint report_due = stream.frames == 0 or capture_ns - stream.last_report_ns >= REPORT_INTERVAL_NS
    # A key frame carries a report for those who join at it (RFC 6051 2.1 wants one as early as possible).
    cdef size_t report_size = sender_report_size(&stream.report) if report_due or access.key_frame else 0
    cdef size_t capacity = report_size + <size_t> access.size
    cdef FrameBlock *block = block_new(capacity)
    if block == NULL:
        return ERROR_MEMORY

    block.capture_ns = capture_ns
    block.due_ns = due_ns
    block.rtp_timestamp = stream.timestamp_base + rtp_ticks(capture_ns, VIDEO_CLOCK_RATE)
    block.first_sequence = stream.rtp.sequence
    block.codec = stream.codec
    block.key_frame = access.key_frame
    block.report_due = report_due
    block.report_size = <uint32_t> report_size
    cdef uint8_t *out = block_data(block)
    cdef int64_t written = 0
    if report_size:
        written = write_sender_report(&stream.report, ntp_from_unix_ns(capture_ns + stream.ntp_offset_ns),
                                      block.rtp_timestamp, stream.rtp.packets, stream.rtp.octets, out, capacity)
    if written >= 0:
        written = nal_write(form, &stream.rtp, access_unit, size, block.rtp_timestamp, out + report_size,
                            capacity - report_size)
    if written < 0:
        block_release(block)
        return written
    block.size = <uint32_t> (report_size + written)

    if report_due:
        stream.last_report_ns = capture_ns
    stream.newest_capture_ns = max(stream.newest_capture_ns, capture_ns)
    stream.newest_due_ns = max(stream.newest_due_ns, due_ns)
    stream.frames += 1
    stream.packets += access.packets
    stream.bytes += block.size
    if access.key_frame:
        stream.key_frames += 1
        atomic_store_i64(&stream.last_key_frame_ns, due_ns)
        stream.largest_key_frame = max(stream.largest_key_frame, block.size)
    cdef uint64_t i
    for i in range(atomic_load_u64(&stream.subscription_count)):
        publish(stream.subscriptions[i], block)
    written = block.size
    block_release(block)
    return written


cdef class MediaStream:
    def __cinit__(self, *_, **__) -> None:
        pthread_mutex_init(&self.state.pushing, NULL)

    def __init__(self, *, ntp_offset_ns: int, cname: bytes, codec: str = "h264", join: str = "force",
                 payload_type: int = 96, ssrc: int | None = None, sequence: int | None = None,
                 timestamp: int | None = None) -> None:
        if not 0 < len(cname) <= MAX_CNAME_SIZE:
            raise ValueError(f"CNAME of {len(cname)} bytes, allowed are 1 to {MAX_CNAME_SIZE}")
        # RFC 3550 5.1: SSRC, first sequence number and timestamp are random.
        self.state.rtp.ssrc = int.from_bytes(os.urandom(4), "big") if ssrc is None else ssrc
        self.state.rtp.sequence = int.from_bytes(os.urandom(2), "big") if sequence is None else sequence
        self.state.timestamp_base = int.from_bytes(os.urandom(4), "big") if timestamp is None else timestamp
        self.state.rtp.payload_type = payload_type
        self.state.rtp.channel = 0
        self.state.report.ssrc = self.state.rtp.ssrc
        self.state.report.channel = 1
        self.state.report.cname_size = len(cname)
        memcpy(self.state.report.cname, <const uint8_t *> cname, len(cname))
        self.state.ntp_offset_ns = ntp_offset_ns
        self.join = join
        self.codec = codec

    def __dealloc__(self) -> None:
        cdef FrameBlock *block
        pthread_mutex_destroy(&self.state.pushing)
        for i in range(self.state.subscription_count):
            while (block := mailbox_take(&self.state.subscriptions[i].mailbox)) != NULL:
                block_release(block)
            close(self.state.subscriptions[i].wake_fd)
            free(self.state.subscriptions[i])

    cdef Subscription *subscribe(self, int wake_fd) except NULL:
        cdef uint64_t count = self.state.subscription_count
        if count == MAX_SUBSCRIPTIONS:
            raise ValueError(f"a stream has at most {MAX_SUBSCRIPTIONS} subscriptions")
        copy = os.dup(wake_fd)
        cdef Subscription *subscription = <Subscription *> calloc(1, sizeof(Subscription))
        if subscription == NULL:
            os.close(copy)
            raise MemoryError
        subscription.wake_fd = copy
        subscription.stream = &self.state
        self.state.subscriptions[count] = subscription
        atomic_store_u64(&self.state.subscription_count, count + 1)
        return subscription

    @property
    def join(self) -> str:
        return next(name for name, mode in JOIN_MODES.items() if mode == self.state.join)

    @join.setter
    def join(self, str name not None) -> None:
        self.state.join = JOIN_MODES[name]

    @property
    def codec(self) -> str:
        return CODECS[self.state.codec]

    @codec.setter
    def codec(self, str name not None) -> None:
        cdef int codec = codec_of(name)
        if codec == NO_CODEC:
            raise ValueError("a stream has a codec")
        self.state.codec = <uint8_t> codec

    @property
    def ssrc(self) -> int:
        return self.state.rtp.ssrc

    @property
    def payload_type(self) -> int:
        return self.state.rtp.payload_type

    def push(self, access_unit, int64_t capture_ns, int64_t due_ns) -> int:
        cdef Py_buffer view
        cdef int64_t status
        PyObject_GetBuffer(access_unit, &view, PyBUF_SIMPLE)
        try:
            with nogil:
                status = stream_push(&self.state, <const uint8_t *> view.buf, <size_t> view.len, capture_ns, due_ns)
        finally:
            PyBuffer_Release(&view)
        if status == ERROR_MEMORY:
            raise MemoryError
        if status < 0:
            raise ValueError(f"not an {self.codec} access unit in Annex B form: {view.len} bytes, status {status}")
        return status

    def take_key_frame_request(self) -> bool:
        return atomic_exchange_u32(&self.state.key_frame_wanted, 0) != 0

    def request_key_frame(self) -> None:
        atomic_exchange_u32(&self.state.key_frame_wanted, 1)

    def hold(self) -> StreamNumbers:
        cdef StreamState *state = &self.state
        with nogil:
            pthread_mutex_lock(&state.pushing)
            state.held = True
            pthread_mutex_unlock(&state.pushing)
        return StreamNumbers(
            codec=self.codec, ssrc=state.rtp.ssrc, sequence=state.rtp.sequence, timestamp_base=state.timestamp_base,
            ntp_offset_ns=state.ntp_offset_ns, packets=state.rtp.packets, octets=state.rtp.octets,
            last_report_ns=state.last_report_ns, newest_capture_ns=state.newest_capture_ns,
            newest_due_ns=state.newest_due_ns, frames=state.frames,
            key_frames=state.key_frames, total_packets=state.packets, total_bytes=state.bytes,
        )

    def go_on(self, numbers: StreamNumbers | None = None) -> None:
        cdef StreamState *state = &self.state
        if numbers is not None:
            if not state.held:
                raise ValueError("a stream takes over the numbers of another one only while it is held")
            state.rtp.ssrc = state.report.ssrc = numbers.ssrc
            state.rtp.sequence, state.timestamp_base = numbers.sequence, numbers.timestamp_base
            state.ntp_offset_ns = numbers.ntp_offset_ns
            state.rtp.packets, state.rtp.octets = numbers.packets, numbers.octets
            state.last_report_ns, state.newest_capture_ns = numbers.last_report_ns, numbers.newest_capture_ns
            state.frames, state.key_frames = numbers.frames, numbers.key_frames
            state.packets, state.bytes = numbers.total_packets, numbers.total_bytes
        self.request_key_frame()
        with nogil:
            pthread_mutex_lock(&state.pushing)
            state.key_frame_due = True
            state.held = False
            pthread_mutex_unlock(&state.pushing)

    def rtp_timestamp(self, int64_t capture_ns) -> int:
        return <uint32_t> (self.state.timestamp_base + rtp_ticks(capture_ns, VIDEO_CLOCK_RATE))

    def counters(self) -> StreamCounters:
        return StreamCounters(
            self.state.frames, self.state.key_frames, self.state.bytes, self.state.packets,
            self.state.last_key_frame_ns, self.state.largest_key_frame, atomic_load_i64(&self.state.readers),
            self.state.overflows,
        )

    def latency(self, int64_t now_ns) -> StreamLatency:
        cdef uint64_t counts[LATENCY_BUCKETS]
        cdef uint64_t i
        memset(counts, 0, sizeof(counts))
        for i in range(atomic_load_u64(&self.state.subscription_count)):
            latency_collect(&self.state.subscriptions[i].latency, now_ns, counts)
        return StreamLatency(latency_percentile(counts, 50), latency_percentile(counts, 99))
