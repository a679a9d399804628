"""Counting latencies; latency.pxd is the contract."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

cdef enum:
    UNIT_BITS = 12            # 4.096 us
    STEP_BITS = 4             # 16 steps for each doubling

cdef int64_t HALF_NS = 5_000_000_000


cdef int bucket_of(int64_t latency_ns) noexcept nogil:
    cdef uint64_t units = <uint64_t> max(<int64_t> 0, latency_ns) >> UNIT_BITS
    cdef int doublings = 0
    while units >> doublings >= 2 << STEP_BITS:
        doublings += 1
    return min((doublings << STEP_BITS) + <int> (units >> doublings), LATENCY_BUCKETS - 1)


cdef void latency_count(LatencyHistogram *histogram, int64_t latency_ns, int64_t now_ns) noexcept nogil:
    if now_ns - histogram.began_ns[histogram.newer] >= HALF_NS:
        histogram.newer ^= 1
        memset(histogram.counts[histogram.newer], 0, sizeof(histogram.counts[0]))
        histogram.began_ns[histogram.newer] = now_ns
    histogram.counts[histogram.newer][bucket_of(latency_ns)] += 1


cdef void latency_collect(const LatencyHistogram *histogram, int64_t now_ns, uint64_t *counts) noexcept nogil:
    cdef int half, bucket
    for half in range(2):
        if now_ns - histogram.began_ns[half] < 2 * HALF_NS:
            for bucket in range(LATENCY_BUCKETS):
                counts[bucket] += histogram.counts[half][bucket]


cdef int64_t latency_percentile(const uint64_t *counts, int percent) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint64_t below = 0
    cdef int bucket, doublings
    for bucket in range(LATENCY_BUCKETS):
        total += counts[bucket]
    for bucket in range(LATENCY_BUCKETS):
        below += counts[bucket]
        if below * 100 >= total * <uint64_t> percent and below:
            doublings = max(0, (bucket >> STEP_BITS) - 1)
            return ((2 * <int64_t> (bucket - (doublings << STEP_BITS)) + 1) << doublings << UNIT_BITS) // 2
    return 0
