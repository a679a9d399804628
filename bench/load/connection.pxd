# One client connection, TCP or TLS, non-blocking: connect, handshake, receive, send. It does not know epoll; the loop
# asks `wants_write`, and `failure` after each call.

from libc.stdint cimport uint8_t
from camfleet.bench.load.opener cimport Opener
from camfleet.bench.load.openssl cimport SSL, SSL_CTX

cdef struct Connection:
    int descriptor
    SSL *ssl                  # NULL: plain TCP
    Opener opener             # when it is ready, libssl only seals
    bint verify
    uint8_t *unsent
    size_t unsent_size
    bint wants_write
    const char *failure       # why it cannot go on, a string that lives for ever

cdef class TLSClient:
    cdef SSL_CTX *context
    cdef bint verify

# A socket that is connecting. `tls` may be NULL; `name` is the server's, an address if `is_address`; `own`: open records
# ourselves if we can. False: no memory. The connection may not move.
cdef bint connection_open(Connection *connection, int descriptor, SSL_CTX *tls, bint verify, const char *name,
                          bint is_address, bint own) noexcept nogil
# The socket became writable: connected, or `failure`.
cdef void connection_connected(Connection *connection) noexcept nogil
# True when complete (at once without TLS).
cdef bint connection_handshake(Connection *connection) noexcept nogil
# All that has come, `size` bytes at the most, which are over two records; returns how many. `more`: there may be more.
cdef size_t connection_receive(Connection *connection, uint8_t *data, size_t size, bint *more) noexcept nogil
# Queue, then send what the peer takes.
cdef void connection_queue(Connection *connection, const uint8_t *data, size_t size) noexcept nogil
cdef void connection_flush(Connection *connection) noexcept nogil
cdef void connection_goodbye(Connection *connection) noexcept nogil      # close_notify
cdef void connection_close(Connection *connection) noexcept nogil
