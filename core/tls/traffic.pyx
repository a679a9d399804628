"""Suites, and the life of one direction's key: set once per key, replaced by KeyUpdate, wiped."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset, strlen
from camfleet.core.status cimport ERROR_CRYPTO, ERROR_INVALID, ERROR_MEMORY, STATUS_OK
from camfleet.core.tls.libcrypto cimport (
    EVP_CIPHER, EVP_CIPHER_CTX, EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_get_key_length, EVP_CIPHER_CTX_new,
    EVP_CIPHER_get_key_length, EVP_CipherInit_ex, EVP_MAX_KEY_LENGTH, EVP_MAX_MD_SIZE, EVP_MD, EVP_MD_get_size,
    ERR_clear_error, EVP_aes_128_gcm, EVP_aes_256_gcm, EVP_chacha20_poly1305, EVP_sha256, EVP_sha384, HMAC,
    OPENSSL_cleanse,
)

cdef enum:
    IV_SIZE = 12              # of every AEAD here
    SALT_SIZE = 4             # RFC 5288 3: GCMNonce.salt

    TLS_AES_128_GCM_SHA256 = 0x1301                             # RFC 8446 B.4
    TLS_AES_256_GCM_SHA384 = 0x1302
    TLS_CHACHA20_POLY1305_SHA256 = 0x1303
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xC02B            # RFC 5289 3.2
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xC02C
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xC02F
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xC030
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA8        # RFC 7905 3
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA9


cdef const EVP_CIPHER *aead(uint16_t version, uint16_t suite) noexcept nogil:
    """The AEAD of a suite, NULL for a pair of version and suite that we do not speak."""
    if version == TLS_1_3:
        if suite == TLS_AES_128_GCM_SHA256:
            return EVP_aes_128_gcm()
        if suite == TLS_AES_256_GCM_SHA384:
            return EVP_aes_256_gcm()
        if suite == TLS_CHACHA20_POLY1305_SHA256:
            return EVP_chacha20_poly1305()
    elif version == TLS_1_2:
        if suite in (TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256):
            return EVP_aes_128_gcm()
        if suite in (TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384):
            return EVP_aes_256_gcm()
        if suite in (TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256):
            return EVP_chacha20_poly1305()
    return NULL


cdef inline const EVP_MD *digest_of(uint16_t suite) noexcept nogil:
    """The hash of a TLS 1.3 suite; TLS 1.2 needs none after its key block is made."""
    return EVP_sha384() if suite == TLS_AES_256_GCM_SHA384 else EVP_sha256()


cdef int expand_label(const TrafficState *state, const char *label, uint8_t *out, size_t size) noexcept nogil:
    """HKDF-Expand-Label(secret, label, "", size) of RFC 8446 7.1, in one HMAC: no key here is longer than its hash."""
    # struct { uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255> = ""; } HkdfLabel,
    # then the 1 of HKDF-Expand's first block (RFC 5869 2.3). The longest Label is "traffic upd".
    cdef uint8_t info[2 + 1 + 6 + 11 + 1 + 1]
    cdef uint8_t block[EVP_MAX_MD_SIZE]
    cdef size_t label_size = strlen(label)
    info[0] = 0
    info[1] = <uint8_t>size
    info[2] = <uint8_t>(6 + label_size)
    memcpy(&info[3], b"tls13 ", 6)
    memcpy(&info[9], label, label_size)
    info[9 + label_size] = 0
    info[10 + label_size] = 1
    if HMAC(digest_of(state.suite), state.secret, state.secret_size, info, 11 + label_size, block, NULL) == NULL:
        ERR_clear_error()
        return ERROR_CRYPTO
    memcpy(out, block, size)
    OPENSSL_cleanse(block, sizeof(block))
    return STATUS_OK


cdef int set_key(TrafficState *state) noexcept nogil:
    """Key the cipher from the secret, and begin to count its records; RFC 8446 7.3."""
    cdef EVP_CIPHER_CTX *cipher = <EVP_CIPHER_CTX *>state.cipher
    cdef uint8_t key[EVP_MAX_KEY_LENGTH]
    cdef int done = 1
    if state.version == TLS_1_2:
        memcpy(key, state.secret, state.secret_size)
    elif (expand_label(state, b"key", key, EVP_CIPHER_CTX_get_key_length(cipher)) != STATUS_OK
          or expand_label(state, b"iv", state.iv, IV_SIZE) != STATUS_OK):
        done = 0
    if done == 1:
        done = EVP_CipherInit_ex(cipher, NULL, NULL, key, NULL, state.sealing)
    OPENSSL_cleanse(key, sizeof(key))
    if done != 1:
        ERR_clear_error()
        return ERROR_CRYPTO
    return STATUS_OK


cdef int traffic_init(TrafficState *state, uint16_t version, uint16_t suite, const uint8_t *secret, size_t secret_size,
                      const uint8_t *iv, size_t iv_size, uint64_t sequence, bint sealing) noexcept nogil:
    cdef const EVP_CIPHER *cipher = aead(version, suite)
    cdef int status
    memset(state, 0, sizeof(TrafficState))
    if cipher == NULL:
        return ERROR_INVALID
    if version == TLS_1_3:
        if secret_size != <size_t>EVP_MD_get_size(digest_of(suite)) or iv_size != 0:
            return ERROR_INVALID
    else:
        if cipher != EVP_chacha20_poly1305():
            state.explicit_nonce = EXPLICIT_NONCE_SIZE
        if secret_size != <size_t>EVP_CIPHER_get_key_length(cipher):
            return ERROR_INVALID
        if iv_size != IV_SIZE and (iv_size != SALT_SIZE or not state.explicit_nonce):
            return ERROR_INVALID
        memcpy(state.iv, iv, iv_size)
    state.version = version
    state.suite = suite
    state.secret_size = <uint8_t>secret_size
    memcpy(state.secret, secret, secret_size)
    state.sequence = sequence
    state.sealing = sealing
    state.cipher = EVP_CIPHER_CTX_new()
    if state.cipher == NULL:
        status = ERROR_MEMORY
    elif EVP_CipherInit_ex(<EVP_CIPHER_CTX *>state.cipher, cipher, NULL, NULL, NULL, sealing) != 1:
        status = ERROR_CRYPTO
    else:
        status = set_key(state)
    if status != STATUS_OK:
        ERR_clear_error()
        traffic_wipe(state)
    return status


cdef int traffic_update(TrafficState *state) noexcept nogil:
    cdef uint8_t secret[48]
    if expand_label(state, b"traffic upd", secret, state.secret_size) != STATUS_OK:
        return ERROR_CRYPTO
    memcpy(state.secret, secret, state.secret_size)
    OPENSSL_cleanse(secret, sizeof(secret))
    state.sequence = 0
    return set_key(state)


cdef void traffic_wipe(TrafficState *state) noexcept nogil:
    EVP_CIPHER_CTX_free(<EVP_CIPHER_CTX *>state.cipher)  # cleanses the key schedule
    OPENSSL_cleanse(state, sizeof(TrafficState))
