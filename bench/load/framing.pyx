"""Cutting a connection's bytes into items; see framing.pxd."""

from libc.string cimport memchr
from posix.strings cimport strncasecmp
from camfleet.core.octets cimport OctetReader, octet_reader, take_octets, take_u8, take_u16


# The value of a Content-Length line; 0 for any other line, MAX_MESSAGE_SIZE for a value that is too large.
cdef size_t _content_length(const uint8_t *line, size_t size) noexcept nogil:
    cdef size_t at = 15, value = 0
    if size < at or strncasecmp(<const char *>line, "Content-Length:", at) != 0:
        return 0
    while at < size and line[at] == c' ':
        at += 1
    while at < size and c'0' <= line[at] <= c'9' and value < MAX_MESSAGE_SIZE:
        value = value * 10 + line[at] - c'0'
        at += 1
    return min(value, <size_t>MAX_MESSAGE_SIZE)


cdef int _next_message(const uint8_t *stream, size_t size, Item *item) noexcept nogil:
    cdef const uint8_t *end
    cdef size_t at = 0, line, body = 0
    while True:
        end = <const uint8_t *>memchr(stream + at, c'\n', min(size, <size_t>MAX_MESSAGE_SIZE) - at)
        if end == NULL:
            return ITEM_INCOMPLETE if size < MAX_MESSAGE_SIZE else ITEM_INVALID
        line = <size_t>(end - stream) - at
        if at and line <= 1:      # CR LF, or LF alone
            at += line + 1
            break
        body += _content_length(stream + at, line)
        at += line + 1
    if at + body > MAX_MESSAGE_SIZE:
        return ITEM_INVALID
    if at + body > size:
        return ITEM_INCOMPLETE
    item.data = stream
    item.size = item.taken = at + body
    return ITEM_MESSAGE


cdef int next_item(const uint8_t *stream, size_t size, Item *item) noexcept nogil:
    cdef OctetReader reader = octet_reader(stream, size)
    if not size:
        return ITEM_INCOMPLETE
    if stream[0] != c'$':
        return _next_message(stream, size, item)
    take_u8(&reader)
    item.channel = take_u8(&reader)
    item.size = take_u16(&reader)
    item.data = take_octets(&reader, item.size)
    item.taken = 4 + item.size
    return ITEM_INCOMPLETE if reader.short else ITEM_FRAME


def items(bytes stream):
    cdef Item item
    cdef size_t at = 0, size = len(stream)
    cdef const uint8_t *place = stream
    cdef int kind = next_item(place, size, &item)
    found = []
    while kind > 0:
        found.append((item.channel if kind == ITEM_FRAME else None, item.data[:item.size]))
        at += item.taken
        kind = next_item(place + at, size - at, &item)
    if kind == ITEM_INVALID:
        raise ValueError("neither RTSP nor a $ frame")
    return found, stream[at:]
