"""Which library does it; aead.pxd is the contract."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.stdlib cimport free
from libc.string cimport memset
from camfleet.core.status cimport ERROR_BAD_MAC, ERROR_CRYPTO, ERROR_MEMORY, STATUS_OK
from camfleet.core.tls.ipsec_mb cimport (
    IMB_MGR, ipsec_mb_key_size, ipsec_mb_load, ipsec_mb_open, ipsec_mb_seal, ipsec_mb_set_key,
)
from camfleet.core.tls.libcrypto cimport (
    CRYPTO_memcmp, ERR_clear_error, EVP_CIPHER, EVP_CIPHER_CTX, EVP_CIPHER_CTX_ctrl, EVP_CIPHER_CTX_free,
    EVP_CIPHER_CTX_new, EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG, EVP_CipherFinal_ex, EVP_CipherInit_ex, EVP_CipherUpdate,
    EVP_aes_128_gcm, EVP_aes_256_gcm, EVP_chacha20_poly1305, OPENSSL_cleanse,
)

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **pointer, size_t alignment, size_t size)

cdef enum:
    CACHE_LINE = 64

cdef IMB_MGR *ipsec_mb = ipsec_mb_load()
cdef bint prefer_ipsec_mb = True


def gcm_library(*, libcrypto=None):
    global prefer_ipsec_mb
    if libcrypto is not None:
        prefer_ipsec_mb = not libcrypto
    return "libIPSec_MB" if ipsec_mb != NULL and prefer_ipsec_mb else "libcrypto"


cdef inline int key_bits(const AEAD *aead) noexcept nogil:
    return 128 if aead.algorithm == AES_128_GCM else 256


cdef size_t aead_key_size(Algorithm algorithm) noexcept nogil:
    return 16 if algorithm == AES_128_GCM else 32


cdef const EVP_CIPHER *evp_cipher(Algorithm algorithm) noexcept nogil:
    if algorithm == AES_128_GCM:
        return EVP_aes_128_gcm()
    return EVP_aes_256_gcm() if algorithm == AES_256_GCM else EVP_chacha20_poly1305()


cdef int aead_init(AEAD *aead, Algorithm algorithm, bint sealing) noexcept nogil:
    memset(aead, 0, sizeof(AEAD))
    aead.algorithm = algorithm
    aead.sealing = sealing
    if algorithm != CHACHA20_POLY1305 and ipsec_mb != NULL and prefer_ipsec_mb:
        if posix_memalign(&aead.gcm, CACHE_LINE, ipsec_mb_key_size()) == 0:
            return STATUS_OK
        aead.gcm = NULL             # undefined on failure, and freed by aead_free
        return ERROR_MEMORY
    aead.cipher = EVP_CIPHER_CTX_new()
    if aead.cipher == NULL:
        ERR_clear_error()
        return ERROR_MEMORY
    if EVP_CipherInit_ex(<EVP_CIPHER_CTX *>aead.cipher, evp_cipher(algorithm), NULL, NULL, NULL, sealing) != 1:
        ERR_clear_error()
        return ERROR_CRYPTO
    return STATUS_OK


cdef int aead_set_key(AEAD *aead, const uint8_t *key) noexcept nogil:
    if aead.gcm != NULL:
        ipsec_mb_set_key(ipsec_mb, key_bits(aead), key, aead.gcm)
    elif EVP_CipherInit_ex(<EVP_CIPHER_CTX *>aead.cipher, NULL, NULL, key, NULL, aead.sealing) != 1:
        ERR_clear_error()
        return ERROR_CRYPTO
    return STATUS_OK


cdef int aead_seal(AEAD *aead, const uint8_t *nonce, const uint8_t *additional, size_t additional_size,
                   const uint8_t *data, size_t size, const uint8_t *last, uint8_t *out, uint8_t *tag) noexcept nogil:
    cdef EVP_CIPHER_CTX *cipher = <EVP_CIPHER_CTX *>aead.cipher
    cdef int written
    if aead.gcm != NULL:
        ipsec_mb_seal(ipsec_mb, key_bits(aead), aead.gcm, nonce, additional, additional_size, data, size, last, out, tag)
        return STATUS_OK
    if (EVP_CipherInit_ex(cipher, NULL, NULL, NULL, nonce, -1) != 1
            or EVP_CipherUpdate(cipher, NULL, &written, additional, <int>additional_size) != 1
            or (size > 0 and EVP_CipherUpdate(cipher, out, &written, data, <int>size) != 1)
            or (last != NULL and EVP_CipherUpdate(cipher, out + size, &written, last, 1) != 1)
            or EVP_CipherFinal_ex(cipher, out, &written) != 1
            or EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) != 1):
        ERR_clear_error()
        return ERROR_CRYPTO
    return STATUS_OK


cdef int aead_open(AEAD *aead, const uint8_t *nonce, const uint8_t *additional, size_t additional_size,
                   uint8_t *data, size_t size, const uint8_t *tag) noexcept nogil:
    cdef EVP_CIPHER_CTX *cipher = <EVP_CIPHER_CTX *>aead.cipher
    cdef uint8_t expected[TAG_SIZE]
    cdef int written
    if aead.gcm != NULL:
        ipsec_mb_open(ipsec_mb, key_bits(aead), aead.gcm, nonce, additional, additional_size, data, size, expected)
        return STATUS_OK if CRYPTO_memcmp(expected, tag, TAG_SIZE) == 0 else ERROR_BAD_MAC
    if (EVP_CipherInit_ex(cipher, NULL, NULL, NULL, nonce, -1) != 1
            or EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, <void *>tag) != 1
            or EVP_CipherUpdate(cipher, NULL, &written, additional, <int>additional_size) != 1
            or (size > 0 and EVP_CipherUpdate(cipher, data, &written, data, <int>size) != 1)):
        ERR_clear_error()
        return ERROR_CRYPTO
    if EVP_CipherFinal_ex(cipher, data, &written) != 1:
        ERR_clear_error()
        return ERROR_BAD_MAC
    return STATUS_OK


cdef void aead_wipe(AEAD *aead) noexcept nogil:
    if aead.gcm != NULL:
        OPENSSL_cleanse(aead.gcm, ipsec_mb_key_size())
        free(aead.gcm)
    EVP_CIPHER_CTX_free(<EVP_CIPHER_CTX *>aead.cipher)  # cleanses the key schedule
    memset(aead, 0, sizeof(AEAD))
