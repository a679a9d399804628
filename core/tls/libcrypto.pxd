# The part of the system's libcrypto (OpenSSL 3) that the record layer needs. Nothing else of core links to it.

cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_CIPHER:
        pass
    ctypedef struct EVP_CIPHER_CTX:
        pass
    ctypedef struct EVP_MD:
        pass
    enum:
        EVP_MAX_MD_SIZE
        EVP_CTRL_AEAD_GET_TAG
        EVP_CTRL_AEAD_SET_TAG
    const EVP_CIPHER *EVP_aes_128_gcm()
    const EVP_CIPHER *EVP_aes_256_gcm()
    const EVP_CIPHER *EVP_chacha20_poly1305()
    const EVP_MD *EVP_sha256()
    const EVP_MD *EVP_sha384()
    int EVP_MD_get_size(const EVP_MD *digest)
    EVP_CIPHER_CTX *EVP_CIPHER_CTX_new()
    void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *context)
    int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *context, int type, int argument, void *pointer)
    # `encrypt`: 1, 0, or -1 to leave it; NULL leaves cipher, key or IV as they are.
    int EVP_CipherInit_ex(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, void *engine, const unsigned char *key,
                          const unsigned char *iv, int encrypt)
    int EVP_CipherUpdate(EVP_CIPHER_CTX *context, unsigned char *out, int *written, const unsigned char *data, int size)
    int EVP_CipherFinal_ex(EVP_CIPHER_CTX *context, unsigned char *out, int *written)

cdef extern from "<openssl/hmac.h>" nogil:
    unsigned char *HMAC(const EVP_MD *digest, const void *key, int key_size, const unsigned char *data, size_t size,
                        unsigned char *out, unsigned int *written)

cdef extern from "<openssl/crypto.h>" nogil:
    void OPENSSL_cleanse(void *pointer, size_t size)
    int CRYPTO_memcmp(const void *one, const void *other, size_t size)      # in a time that does not depend on them

cdef extern from "<openssl/err.h>" nogil:
    void ERR_clear_error()
