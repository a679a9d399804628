from libc.stdint cimport int64_t, uint8_t

from camfleet.core.net.client cimport Client, Scratch

# All return STATUS_OK, or negative: close the client.
cdef int client_write_text(Client *client, Scratch *scratch, const uint8_t *data, size_t size,
                           int64_t now_ns) noexcept nogil
cdef int client_write_alert(Client *client, Scratch *scratch, uint8_t level, uint8_t description,
                            int64_t now_ns) noexcept nogil
# Send what waits, then frames until there is no more, the socket is full (`client_blocked`), or its turn is over
# (`client.more`).
cdef int client_pump(Client *client, Scratch *scratch, int64_t max_lag_ns, int64_t now_ns) noexcept nogil
# All frames that there are, for a client that is about to move: what the socket does not take joins what waits. A
# backlog that is too large is given up, as by a reader that is too slow.
cdef int client_finish(Client *client, Scratch *scratch, int64_t max_lag_ns, int64_t now_ns) noexcept nogil
