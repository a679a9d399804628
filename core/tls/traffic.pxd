# The keys of one direction: RFC 8446 7.1-7.3 (traffic secret to key and IV, KeyUpdate), RFC 5246 6.3 (given write key).

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from camfleet.core.tls.aead cimport AEAD

cdef enum:
    TLS_1_2 = 0x0303
    TLS_1_3 = 0x0304
    EXPLICIT_NONCE_SIZE = 8   # RFC 5288 3: the part of a TLS 1.2 GCM nonce that travels in the record

cdef struct TrafficState:
    uint16_t version          # TLS_1_2 or TLS_1_3
    uint16_t suite            # as registered: 0x1301 is TLS_AES_128_GCM_SHA256; all are in traffic.pyx
    uint8_t secret[48]        # TLS 1.3: the traffic secret. TLS 1.2: the write key (the IV is in `iv`)
    uint8_t secret_size
    uint8_t iv[12]            # TLS 1.3, ChaCha20: static IV. TLS 1.2 GCM: 4 bytes of salt, explicit nonce of record 0
    uint8_t explicit_nonce    # bytes of nonce in each record: EXPLICIT_NONCE_SIZE or 0
    uint64_t sequence         # of the next record; so many records have used this key
    AEAD aead                 # its key is set

# Returns STATUS_OK, ERROR_INVALID (version, suite or a size that do not belong together), ERROR_MEMORY or ERROR_CRYPTO;
# the state is wiped on errors. `iv_size` is 0 for TLS 1.3, else 12, or 4 for AES-GCM: then explicit nonces are the
# sequence number. With 12 the last 8 bytes are the explicit nonce that the handshake library gave its record 0 (the
# Finished message), and ours go on counting from there, so that no nonce can come twice (RFC 5288 3).
cdef int traffic_init(TrafficState *state, uint16_t version, uint16_t suite, const uint8_t *secret, size_t secret_size,
                      const uint8_t *iv, size_t iv_size, uint64_t sequence, bint sealing) noexcept nogil
cdef int traffic_update(TrafficState *state) noexcept nogil      # RFC 8446 7.2: next traffic secret, sequence 0
cdef void traffic_wipe(TrafficState *state) noexcept nogil       # safe on zeroed memory
