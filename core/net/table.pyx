"""Ids and slots of clients; table.pxd is the contract."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from camfleet.core.atomic cimport atomic_add_i64, atomic_load_u64, atomic_store_pointer, atomic_store_u64
from camfleet.core.mutex cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock,
)
from camfleet.core.status cimport ERROR_MEMORY, STATUS_OK

cdef enum:
    SLOT_BITS = 16


cdef int table_init(ClientTable *table) noexcept nogil:
    pthread_mutex_init(&table.lock, NULL)
    table.slots = <Client **> calloc(MAX_CLIENTS, sizeof(Client *))       # pages are touched as slots are used
    return STATUS_OK if table.slots != NULL else ERROR_MEMORY


cdef void table_free(ClientTable *table) noexcept nogil:
    pthread_mutex_destroy(&table.lock)
    free(table.slots)


cdef uint64_t table_add(ClientTable *table, Client *client) noexcept nogil:
    cdef uint64_t slot
    cdef uint64_t id = 0
    pthread_mutex_lock(&table.lock)
    slot = table.taken
    while slot < table.used and table.slots[slot] != NULL:
        slot += 1
    if slot < MAX_CLIENTS and not table.closed:
        table.generation += 1
        id = table.generation << SLOT_BITS | slot
        client.id = id
        table.taken = slot + 1
        atomic_add_i64(&table.clients, 1)
        atomic_store_pointer(<void **> &table.slots[slot], client)
        atomic_store_u64(&table.used, max(table.used, slot + 1))
    pthread_mutex_unlock(&table.lock)
    return id


cdef void table_close(ClientTable *table) noexcept nogil:
    pthread_mutex_lock(&table.lock)
    table.closed = True
    pthread_mutex_unlock(&table.lock)


cdef Client *table_find(ClientTable *table, uint64_t id) noexcept nogil:
    cdef Client *client = table_at(table, id & (MAX_CLIENTS - 1))
    return client if client != NULL and client.id == id else NULL


cdef void table_remove(ClientTable *table, const Client *client) noexcept nogil:
    cdef uint64_t slot = client.id & (MAX_CLIENTS - 1)
    pthread_mutex_lock(&table.lock)
    atomic_store_pointer(<void **> &table.slots[slot], NULL)
    atomic_add_i64(&table.clients, -1)
    table.taken = min(table.taken, slot)
    pthread_mutex_unlock(&table.lock)
