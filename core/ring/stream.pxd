# What all readers of one stream share, and its two sides: a pipeline thread pushes, fan-out threads subscribe.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from camfleet.core.mutex cimport pthread_mutex_t
from camfleet.core.ring.latency cimport LatencyHistogram
from camfleet.core.ring.mailbox cimport Mailbox
from camfleet.core.rtp.rtcp cimport SenderReportSource
from camfleet.core.rtp.stream cimport RTPStream

cdef enum:
    MAX_SUBSCRIPTIONS = 8

cdef struct StreamState

# One fan-out thread's end of a stream.
cdef struct Subscription:
    Mailbox mailbox
    int wake_fd               # eventfd of the fan-out thread; a copy of our own, as the thread may end before the stream
    bint overflowed           # blocks were lost: nothing more until a key frame
    LatencyHistogram latency  # the fan-out thread counts
    StreamState *stream

cdef struct StreamState:
    RTPStream rtp
    uint8_t codec             # of the next access unit; the pushing thread's
    SenderReportSource report
    uint32_t timestamp_base
    int64_t ntp_offset_ns
    int join                  # JOIN_*
    int64_t last_report_ns    # of its capture clock
    uint32_t key_frame_wanted # atomic flag: set by fan-out threads, taken by the pipeline
    uint64_t frames, key_frames, packets, bytes, overflows
    uint32_t largest_key_frame
    int64_t last_key_frame_ns     # atomic
    pthread_mutex_t pushing   # held while an access unit is on its way; guards what follows
    bint held                 # nothing leaves: what is pushed is dropped
    bint key_frame_due        # nothing leaves but a key frame later than all before
    int64_t newest_capture_ns, newest_due_ns
    int64_t readers           # atomic; playing or about to
    Subscription *subscriptions[8]
    uint64_t subscription_count   # atomic

# One access unit becomes one block, shown to every subscriber. Returns the block's size, 0 when it was dropped, or a
# negative status.
cdef int64_t stream_push(StreamState *stream, const uint8_t *access_unit, size_t size, int64_t capture_ns,
                         int64_t due_ns) noexcept nogil

cdef class MediaStream:
    cdef StreamState state
    # The subscription lives as long as the stream; the subscriber keeps a reference to the stream.
    cdef Subscription *subscribe(self, int wake_fd) except NULL
