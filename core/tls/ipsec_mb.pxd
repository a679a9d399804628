# AES-GCM of libIPSec_MB (Intel's multi-buffer library). It is loaded when it is there and never linked: a build or a host
# without it has libcrypto. Only with VAES and AVX-512, as it is no faster otherwise; then its time does not depend
# on key or data, as libcrypto's.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef extern from *:
    """
    #if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

    #include <dlfcn.h>
    #include <stdlib.h>
    #include <string.h>
    #include <intel-ipsec-mb.h>

    static IMB_MGR *ipsec_mb_load(void) {
        const uint64_t wanted = IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;
        void *library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            return NULL;
        unsigned (*version)(void) = (unsigned (*)(void)) dlsym(library, "imb_get_version");
        IMB_MGR *(*allocate)(uint64_t) = (IMB_MGR *(*)(uint64_t)) dlsym(library, "alloc_mb_mgr");
        void (*release)(IMB_MGR *) = (void (*)(IMB_MGR *)) dlsym(library, "free_mb_mgr");
        void (*start)(IMB_MGR *) = (void (*)(IMB_MGR *)) dlsym(library, "init_mb_mgr_avx512");
        if (!version || !allocate || !release || !start)
            return NULL;
        if (version() != IMB_VERSION_NUM) /* IMB_MGR may look otherwise */
            return NULL;
        IMB_MGR *manager = allocate(0);
        if (manager != NULL && (manager->features & wanted) == wanted) {
            start(manager); /* with known answers */
            if (manager->imb_errno == 0 && manager->features & IMB_FEATURE_SELF_TEST_PASS)
                return manager;
        }
        if (manager != NULL)
            release(manager);
        return NULL;
    }

    static size_t ipsec_mb_key_size(void) {
        return sizeof(struct gcm_key_data);
    }

    static void ipsec_mb_set_key(IMB_MGR *manager, int bits, const uint8_t *key, void *expanded) {
        if (bits == 128)
            IMB_AES128_GCM_PRE(manager, key, (struct gcm_key_data *) expanded);
        else
            IMB_AES256_GCM_PRE(manager, key, (struct gcm_key_data *) expanded);
    }

    static void ipsec_mb_seal(IMB_MGR *manager, int bits, const void *expanded, const uint8_t *nonce,
                              const uint8_t *additional, size_t additional_size, const uint8_t *data, size_t size,
                              const uint8_t *last, uint8_t *out, uint8_t *tag) {
        const struct gcm_key_data *key = (const struct gcm_key_data *) expanded;
        struct gcm_context_data context;
        if (bits == 128) {
            IMB_AES128_GCM_INIT(manager, key, &context, nonce, additional, additional_size);
            IMB_AES128_GCM_ENC_UPDATE(manager, key, &context, out, data, size);
            if (last != NULL)
                IMB_AES128_GCM_ENC_UPDATE(manager, key, &context, out + size, last, 1);
            IMB_AES128_GCM_ENC_FINALIZE(manager, key, &context, tag, 16);
        } else {
            IMB_AES256_GCM_INIT(manager, key, &context, nonce, additional, additional_size);
            IMB_AES256_GCM_ENC_UPDATE(manager, key, &context, out, data, size);
            if (last != NULL)
                IMB_AES256_GCM_ENC_UPDATE(manager, key, &context, out + size, last, 1);
            IMB_AES256_GCM_ENC_FINALIZE(manager, key, &context, tag, 16);
        }
        explicit_bzero(&context, sizeof context); /* key stream of the last block */
    }

    static void ipsec_mb_open(IMB_MGR *manager, int bits, const void *expanded, const uint8_t *nonce,
                              const uint8_t *additional, size_t additional_size, uint8_t *data, size_t size,
                              uint8_t *tag) {
        const struct gcm_key_data *key = (const struct gcm_key_data *) expanded;
        struct gcm_context_data context;
        if (bits == 128)
            IMB_AES128_GCM_DEC(manager, key, &context, data, data, size, nonce, additional, additional_size, tag, 16);
        else
            IMB_AES256_GCM_DEC(manager, key, &context, data, data, size, nonce, additional, additional_size, tag, 16);
        explicit_bzero(&context, sizeof context);
    }

    #else

    typedef struct IMB_MGR IMB_MGR;
    static IMB_MGR *ipsec_mb_load(void) { return NULL; }
    static size_t ipsec_mb_key_size(void) { return 0; }
    static void ipsec_mb_set_key(IMB_MGR *manager, int bits, const uint8_t *key, void *expanded) { }
    static void ipsec_mb_seal(IMB_MGR *manager, int bits, const void *expanded, const uint8_t *nonce,
                              const uint8_t *additional, size_t additional_size, const uint8_t *data, size_t size,
                              const uint8_t *last, uint8_t *out, uint8_t *tag) { }
    static void ipsec_mb_open(IMB_MGR *manager, int bits, const void *expanded, const uint8_t *nonce,
                              const uint8_t *additional, size_t additional_size, uint8_t *data, size_t size,
                              uint8_t *tag) { }

    #endif
    """
    ctypedef struct IMB_MGR:
        pass
    # NULL: not installed, not of the version this was built with, or not for this processor.
    IMB_MGR *ipsec_mb_load() noexcept nogil
    size_t ipsec_mb_key_size() noexcept nogil            # of an expanded key, to be aligned to 64 bytes
    # `bits` of the key: 128 or 256.
    void ipsec_mb_set_key(IMB_MGR *manager, int bits, const uint8_t *key, void *expanded) noexcept nogil
    void ipsec_mb_seal(IMB_MGR *manager, int bits, const void *expanded, const uint8_t *nonce, const uint8_t *additional,
                       size_t additional_size, const uint8_t *data, size_t size, const uint8_t *last, uint8_t *out,
                       uint8_t *tag) noexcept nogil
    # In place. `tag` is what it should be: the caller compares.
    void ipsec_mb_open(IMB_MGR *manager, int bits, const void *expanded, const uint8_t *nonce, const uint8_t *additional,
                       size_t additional_size, uint8_t *data, size_t size, uint8_t *tag) noexcept nogil
