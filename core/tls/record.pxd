# The record layer of one direction: seal and open with its AEAD. RFC 8446 5.2-5.5,
# RFC 5246 6.2.3.3, RFC 5288 (AES-GCM), RFC 7905 (ChaCha20-Poly1305).

from libc.stdint cimport int64_t, uint8_t
from camfleet.core.tls.traffic cimport TrafficState

cdef enum:
    CONTENT_CHANGE_CIPHER_SPEC = 20
    CONTENT_ALERT = 21
    CONTENT_HANDSHAKE = 22
    CONTENT_APPLICATION_DATA = 23
    RECORD_HEADER_SIZE = 5
    MAX_PLAINTEXT_SIZE = 16384                  # RFC 8446 5.1: 2^14
    MAX_CIPHERTEXT_SIZE = 16384 + 256           # RFC 8446 5.2
    MAX_RECORD_SIZE = 5 + 16384 + 256

# Size of the record that begins at `data` (header included), 0 = header incomplete; ERROR_LIMIT over MAX_RECORD_SIZE,
# ERROR_INVALID for a content type that no record has. Give what begins there to session_receive: it sets the alert.
cdef int64_t record_size(const uint8_t *data, size_t size) noexcept nogil
# Bytes that one record adds to its plaintext: header, explicit nonce (TLS 1.2 GCM), inner type (1.3), tag.
cdef size_t seal_overhead(const TrafficState *state) noexcept nogil
# One record of at most MAX_PLAINTEXT_SIZE bytes of plaintext. Returns its size or a negative status: ERROR_SHORT,
# ERROR_INVALID (too much plaintext), ERROR_LIMIT (the sequence number would wrap), ERROR_CRYPTO.
cdef int64_t seal_record(TrafficState *state, uint8_t content_type, const uint8_t *data, size_t size,
                         uint8_t *out, size_t capacity) noexcept nogil
# One whole record, in place. Returns the plaintext's size (0 is legal) or a negative status: ERROR_BAD_MAC, ERROR_LIMIT
# (too much plaintext, or the sequence number would wrap), ERROR_INVALID (no content type, or not a protected record).
cdef int64_t open_record(TrafficState *state, uint8_t *record, size_t size, uint8_t *content_type,
                         uint8_t **plaintext) noexcept nogil
