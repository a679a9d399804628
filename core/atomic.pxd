# The few atomic operations between a pipeline thread and a fan-out thread (GCC and Clang builtins).

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t atomic_load_u64(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
    static inline void atomic_store_u64(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
    static inline void *atomic_load_pointer(void *const *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
    static inline void atomic_store_pointer(void **at, void *value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
    static inline int64_t atomic_load_i64(const int64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
    static inline void atomic_store_i64(int64_t *at, int64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
    static inline int64_t atomic_add_i64(int64_t *at, int64_t value) { return __atomic_add_fetch(at, value, __ATOMIC_ACQ_REL); }
    /* Between a store and a load of another word that the other side stores and loads the other way round. */
    static inline void atomic_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
    static inline uint32_t atomic_exchange_u32(uint32_t *at, uint32_t value) { return __atomic_exchange_n(at, value, __ATOMIC_ACQ_REL); }
    """
    uint64_t atomic_load_u64(const uint64_t *at) noexcept nogil
    void atomic_store_u64(uint64_t *at, uint64_t value) noexcept nogil
    void *atomic_load_pointer(void *const *at) noexcept nogil
    void atomic_store_pointer(void **at, void *value) noexcept nogil
    int64_t atomic_load_i64(const int64_t *at) noexcept nogil
    void atomic_store_i64(int64_t *at, int64_t value) noexcept nogil
    int64_t atomic_add_i64(int64_t *at, int64_t value) noexcept nogil
    void atomic_fence() noexcept nogil
    uint32_t atomic_exchange_u32(uint32_t *at, uint32_t value) noexcept nogil
