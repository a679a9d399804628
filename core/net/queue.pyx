"""Queues between the engine and Python; queue.pxd is the contract."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from posix.unistd cimport close, read, write

from camfleet.core.atomic cimport atomic_add_i64, atomic_load_i64
from camfleet.core.mutex cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock,
)
from camfleet.core.net.sys cimport EFD_CLOEXEC, EFD_NONBLOCK, eventfd
from camfleet.core.status cimport ERROR_SYSTEM, STATUS_OK
from camfleet.core.tls.libcrypto cimport OPENSSL_cleanse

cdef int64_t live = 0


cdef int queue_init(Queue *queue) noexcept nogil:
    queue.first = queue.last = NULL
    pthread_mutex_init(&queue.mutex, NULL)
    queue.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    return STATUS_OK if queue.wake_fd >= 0 else ERROR_SYSTEM


cdef void queue_free(Queue *queue) noexcept nogil:
    cdef Item *item = queue.first
    cdef Item *following
    while item != NULL:
        following = item.next
        item_free(item)
        item = following
    pthread_mutex_destroy(&queue.mutex)
    if queue.wake_fd >= 0:
        close(queue.wake_fd)


cdef Item *item_in(void *memory, ItemKind kind, uint64_t client, size_t size) noexcept nogil:
    cdef Item *item = <Item *> memory
    if item == NULL:
        return NULL
    atomic_add_i64(&live, 1)
    memset(item, 0, sizeof(Item))
    item.kind = kind
    item.client = client
    item.size = size
    return item


cdef Item *item_new(ItemKind kind, uint64_t client, const uint8_t *data, size_t size) noexcept nogil:
    cdef Item *item = item_in(malloc(sizeof(Item) + size), kind, client, size)
    if item != NULL and data != NULL:
        memcpy(item_data(item), data, size)
    return item


cdef void item_free(Item *item) noexcept nogil:
    if item == NULL:
        return
    # RTSP text holds credentials and a released session holds keys: neither stays behind in freed memory.
    OPENSSL_cleanse(item_data(item), item.size)
    free(item)
    atomic_add_i64(&live, -1)


cdef int64_t live_items() noexcept nogil:
    return atomic_load_i64(&live)


cdef bint queue_append(Queue *queue, Item *item) noexcept nogil:
    cdef bint was_empty
    item.next = NULL
    pthread_mutex_lock(&queue.mutex)
    was_empty = queue.first == NULL
    if was_empty:
        queue.first = item
    else:
        queue.last.next = item
    queue.last = item
    pthread_mutex_unlock(&queue.mutex)
    return was_empty


cdef void queue_wake(Queue *queue) noexcept nogil:
    cdef uint64_t one = 1
    write(queue.wake_fd, &one, sizeof(one))


cdef void queue_put(Queue *queue, Item *item) noexcept nogil:
    if queue_append(queue, item):
        queue_wake(queue)


cdef Item *queue_take(Queue *queue) noexcept nogil:
    cdef uint64_t count
    # Before the list: an item put between the two is then seen, or wakes again.
    read(queue.wake_fd, &count, sizeof(count))
    pthread_mutex_lock(&queue.mutex)
    cdef Item *items = queue.first
    queue.first = queue.last = NULL
    pthread_mutex_unlock(&queue.mutex)
    return items
