# One client connection, TCP or TLS, non-blocking: connect, handshake, receive, send. It does not know epoll; the loop
# asks `wants_write`, and `failure` after each call.

from libc.stdint cimport int64_t, uint8_t
from camfleet.bench.load.openssl cimport SSL, SSL_CTX

cdef struct Connection:
    int descriptor
    SSL *ssl                  # NULL: plain TCP
    bint verify
    uint8_t *unsent
    size_t unsent_size
    bint wants_write
    const char *failure       # why it cannot go on, a string that lives for ever

cdef class TLSClient:
    cdef SSL_CTX *context
    cdef bint verify

# A socket that is connecting. `tls` may be NULL; `name` is the server's, an address if `is_address`. False: no memory.
cdef bint connection_open(Connection *connection, int descriptor, SSL_CTX *tls, bint verify, const char *name,
                          bint is_address) noexcept nogil
# The socket became writable: connected, or `failure`.
cdef void connection_connected(Connection *connection) noexcept nogil
# True when complete (at once without TLS).
cdef bint connection_handshake(Connection *connection) noexcept nogil
# Bytes received, at most `size`; 0 when there is nothing more now, or `failure`.
cdef int64_t connection_receive(Connection *connection, uint8_t *data, size_t size) noexcept nogil
# Queue, then send what the peer takes.
cdef void connection_queue(Connection *connection, const uint8_t *data, size_t size) noexcept nogil
cdef void connection_flush(Connection *connection) noexcept nogil
cdef void connection_goodbye(Connection *connection) noexcept nogil      # close_notify
cdef void connection_close(Connection *connection) noexcept nogil
