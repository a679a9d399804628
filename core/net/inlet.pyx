"""Media of a client that publishes; inlet.pxd is the contract."""

import os

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy
from posix.unistd cimport close, read, write

from camfleet.core.mutex cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock,
)
from camfleet.core.net.sys cimport EFD_CLOEXEC, EFD_NONBLOCK, eventfd, monotonic_ns
from camfleet.core.rtp.stream cimport INTERLEAVED_HEADER_SIZE

cdef enum:
    CAPACITY_MIN = 65_536


cdef void inlet_hold(InletState *inlet) noexcept nogil:
    pthread_mutex_lock(&inlet.mutex)
    inlet.holders += 1
    pthread_mutex_unlock(&inlet.mutex)


cdef void inlet_release(InletState *inlet) noexcept nogil:
    cdef bint last
    if inlet == NULL:
        return
    pthread_mutex_lock(&inlet.mutex)
    inlet.holders -= 1
    last = inlet.holders == 0
    pthread_mutex_unlock(&inlet.mutex)
    if last:
        pthread_mutex_destroy(&inlet.mutex)
        close(inlet.wake_fd)
        free(inlet.data)
        free(inlet)


cdef void drop_begun(InletState *inlet) noexcept nogil:
    """Under the lock, as all below. The rest of the frame passes by."""
    inlet.size = inlet.whole
    inlet.missing = 0


cdef void append(InletState *inlet, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t capacity
    cdef uint8_t *larger
    if inlet.size + size > inlet.capacity:
        capacity = max(<size_t> CAPACITY_MIN, 2 * (inlet.size + size))
        larger = <uint8_t *> realloc(inlet.data, capacity)
        if larger == NULL:
            drop_begun(inlet)
            return
        inlet.data, inlet.capacity = larger, capacity
    memcpy(inlet.data + inlet.size, data, size)
    inlet.size += size


cdef void inlet_begin(InletState *inlet, const uint8_t *header, int64_t now_ns) noexcept nogil:
    pthread_mutex_lock(&inlet.mutex)
    drop_begun(inlet)                   # there is one if its client has moved on in the middle of it
    if inlet.whole > INLET_SIZE_MAX:
        inlet.size = inlet.whole = 0
        inlet.overflows += 1
    inlet.missing = (header[2] << 8) | header[3]
    inlet.newest_ns = now_ns
    append(inlet, header, INTERLEAVED_HEADER_SIZE)
    if inlet.missing == 0:
        inlet.whole = inlet.size
    pthread_mutex_unlock(&inlet.mutex)


cdef void inlet_add(InletState *inlet, const uint8_t *data, size_t size) noexcept nogil:
    pthread_mutex_lock(&inlet.mutex)
    if size <= inlet.missing:           # else it was dropped
        inlet.missing -= <uint32_t> size
        append(inlet, data, size)
        if inlet.missing == 0:
            inlet.whole = inlet.size
    pthread_mutex_unlock(&inlet.mutex)


cdef void inlet_ring(InletState *inlet) noexcept nogil:
    cdef int64_t one = 1
    cdef bint due
    pthread_mutex_lock(&inlet.mutex)
    due = inlet.whole != 0 and not inlet.rung
    inlet.rung |= due
    pthread_mutex_unlock(&inlet.mutex)
    if due:
        write(inlet.wake_fd, &one, sizeof(one))


cdef class Inlet:
    def __cinit__(self) -> None:
        self.state = <InletState *> calloc(1, sizeof(InletState))
        if self.state == NULL:
            raise MemoryError
        self.state.holders = 1
        self.state.newest_ns = monotonic_ns()
        pthread_mutex_init(&self.state.mutex, NULL)
        self.state.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if self.state.wake_fd < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self) -> None:
        inlet_release(self.state)

    @property
    def fd(self) -> int:
        return self.state.wake_fd

    @property
    def newest_ns(self) -> int:
        return self.state.newest_ns

    @property
    def overflows(self) -> int:
        return self.state.overflows

    def take(self) -> bytes:
        cdef InletState *inlet = self.state
        cdef uint8_t *taken
        cdef uint8_t *begun = NULL
        cdef size_t size, rest
        cdef int64_t rings
        # The buffer changes hands, and only the beginning of a frame is copied: the fan-out thread may wait for this.
        with nogil:
            read(inlet.wake_fd, &rings, sizeof(rings))
            pthread_mutex_lock(&inlet.mutex)
            inlet.rung = False
            taken, size, rest = inlet.data, inlet.whole, inlet.size - inlet.whole
            if size:
                if rest:
                    begun = <uint8_t *> malloc(rest)
                    if begun != NULL:
                        memcpy(begun, taken + size, rest)
                    else:
                        inlet.missing = 0
                        rest = 0
                inlet.data, inlet.capacity, inlet.size, inlet.whole = begun, rest, rest, 0
            pthread_mutex_unlock(&inlet.mutex)
        if not size:
            return b""
        try:
            return taken[:size]
        finally:
            free(taken)

    def put(self, uint8_t channel, const uint8_t[::1] payload not None, int64_t now_ns) -> None:
        cdef uint8_t[4] header
        cdef size_t size = <size_t> payload.shape[0]
        if size > 0xFFFF:
            raise ValueError(f"an interleaved frame of {size} bytes, none has over {0xFFFF}")
        header[0], header[1], header[2], header[3] = c"$", channel, <uint8_t> (size >> 8), <uint8_t> (size & 0xFF)
        with nogil:
            inlet_begin(self.state, header, now_ns)
            if size:
                inlet_add(self.state, &payload[0], size)
            inlet_ring(self.state)
