# What the engine's thread and Python threads say to each other: a list under a mutex that nobody holds for longer
# than it takes to link one item or to take the whole list, and an eventfd to wake the other side.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from camfleet.core.mutex cimport pthread_mutex_t

cdef enum ItemKind:
    # commands, from Python
    COMMAND_ADOPT
    COMMAND_SEND
    COMMAND_CONSUMED
    COMMAND_PREPARE
    COMMAND_PLAY
    COMMAND_GO_ON
    COMMAND_RECORD
    COMMAND_PAUSE
    COMMAND_END
    COMMAND_CLOSE
    COMMAND_RELEASE
    COMMAND_MOVE
    COMMAND_ADD_STREAM
    COMMAND_REMOVE_STREAM
    COMMAND_LIMITS
    COMMAND_STOP
    # events, to Python
    EVENT_RECEIVED
    EVENT_READY
    EVENT_CLOSED
    EVENT_RELEASED
    EVENT_STREAM_REMOVED
    EVENT_MOVED

cdef struct Item:
    Item *next
    ItemKind kind
    uint64_t client
    void *pointer             # a Client, a Subscription, a StreamState, an InletState
    const char *reason        # a literal
    int64_t number[4]         # meaning by kind
    size_t head_size          # EVENT_RELEASED: data = exported session, then unread ciphertext
    size_t size
    # `size` bytes follow


cdef inline uint8_t *item_data(Item *item) noexcept nogil:
    return <uint8_t *> (item + 1)


cdef struct Queue:
    pthread_mutex_t mutex
    Item *first
    Item *last
    int wake_fd

cdef int queue_init(Queue *queue) noexcept nogil
cdef void queue_free(Queue *queue) noexcept nogil
# An item with `size` bytes to fill, in memory of malloc that is large enough and that item_free will free; NULL: NULL.
cdef Item *item_in(void *memory, ItemKind kind, uint64_t client, size_t size) noexcept nogil
# NULL when memory is out. `data` is copied; NULL: the `size` bytes are the caller's to fill.
cdef Item *item_new(ItemKind kind, uint64_t client, const uint8_t *data, size_t size) noexcept nogil
cdef void queue_put(Queue *queue, Item *item) noexcept nogil
# In two steps, so that one wake-up can be for many items: whether one is due, and the wake-up.
cdef bint queue_append(Queue *queue, Item *item) noexcept nogil
cdef void queue_wake(Queue *queue) noexcept nogil
# The whole list, in order, now the caller's; also resets the eventfd.
cdef Item *queue_take(Queue *queue) noexcept nogil
cdef void item_free(Item *item) noexcept nogil         # NULL is no item
# How many there are in this process.
cdef int64_t live_items() noexcept nogil
