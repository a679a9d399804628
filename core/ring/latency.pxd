# How long frames took, from their capture to their last byte in the kernel: a histogram of the last 5 to 10 seconds.
# One thread counts; any other may look, and at worst misses what is being counted.
#
#   bucket     0 ... 15     16 ... 31     32 ... 47    48 ... 63   ...  320 ... 335
#   width      4.1 us       4.1 us        8.2 us       16.4 us          2.1 s
#   from       0            65.5 us       131 us       262 us           34 s: and all that is longer
#
# Sixteen equal steps for each doubling: a figure is exact to 3 %.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    LATENCY_BUCKETS = 336

cdef struct LatencyHistogram:
    uint32_t counts[2][336]
    int64_t began_ns[2]       # each holds what was counted within 5 s; the newer is added to
    int newer

cdef void latency_count(LatencyHistogram *histogram, int64_t latency_ns, int64_t now_ns) noexcept nogil
# Adds the recent counts to `counts`, LATENCY_BUCKETS of them.
cdef void latency_collect(const LatencyHistogram *histogram, int64_t now_ns, uint64_t *counts) noexcept nogil
# The middle of the bucket that `percent` of all do not exceed; 0 when nothing was counted.
cdef int64_t latency_percentile(const uint64_t *counts, int percent) noexcept nogil
