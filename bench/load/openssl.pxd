# What the load tool needs of libssl's client side.

from libc.stdint cimport uint16_t

cdef extern from "openssl/ssl.h" nogil:
    ctypedef struct SSL:
        pass
    ctypedef struct SSL_CTX:
        pass
    ctypedef struct SSL_METHOD:
        pass
    enum:
        SSL_ERROR_WANT_READ
        SSL_ERROR_WANT_WRITE
        SSL_ERROR_SYSCALL
        SSL_ERROR_ZERO_RETURN
        SSL_VERIFY_PEER
        SSL_MODE_RELEASE_BUFFERS
        SSL_MODE_ENABLE_PARTIAL_WRITE
        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        X509_V_OK
        SSL_KEY_UPDATE_NOT_REQUESTED
    ctypedef struct SSL_CIPHER:
        pass
    const SSL_METHOD *TLS_client_method()
    SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
    void SSL_CTX_free(SSL_CTX *context)
    long SSL_CTX_set_mode(SSL_CTX *context, long mode)
    void SSL_CTX_set_read_ahead(SSL_CTX *context, int yes)
    void SSL_CTX_set_default_read_buffer_len(SSL_CTX *context, size_t size)
    void SSL_CTX_set_verify(SSL_CTX *context, int mode, void *callback)
    int SSL_CTX_load_verify_locations(SSL_CTX *context, const char *file, const char *folder)
    void SSL_CTX_set_keylog_callback(SSL_CTX *context, void (*hear)(const SSL *ssl, const char *line) noexcept nogil)
    SSL *SSL_new(SSL_CTX *context)
    void SSL_free(SSL *ssl)
    int SSL_set_fd(SSL *ssl, int descriptor)
    long SSL_set_tlsext_host_name(SSL *ssl, const char *name)
    int SSL_set1_host(SSL *ssl, const char *name)          # an address too, since OpenSSL 3.0
    int SSL_set_app_data(SSL *ssl, void *data)
    void *SSL_get_app_data(const SSL *ssl)
    void SSL_set_read_ahead(SSL *ssl, int yes)
    int SSL_connect(SSL *ssl)
    int SSL_has_pending(const SSL *ssl)
    int SSL_key_update(SSL *ssl, int type)
    const SSL_CIPHER *SSL_get_current_cipher(const SSL *ssl)
    uint16_t SSL_CIPHER_get_protocol_id(const SSL_CIPHER *cipher)
    int SSL_read(SSL *ssl, void *data, int size)
    int SSL_write(SSL *ssl, const void *data, int size)
    int SSL_shutdown(SSL *ssl)
    int SSL_get_error(const SSL *ssl, int result)
    long SSL_get_verify_result(const SSL *ssl)

cdef extern from "openssl/x509.h" nogil:
    const char *X509_verify_cert_error_string(long code)

cdef extern from "openssl/err.h" nogil:
    unsigned long ERR_get_error()
    const char *ERR_reason_error_string(unsigned long code)
    void ERR_clear_error()
