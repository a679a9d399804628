# One direction's cipher with its key: AES-128-GCM, AES-256-GCM (NIST SP 800-38D), ChaCha20-Poly1305 (RFC 8439).
#
# libcrypto does all of it. Where the processor has VAES and libIPSec_MB is installed, that one does AES-GCM, in a third
# of the time of OpenSSL 3.0 (docs/decisions/0012, 0016).

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef enum:
    NONCE_SIZE = 12           # of every AEAD here
    TAG_SIZE = 16

cdef enum Algorithm:
    NO_ALGORITHM
    AES_128_GCM
    AES_256_GCM
    CHACHA20_POLY1305

cdef struct AEAD:
    Algorithm algorithm
    bint sealing
    void *cipher              # EVP_CIPHER_CTX; NULL when there is `gcm`
    void *gcm                 # struct gcm_key_data of libIPSec_MB

cdef size_t aead_key_size(Algorithm algorithm) noexcept nogil
# STATUS_OK, ERROR_MEMORY or ERROR_CRYPTO; aead_wipe is due in any case. The key comes by aead_set_key.
cdef int aead_init(AEAD *aead, Algorithm algorithm, bint sealing) noexcept nogil
# aead_key_size bytes. STATUS_OK or ERROR_CRYPTO.
cdef int aead_set_key(AEAD *aead, const uint8_t *key) noexcept nogil
# `size` bytes from `data`, and behind them the byte `last` unless it is NULL, to `out`. STATUS_OK or ERROR_CRYPTO.
cdef int aead_seal(AEAD *aead, const uint8_t *nonce, const uint8_t *additional, size_t additional_size,
                   const uint8_t *data, size_t size, const uint8_t *last, uint8_t *out, uint8_t *tag) noexcept nogil
# In place. STATUS_OK, ERROR_BAD_MAC (then `data` is garbage) or ERROR_CRYPTO.
cdef int aead_open(AEAD *aead, const uint8_t *nonce, const uint8_t *additional, size_t additional_size,
                   uint8_t *data, size_t size, const uint8_t *tag) noexcept nogil
cdef void aead_wipe(AEAD *aead) noexcept nogil           # safe on zeroed memory
