# The loop of a fan-out thread: epoll over its clients, commands in, events out. No Python object and no GIL.

from libc.stdint cimport int64_t

from camfleet.core.net.client cimport Audience, Client, Scratch
from camfleet.core.net.queue cimport Queue
from camfleet.core.net.table cimport ClientTable

cdef struct Engine:
    int epoll
    Queue commands            # its eventfd is also rung by streams
    Queue events
    ClientTable table
    Audience *audiences
    Scratch scratch
    int64_t stall_timeout_ns
    int64_t max_lag_ns
    int64_t pages_from        # plain readers of a stream, see Audience
    int64_t ticked_ns
    int64_t acknowledged_ns   # when the acknowledged bytes were looked at last
    bint stopping

# Negative: no descriptor or memory; engine_free is due all the same.
cdef int engine_init(Engine *engine) noexcept nogil
cdef void engine_free(Engine *engine) noexcept nogil
# Until COMMAND_STOP.
cdef void engine_run(Engine *engine) noexcept nogil
