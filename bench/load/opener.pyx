"""Opening records in place of libssl; see opener.pxd."""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, strlen, strncmp, strrchr
from camfleet.core.status cimport STATUS_OK
from camfleet.core.tls.libcrypto cimport OPENSSL_cleanse
from camfleet.core.tls.record cimport (
    CONTENT_ALERT, CONTENT_APPLICATION_DATA, CONTENT_HANDSHAKE, MAX_RECORD_SIZE, open_record, record_size,
)
from camfleet.core.tls.session cimport CLOSE_NOTIFY
from camfleet.core.tls.traffic cimport TLS_1_3, traffic_init, traffic_update, traffic_wipe

cdef enum:
    NEW_SESSION_TICKET = 4    # HandshakeType, RFC 8446 B.3
    KEY_UPDATE = 24
    MESSAGE_HEADER_SIZE = 4

cdef const char *WANTED = b"SERVER_TRAFFIC_SECRET_0 "     # then client_random and secret, in hexadecimal


# ---------------------------------------------------------------- the key

cdef inline uint8_t _digit(char text) noexcept nogil:
    return <uint8_t>(text - c'0' if text <= c'9' else (text | 0x20) - c'a' + 10)


cdef void opener_hear(Opener *opener, const char *line) noexcept nogil:
    cdef const char *text
    cdef size_t index
    if strncmp(line, WANTED, strlen(WANTED)) != 0:
        return
    text = strrchr(line, c' ') + 1
    opener.secret_size = <uint8_t>min(strlen(text) // 2, sizeof(opener.secret))
    for index in range(opener.secret_size):
        opener.secret[index] = <uint8_t>(_digit(text[2 * index]) << 4 | _digit(text[2 * index + 1]))


cdef bint opener_begin(Opener *opener, uint16_t suite) noexcept nogil:
    opener.ready = opener.secret_size != 0 and traffic_init(
        &opener.keys, TLS_1_3, suite, opener.secret, opener.secret_size, NULL, 0, 0, False) == STATUS_OK
    OPENSSL_cleanse(opener.secret, sizeof(opener.secret))
    return opener.ready


cdef void opener_wipe(Opener *opener) noexcept nogil:
    traffic_wipe(&opener.keys)
    free(opener.rest)
    OPENSSL_cleanse(opener, sizeof(Opener))


# ---------------------------------------------------------------- records

# What comes after a handshake (RFC 8446 4.6). No server cuts these few bytes into several records.
cdef void _handshake(Opener *opener, const uint8_t *message, size_t size) noexcept nogil:
    cdef size_t whole
    while size >= MESSAGE_HEADER_SIZE and opener.failure == NULL:
        whole = MESSAGE_HEADER_SIZE + (message[1] << 16 | message[2] << 8 | message[3])
        if whole > size:
            break
        if message[0] == KEY_UPDATE and whole == size == MESSAGE_HEADER_SIZE + 1:     # always the last of its key
            opener.answer_due |= message[MESSAGE_HEADER_SIZE] == 1
            if traffic_update(&opener.keys) != STATUS_OK:
                opener.failure = b"the next key cannot be made"
        elif message[0] != NEW_SESSION_TICKET:
            opener.failure = b"unexpected handshake message"
        message += whole
        size -= whole
    if size:
        opener.failure = b"unexpected handshake message"


cdef size_t opener_open(Opener *opener, uint8_t *data, size_t size) noexcept nogil:
    cdef size_t at = 0, opened = 0
    cdef int64_t whole = record_size(data, size), inner
    cdef uint8_t kind
    cdef uint8_t *plaintext
    while 0 < whole <= <int64_t>(size - at) and opener.failure == NULL:
        inner = open_record(&opener.keys, data + at, <size_t>whole, &kind, &plaintext)
        if inner < 0:
            opener.failure = b"a record that cannot be opened"
        elif kind == CONTENT_APPLICATION_DATA:
            memmove(data + opened, plaintext, <size_t>inner)
            opened += <size_t>inner
        elif kind == CONTENT_HANDSHAKE:
            _handshake(opener, plaintext, <size_t>inner)
        elif kind == CONTENT_ALERT and inner == 2 and plaintext[1] == CLOSE_NOTIFY:
            opener.failure = b"closed by the server"
        else:
            opener.failure = b"closed by the server with an alert"
        at += <size_t>whole
        whole = record_size(data + at, size - at)
    if whole < 0 and opener.failure == NULL:
        opener.failure = b"sent something that is no TLS record"
    opener.rest_size = size - at if opener.failure == NULL else 0
    if opener.rest_size and opener.rest == NULL:
        opener.rest = <uint8_t *>malloc(MAX_RECORD_SIZE)
    if opener.rest_size and opener.rest == NULL:
        opener.failure = b"out of memory"
        opener.rest_size = 0
    if opener.rest_size:
        memcpy(opener.rest, data + at, opener.rest_size)
    return opened


# ---------------------------------------------------------------- for tests

cdef class Probe:
    cdef Opener opener

    def __init__(self, str key_log, uint16_t suite):
        for line in key_log.splitlines():
            opener_hear(&self.opener, line.encode())
        if not opener_begin(&self.opener, suite):
            raise ValueError("not with this suite or secret")

    def __dealloc__(self):
        opener_wipe(&self.opener)

    def open(self, bytes received):
        data = bytearray(self.opener.rest[:self.opener.rest_size] + received if self.opener.rest_size else received)
        opened = opener_open(&self.opener, data, len(data))
        return bytes(data[:opened])

    @property
    def answer_due(self):
        return self.opener.answer_due

    @property
    def failure(self):
        return self.opener.failure.decode() if self.opener.failure != NULL else ""
