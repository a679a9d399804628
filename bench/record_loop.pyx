"""The record layer as the fan-out thread drives it: one session, many frames, no Python object per record."""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from camfleet.core.tls.libcrypto cimport (
    EVP_CIPHER, EVP_CIPHER_CTX, EVP_CIPHER_CTX_ctrl, EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_new, EVP_CTRL_AEAD_GET_TAG,
    EVP_CipherFinal_ex, EVP_CipherInit_ex, EVP_CipherUpdate, EVP_aes_128_gcm, EVP_aes_256_gcm, EVP_chacha20_poly1305,
)
from camfleet.core.tls.move cimport session_import
from camfleet.core.tls.record cimport record_size
from camfleet.core.tls.session cimport TLSSession, session_receive, session_seal, session_seal_bound, session_wipe


cdef TLSSession imported(bytes export) except *:
    cdef TLSSession session
    if session_import(&session, export, len(export), 0) != 0:
        raise ValueError("not an exported session")
    return session


def seal_many(bytes export not None, bytes data not None, int count):
    cdef TLSSession session = imported(export)
    cdef const uint8_t *plaintext = data
    cdef size_t size = len(data)
    cdef size_t capacity = session_seal_bound(&session, size)
    cdef uint8_t *out = <uint8_t *>malloc(capacity)
    cdef int64_t written = 0
    if out != NULL:
        with nogil:
            for _ in range(count):
                written = session_seal(&session, plaintext, size, out, capacity, 0)
    free(out)
    session_wipe(&session)
    return written


cdef const EVP_CIPHER *aead(str name) except NULL:
    if name == "AES-128-GCM":
        return EVP_aes_128_gcm()
    if name == "AES-256-GCM":
        return EVP_aes_256_gcm()
    if name == "ChaCha20-Poly1305":
        return EVP_chacha20_poly1305()
    raise ValueError(name)


def encrypt_many(str cipher not None, bytes data not None, int count):
    cdef uint8_t key[32]
    cdef uint8_t nonce[12]
    cdef uint8_t header[5]
    cdef uint8_t tag[16]
    cdef const uint8_t *plaintext = data
    cdef int size = len(data)
    cdef int written = 0
    cdef int ok = 1
    cdef EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new()
    cdef uint8_t *out = <uint8_t *>malloc(size)
    memset(key, 0, sizeof(key))
    memset(nonce, 0, sizeof(nonce))
    memset(header, 0, sizeof(header))
    ok &= EVP_CipherInit_ex(context, aead(cipher), NULL, key, NULL, 1)
    with nogil:
        for _ in range(count):
            ok &= EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, -1)
            ok &= EVP_CipherUpdate(context, NULL, &written, header, sizeof(header))
            ok &= EVP_CipherUpdate(context, out, &written, plaintext, size)
            ok &= EVP_CipherFinal_ex(context, tag, &written)
            ok &= EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag)
    free(out)
    EVP_CIPHER_CTX_free(context)
    return ok == 1


def open_all(bytes export not None, bytes records not None):
    cdef TLSSession session = imported(export)
    cdef size_t left = len(records)
    cdef uint8_t *buffer = <uint8_t *>malloc(left)
    cdef uint8_t *record = buffer
    cdef uint8_t *plaintext
    cdef size_t plaintext_size
    cdef int64_t size
    cdef int64_t opened = 0
    if buffer != NULL:
        memcpy(buffer, <const uint8_t *>records, left)
        with nogil:
            while left > 0:
                size = record_size(record, left)
                if session_receive(&session, record, size, 0, &plaintext, &plaintext_size) < 0:
                    break
                opened += plaintext_size
                record += size
                left -= size
    free(buffer)
    session_wipe(&session)
    return opened
