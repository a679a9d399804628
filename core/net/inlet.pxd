# What a client sends as media, on its way from the fan-out thread to the thread that makes access units of it: whole
# interleaved frames (RFC 2326 10.12), one after the other. One writer at a time: the fan-out thread, or Python while the
# client's bytes are text. One reader. Nobody waits for anybody: what the reader does not take in time is dropped.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from camfleet.core.mutex cimport pthread_mutex_t

cdef enum:
    INLET_SIZE_MAX = 8 * 1024 * 1024        # seconds of a large stream

cdef struct InletState:
    pthread_mutex_t mutex
    int64_t holders           # the Inlet, the client, and the command on its way to it
    int wake_fd
    bint rung
    uint8_t *data
    size_t capacity
    size_t size
    size_t whole              # of it, in whole frames
    uint32_t missing          # bytes of the frame that has begun
    uint64_t overflows
    int64_t newest_ns         # when the newest frame began

cdef void inlet_hold(InletState *inlet) noexcept nogil
cdef void inlet_release(InletState *inlet) noexcept nogil       # NULL is no inlet
# A frame's header, of INTERLEAVED_HEADER_SIZE; its payload follows by inlet_add in any pieces.
cdef void inlet_begin(InletState *inlet, const uint8_t *header, int64_t now_ns) noexcept nogil
cdef void inlet_add(InletState *inlet, const uint8_t *data, size_t size) noexcept nogil
# Tell the reader, if there is something new that it has not been told of.
cdef void inlet_ring(InletState *inlet) noexcept nogil


cdef class Inlet:
    cdef InletState *state
