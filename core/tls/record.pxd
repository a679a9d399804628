# The record layer of one direction: seal and open with an AEAD of libcrypto (EVP). RFC 8446 5.2-5.5 and 7.1-7.3,
# RFC 5246 6.2.3.3, RFC 5288 (AES-GCM), RFC 7905 (ChaCha20-Poly1305).

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

cdef enum:
    TLS_1_2 = 0x0303
    TLS_1_3 = 0x0304
    CONTENT_CHANGE_CIPHER_SPEC = 20
    CONTENT_ALERT = 21
    CONTENT_HANDSHAKE = 22
    CONTENT_APPLICATION_DATA = 23
    RECORD_HEADER_SIZE = 5
    TAG_SIZE = 16
    MAX_PLAINTEXT_SIZE = 16384                  # RFC 8446 5.1: 2^14
    MAX_CIPHERTEXT_SIZE = 16384 + 256           # RFC 8446 5.2
    MAX_RECORD_SIZE = 5 + 16384 + 256

cdef struct TrafficState:
    uint16_t version          # TLS_1_2 or TLS_1_3
    uint16_t suite            # as registered: 0x1301 TLS_AES_128_GCM_SHA256, 0xC02B TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ...
    uint8_t secret[48]        # TLS 1.3: the traffic secret. TLS 1.2: the write key (the IV is in `iv`)
    uint8_t secret_size
    uint8_t iv[12]            # TLS 1.3 and ChaCha20: static IV. TLS 1.2 GCM: 4 bytes of salt
    bint sealing
    uint64_t sequence
    void *cipher              # EVP_CIPHER_CTX, key already set

cdef int traffic_init(TrafficState *state, uint16_t version, uint16_t suite, const uint8_t *secret, size_t secret_size,
                      const uint8_t *iv, size_t iv_size, uint64_t sequence, bint sealing) noexcept nogil
cdef int traffic_update(TrafficState *state) noexcept nogil      # RFC 8446 7.2: next traffic secret, sequence 0
cdef void traffic_wipe(TrafficState *state) noexcept nogil
# Bytes that `size` bytes of one record's plaintext add: header, explicit nonce (TLS 1.2 GCM), inner type (1.3), tag.
cdef size_t seal_overhead(const TrafficState *state) noexcept nogil
# One record of at most MAX_PLAINTEXT_SIZE bytes of plaintext. Returns its size or a negative status.
cdef int64_t seal_record(TrafficState *state, uint8_t content_type, const uint8_t *data, size_t size,
                         uint8_t *out, size_t capacity) noexcept nogil
# One whole record, in place. Returns the plaintext's size (0 is legal) or a negative status.
cdef int64_t open_record(TrafficState *state, uint8_t *record, size_t size, uint8_t *content_type,
                         uint8_t **plaintext) noexcept nogil
