# The one place where times change their unit: monotonic or Unix nanoseconds, NTP-64 (RFC 5905 6), RTP clock ticks
# (RFC 3550 5.1). Exact integers for every int64 of nanoseconds; nothing accumulates.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    NS_PER_S = 1_000_000_000


# Whole seconds, rounded down: C's division rounds towards zero, and times before the epoch are legal.
cdef inline int64_t whole_seconds(int64_t ns) noexcept nogil:
    return ns // NS_PER_S - (1 if ns % NS_PER_S < 0 else 0)


# The rest, 0 <= rest < NS_PER_S.
cdef inline uint64_t nanoseconds(int64_t ns) noexcept nogil:
    cdef int64_t rest = ns % NS_PER_S
    return <uint64_t>(rest + NS_PER_S if rest < 0 else rest)


# NTP seconds count from 1900, 2,208,988,800 s before Unix time, modulo 2^32 (era 1 begins in 2036). The fraction is
# rounded down; one nanosecond is 4.29 units, so nothing is lost.
cpdef inline uint64_t ntp_from_unix_ns(int64_t unix_ns) noexcept nogil:
    cdef uint64_t seconds = <uint64_t>whole_seconds(unix_ns) + <uint64_t>2_208_988_800
    return (seconds << 32) | (nanoseconds(unix_ns) << 32) // NS_PER_S


# The exact inverse for 1968 to 2104: RFC 4330 3 takes a clear top bit as era 1.
cpdef inline int64_t unix_ns_from_ntp(uint64_t ntp) noexcept nogil:
    cdef int64_t seconds = <int64_t>(ntp >> 32) - <int64_t>2_208_988_800
    cdef uint64_t rest = <uint64_t>(<uint32_t>ntp) * NS_PER_S + <uint32_t>-1   # rounded up
    if not ntp >> 63:
        seconds += <int64_t>1 << 32
    return seconds * NS_PER_S + <int64_t>(rest >> 32)


# Ticks of an RTP clock since the clock's zero, modulo 2^32, rounded down. Seconds * rate may wrap at 2^64: harmless
# modulo 2^32. The rest cannot: 10^9 * 2^32 < 2^63.
cpdef inline uint32_t rtp_ticks(int64_t capture_ns, uint32_t clock_rate) noexcept nogil:
    cdef uint64_t whole = <uint64_t>whole_seconds(capture_ns) * clock_rate
    return <uint32_t>(whole + nanoseconds(capture_ns) * clock_rate // NS_PER_S)
