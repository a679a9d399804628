"""Client connections over libssl or plain sockets; see connection.pxd."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset, strerror
from posix.unistd cimport close
from camfleet.bench.load cimport openssl
from camfleet.bench.load.opener cimport Opener, opener_begin, opener_hear, opener_open, opener_wipe
from camfleet.bench.load.openssl cimport SSL, SSL_CTX

cdef extern from "<sys/socket.h>" nogil:
    enum:
        SOL_SOCKET
        SO_ERROR
        MSG_NOSIGNAL
    ssize_t recv(int descriptor, void *data, size_t size, int flags)
    ssize_t send(int descriptor, const void *data, size_t size, int flags)
    int getsockopt(int descriptor, int level, int option, void *value, uint32_t *size)

cdef enum:
    READ_AHEAD = 32_768       # two records with one system call instead of four


cdef void _hear_key(const SSL *ssl, const char *line) noexcept nogil:
    cdef Opener *opener = <Opener *>openssl.SSL_get_app_data(ssl)
    if opener != NULL:
        opener_hear(opener, line)


cdef class TLSClient:
    def __cinit__(self, cafile=None):
        self.context = openssl.SSL_CTX_new(openssl.TLS_client_method())
        if self.context == NULL:
            raise MemoryError
        openssl.SSL_CTX_set_mode(self.context, openssl.SSL_MODE_RELEASE_BUFFERS | openssl.SSL_MODE_ENABLE_PARTIAL_WRITE
                                 | openssl.SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER)
        openssl.SSL_CTX_set_keylog_callback(self.context, _hear_key)
        openssl.SSL_CTX_set_read_ahead(self.context, 1)
        openssl.SSL_CTX_set_default_read_buffer_len(self.context, READ_AHEAD)
        self.verify = cafile is not None
        if self.verify:
            if openssl.SSL_CTX_load_verify_locations(self.context, cafile.encode(), NULL) != 1:
                openssl.ERR_clear_error()
                raise ValueError(f"{cafile}: no certificates to trust")
            openssl.SSL_CTX_set_verify(self.context, openssl.SSL_VERIFY_PEER, NULL)

    def __dealloc__(self):
        openssl.SSL_CTX_free(self.context)


# ---------------------------------------------------------------- life

cdef bint connection_open(Connection *connection, int descriptor, SSL_CTX *tls, bint verify, const char *name,
                          bint is_address, bint own) noexcept nogil:
    memset(connection, 0, sizeof(Connection))
    connection.descriptor = descriptor
    connection.verify = verify
    connection.wants_write = True
    if tls == NULL:
        return True
    connection.ssl = openssl.SSL_new(tls)
    if connection.ssl == NULL or openssl.SSL_set_fd(connection.ssl, descriptor) != 1:
        return False
    if own:
        openssl.SSL_set_app_data(connection.ssl, &connection.opener)
        openssl.SSL_set_read_ahead(connection.ssl, 0)      # what is behind the handshake is not libssl's
    if not is_address:        # RFC 6066 3: no literal addresses in server_name
        openssl.SSL_set_tlsext_host_name(connection.ssl, name)
    return openssl.SSL_set1_host(connection.ssl, name) == 1


cdef void connection_connected(Connection *connection) noexcept nogil:
    cdef int error = 0
    cdef uint32_t size = sizeof(error)
    getsockopt(connection.descriptor, SOL_SOCKET, SO_ERROR, &error, &size)
    connection.wants_write = False
    if error:
        connection.failure = strerror(error)


cdef void connection_goodbye(Connection *connection) noexcept nogil:
    if connection.ssl != NULL and connection.failure == NULL:
        openssl.SSL_shutdown(connection.ssl)
        openssl.ERR_clear_error()


cdef void connection_close(Connection *connection) noexcept nogil:
    if connection.ssl != NULL:
        openssl.SSL_free(connection.ssl)
    opener_wipe(&connection.opener)
    close(connection.descriptor)
    free(connection.unsent)
    connection.ssl = NULL
    connection.unsent = NULL
    connection.unsent_size = 0


# ---------------------------------------------------------------- bytes

cdef void _tls_stopped(Connection *connection, int result) noexcept nogil:
    cdef int error = openssl.SSL_get_error(connection.ssl, result)
    cdef const char *reason
    connection.wants_write = error == openssl.SSL_ERROR_WANT_WRITE
    if error == openssl.SSL_ERROR_WANT_READ or error == openssl.SSL_ERROR_WANT_WRITE:
        return
    reason = openssl.ERR_reason_error_string(openssl.ERR_get_error())
    if error == openssl.SSL_ERROR_ZERO_RETURN:
        connection.failure = b"closed by the server"
    elif error == openssl.SSL_ERROR_SYSCALL and errno:
        connection.failure = strerror(errno)
    elif connection.verify and openssl.SSL_get_verify_result(connection.ssl) != openssl.X509_V_OK:
        connection.failure = openssl.X509_verify_cert_error_string(openssl.SSL_get_verify_result(connection.ssl))
    elif reason != NULL:
        connection.failure = reason
    else:
        connection.failure = b"closed without close_notify"
    openssl.ERR_clear_error()


cdef bint connection_handshake(Connection *connection) noexcept nogil:
    cdef int result
    if connection.ssl == NULL:
        return True
    result = openssl.SSL_connect(connection.ssl)
    if result != 1:
        _tls_stopped(connection, result)
    elif not openssl.SSL_has_pending(connection.ssl):
        opener_begin(&connection.opener, openssl.SSL_CIPHER_get_protocol_id(
            openssl.SSL_get_current_cipher(connection.ssl)))
    return result == 1


# One recv takes all there is, if it is less than `size`. `end`: what the end of the stream means.
cdef size_t _receive(Connection *connection, uint8_t *data, size_t size, const char *end, bint *more) noexcept nogil:
    cdef ssize_t received = recv(connection.descriptor, data, size, 0)
    more[0] = received == <ssize_t>size
    if received == 0:
        connection.failure = end
    elif received < 0 and errno != EAGAIN and errno != EINTR:
        connection.failure = strerror(errno)
    return <size_t>max(received, 0)


cdef size_t _receive_and_open(Connection *connection, uint8_t *data, size_t size, bint *more) noexcept nogil:
    cdef Opener *opener = &connection.opener
    cdef size_t filled = opener.rest_size
    if filled:
        memcpy(data, opener.rest, filled)
    filled += _receive(connection, data + filled, size - filled, b"closed without close_notify", more)
    filled = opener_open(opener, data, filled)
    if opener.failure != NULL:
        connection.failure = opener.failure
    if opener.answer_due:     # libssl says it before the next data (RFC 8446 4.6.3), but not while a record is half sent
        opener.answer_due = openssl.SSL_key_update(connection.ssl, openssl.SSL_KEY_UPDATE_NOT_REQUESTED) != 1
        openssl.ERR_clear_error()
    return filled


cdef size_t connection_receive(Connection *connection, uint8_t *data, size_t size, bint *more) noexcept nogil:
    cdef size_t filled = 0
    cdef int received = 1
    if connection.ssl == NULL:
        return _receive(connection, data, size, b"closed by the server", more)
    if connection.opener.ready:
        return _receive_and_open(connection, data, size, more)
    while received > 0 and filled < size:                   # the records that libssl has read ahead do not wake epoll
        received = openssl.SSL_read(connection.ssl, data + filled, <int>(size - filled))
        filled += <size_t>max(received, 0)
    if received <= 0:
        _tls_stopped(connection, received)
    more[0] = received > 0
    return filled


cdef void connection_queue(Connection *connection, const uint8_t *data, size_t size) noexcept nogil:
    cdef uint8_t *unsent = <uint8_t *>realloc(connection.unsent, connection.unsent_size + size)
    if unsent == NULL:
        connection.failure = b"out of memory"
        return
    memcpy(unsent + connection.unsent_size, data, size)
    connection.unsent = unsent
    connection.unsent_size += size


cdef void connection_flush(Connection *connection) noexcept nogil:
    cdef ssize_t sent
    while connection.unsent_size:
        if connection.ssl != NULL:
            sent = openssl.SSL_write(connection.ssl, connection.unsent, <int>connection.unsent_size)
            if sent <= 0:
                _tls_stopped(connection, <int>sent)
                return
        else:
            sent = send(connection.descriptor, connection.unsent, connection.unsent_size, MSG_NOSIGNAL)
            if sent < 0:
                connection.wants_write = errno == EAGAIN or errno == EINTR
                if not connection.wants_write:
                    connection.failure = strerror(errno)
                return
        connection.unsent_size -= sent
        memmove(connection.unsent, connection.unsent + sent, connection.unsent_size)
    connection.wants_write = False
