"""Suites, and the life of one direction's key: set once per key, replaced by KeyUpdate, wiped."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset, strlen
from camfleet.core.status cimport ERROR_CRYPTO, ERROR_INVALID, STATUS_OK
from camfleet.core.tls.aead cimport (
    AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, NO_ALGORITHM, NONCE_SIZE, Algorithm,
    aead_init, aead_key_size, aead_set_key, aead_wipe,
)
from camfleet.core.tls.libcrypto cimport (
    ERR_clear_error, EVP_MAX_MD_SIZE, EVP_MD, EVP_MD_get_size, EVP_sha256, EVP_sha384, HMAC, OPENSSL_cleanse,
)

cdef enum:
    IV_SIZE = NONCE_SIZE
    MAX_KEY_SIZE = 32
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


cdef Algorithm algorithm_of(uint16_t version, uint16_t suite) noexcept nogil:
    """NO_ALGORITHM for a pair of version and suite that we do not speak."""
    if version == TLS_1_3:
        if suite == TLS_AES_128_GCM_SHA256:
            return AES_128_GCM
        if suite == TLS_AES_256_GCM_SHA384:
            return AES_256_GCM
        if suite == TLS_CHACHA20_POLY1305_SHA256:
            return CHACHA20_POLY1305
    elif version == TLS_1_2:
        if suite in (TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256):
            return AES_128_GCM
        if suite in (TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384):
            return AES_256_GCM
        if suite in (TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256):
            return CHACHA20_POLY1305
    return NO_ALGORITHM


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
    cdef uint8_t key[MAX_KEY_SIZE]
    cdef int status = STATUS_OK
    if state.version == TLS_1_2:
        memcpy(key, state.secret, state.secret_size)
    elif (expand_label(state, b"key", key, aead_key_size(state.aead.algorithm)) != STATUS_OK
          or expand_label(state, b"iv", state.iv, IV_SIZE) != STATUS_OK):
        status = ERROR_CRYPTO
    if status == STATUS_OK:
        status = aead_set_key(&state.aead, key)
    OPENSSL_cleanse(key, sizeof(key))
    return status


cdef int traffic_init(TrafficState *state, uint16_t version, uint16_t suite, const uint8_t *secret, size_t secret_size,
                      const uint8_t *iv, size_t iv_size, uint64_t sequence, bint sealing) noexcept nogil:
    cdef Algorithm algorithm = algorithm_of(version, suite)
    cdef int status
    memset(state, 0, sizeof(TrafficState))
    if algorithm == NO_ALGORITHM:
        return ERROR_INVALID
    if version == TLS_1_3:
        if secret_size != <size_t>EVP_MD_get_size(digest_of(suite)) or iv_size != 0:
            return ERROR_INVALID
    else:
        if algorithm != CHACHA20_POLY1305:
            state.explicit_nonce = EXPLICIT_NONCE_SIZE
        if secret_size != aead_key_size(algorithm):
            return ERROR_INVALID
        if iv_size != IV_SIZE and (iv_size != SALT_SIZE or not state.explicit_nonce):
            return ERROR_INVALID
        memcpy(state.iv, iv, iv_size)
    state.version = version
    state.suite = suite
    state.secret_size = <uint8_t>secret_size
    memcpy(state.secret, secret, secret_size)
    state.sequence = sequence
    status = aead_init(&state.aead, algorithm, sealing)
    if status == STATUS_OK:
        status = set_key(state)
    if status != STATUS_OK:
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
    aead_wipe(&state.aead)
    OPENSSL_cleanse(state, sizeof(TrafficState))
