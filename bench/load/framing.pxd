# What stands next in the bytes of an RTSP connection: a $ frame or a message with its body.

from libc.stdint cimport uint8_t

cdef enum:
    ITEM_INVALID = -1
    ITEM_INCOMPLETE = 0
    ITEM_FRAME = 1            # RFC 2326 10.12
    ITEM_MESSAGE = 2
    MAX_MESSAGE_SIZE = 65_536
    MAX_ITEM_SIZE = 4 + 65_536

cdef struct Item:
    uint8_t channel           # of a frame
    const uint8_t *data       # a frame's content; a whole message
    size_t size
    size_t taken              # from the stream

cdef int next_item(const uint8_t *stream, size_t size, Item *item) noexcept nogil
