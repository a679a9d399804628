# What a server sends in TLS 1.3, opened with our own record layer instead of libssl: a third of the time (decision 16).
# Sans-I/O; it only opens. Handshake, certificates and all that the client says stay with libssl.

from libc.stdint cimport uint8_t, uint16_t
from camfleet.core.tls.traffic cimport TrafficState

cdef struct Opener:
    uint8_t secret[48]        # server_application_traffic_secret_0 (RFC 8446 7.1), from libssl's key log; wiped when used
    uint8_t secret_size       # 0: not seen, as in TLS 1.2
    TrafficState keys
    bint ready                # it opens; until then libssl does
    bint answer_due           # the server has asked for our KeyUpdate (RFC 8446 4.6.3)
    uint8_t *rest             # the beginning of a record
    size_t rest_size          # under MAX_RECORD_SIZE
    const char *failure       # why it cannot go on, a string that lives for ever

# One line of a key log (SSLKEYLOGFILE); keeps the secret that is wanted.
cdef void opener_hear(Opener *opener, const char *line) noexcept nogil
# All of the handshake has been read and no more. False: not with this version, suite or lack of a secret.
cdef bint opener_begin(Opener *opener, uint16_t suite) noexcept nogil
# Every whole record of `size` bytes, in place; the application data is left at the beginning. The caller has put `rest`
# before what is new. Returns its size; what came before a failure is good.
cdef size_t opener_open(Opener *opener, uint8_t *data, size_t size) noexcept nogil
cdef void opener_wipe(Opener *opener) noexcept nogil         # safe on zeroed memory
