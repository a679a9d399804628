# The clients of a fan-out thread by their ids, and all that this thread and Python's threads both touch of them.
#
#   id = generation << 16 | slot: an old id never names a new client, and finding one is one look.
#
# Any thread may add. Only the fan-out thread finds, walks and removes, without the lock: a slot changes from NULL to a
# whole client, never otherwise under its feet. Python reads counters under the lock, which keeps clients from going.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from camfleet.core.atomic cimport atomic_load_pointer
from camfleet.core.mutex cimport pthread_mutex_t
from camfleet.core.net.client cimport Client

cdef enum:
    MAX_CLIENTS = 1 << 16     # of one thread; most systems allow a process fewer descriptors

cdef struct ClientTable:
    pthread_mutex_t lock
    Client **slots
    uint64_t used             # atomic; slots from here on were never used
    uint64_t taken            # there is no free slot before this one
    int64_t clients           # atomic
    uint64_t generation
    bint closed               # the thread has ended: nobody is taken any more

cdef int table_init(ClientTable *table) noexcept nogil
cdef void table_free(ClientTable *table) noexcept nogil         # must be empty; safe on zeroed memory
# Gives the client its id, and from now on the fan-out thread may free it. 0: full or closed.
cdef uint64_t table_add(ClientTable *table, Client *client) noexcept nogil
cdef void table_close(ClientTable *table) noexcept nogil
cdef Client *table_find(ClientTable *table, uint64_t id) noexcept nogil
cdef void table_remove(ClientTable *table, const Client *client) noexcept nogil


cdef inline Client *table_at(ClientTable *table, uint64_t slot) noexcept nogil:
    return <Client *> atomic_load_pointer(<void **> &table.slots[slot])
