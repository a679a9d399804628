# The loop of a fan-out thread: epoll over its clients, commands in, events out. No Python object and no GIL.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from camfleet.core.net.client cimport Audience, Client, Scratch
from camfleet.core.net.queue cimport Queue
from camfleet.core.net.sys cimport pthread_mutex_t
from camfleet.core.ring.stream cimport StreamState

cdef struct Engine:
    int epoll
    Queue commands            # its eventfd is also rung by streams
    Queue events
    pthread_mutex_t table_lock    # held to add or remove a client, and by Python while it reads counters
    Client **table            # by the low bits of the client id
    uint32_t table_used       # slots from here on were never used
    uint64_t generation       # high bits of ids: an old id never names a new client
    uint32_t clients
    Audience *audiences
    Scratch scratch
    int64_t stall_timeout_ns
    int64_t max_lag_ns
    int64_t ticked_ns
    int64_t acknowledged_ns   # when the acknowledged bytes were looked at last
    bint stopping

cdef int engine_init(Engine *engine) noexcept nogil
cdef void engine_free(Engine *engine) noexcept nogil
# Gives the client an id and a place; from any thread.
# 0: the thread is full.
cdef uint64_t engine_register(Engine *engine, Client *client) noexcept nogil
# Until COMMAND_STOP.
cdef void engine_run(Engine *engine) noexcept nogil
