# Return codes of every nogil function: negative = error, 0 = done or no progress, positive = a count.
# One convention for the whole of core; camfleet.core.errors turns a code into an exception at the Python edge.

cdef enum:
    STATUS_OK = 0
    ERROR_SHORT = -1      # the output buffer is too small, or the input ends too early
    ERROR_MEMORY = -2     # an allocation failed
    ERROR_INVALID = -3    # the input breaks its format
    ERROR_BAD_MAC = -4    # a TLS record failed authentication
    ERROR_LIMIT = -5      # a named limit was reached
    ERROR_CLOSED = -6     # the peer or the caller has closed
    ERROR_CRYPTO = -7     # libcrypto refused an operation
    ERROR_SYSTEM = -8     # a system call failed; errno says why
