# One TLS connection after its handshake (RFC 8446 5-6, RFC 5246 6-7): both directions, alerts, KeyUpdate. Sans-I/O:
# records and `now_ns` come in, plaintext and records go out. No GIL, no allocation per record.
#
# Ordered by flow: life, incoming, outgoing. How a session moves is in move.pxd.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from camfleet.core.tls.traffic cimport TrafficState

cdef enum:
    RECEIVED_NOTHING = 0      # a record without application data was handled (KeyUpdate, warning, empty record)
    RECEIVED_DATA = 1         # plaintext is at the given place
    RECEIVED_CLOSE = 2        # close_notify: the peer will send nothing more

cdef enum:                    # AlertLevel, and the AlertDescriptions that the code acts on (RFC 8446 6)
    ALERT_WARNING = 1
    ALERT_FATAL = 2
    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    RECORD_OVERFLOW = 22
    ILLEGAL_PARAMETER = 47
    DECODE_ERROR = 50
    INTERNAL_ERROR = 80
    USER_CANCELED = 90
    NO_RENEGOTIATION = 100    # RFC 5246 7.2.2
    NO_ALERT = 0xFF           # of alert_received: none yet

cdef struct KeyUpdatePolicy:
    uint64_t records_soft     # send our KeyUpdate from this many records under one key (2^22)
    uint64_t records_hard     # never seal or open more under one key (2^24)
    int64_t period_ns         # send our KeyUpdate when a key is this old (6 h)
    int64_t spacing_ns        # never more than one of ours per this time (10 s)
    uint32_t flood_count      # a peer that sends more KeyUpdates than this ...
    int64_t flood_window_ns   # ... within this time is closed

cdef struct TLSSession:
    TrafficState sending
    TrafficState receiving
    KeyUpdatePolicy policy
    uint8_t alert_to_send     # description of the fatal alert due after a negative return; 0: close_notify is enough
    uint8_t alert_received    # description of the peer's last alert, NO_ALERT = none
    bint close_sent           # nothing more can be sealed: we said the last word, or the peer's alert forbids one
    bint close_received
    bint failed               # a negative return ended the session; only session_seal_alert still works, once
    bint answer_due           # the peer asked for a KeyUpdate (TLS 1.2: a renegotiation) and has no answer yet
    int64_t last_update_ns    # when the sending key began
    uint32_t updates_sent     # KeyUpdates of ours, since the session came here
    # the rest is private to session.pyx and move.pyx: the handshake message being received, and what a peer may not overdo
    uint8_t handshake[5]
    uint8_t handshake_size
    uint32_t handshake_skip   # bytes left of a refused ClientHello
    int64_t flood_since_ns
    uint32_t flood_updates
    uint32_t warnings
    uint32_t renegotiations
    uint32_t empty_records

# --- life
cdef void session_wipe(TLSSession *session) noexcept nogil     # also frees the cipher contexts; safe on zeroed memory

# --- incoming. `record` is one whole record (5-byte header included, see record_size), decrypted in place.
# Returns RECEIVED_* or a negative status; then `alert_to_send` says what to tell the peer before closing.
# ERROR_CLOSED: the peer ended the session with an alert (or it had ended before), there is nothing to tell.
cdef int session_receive(TLSSession *session, uint8_t *record, size_t size, int64_t now_ns,
                         uint8_t **plaintext, size_t *plaintext_size) noexcept nogil

# --- outgoing. All return bytes written to `out` or a negative status.
cdef size_t session_seal_bound(const TLSSession *session, size_t size) noexcept nogil
# Application data in records of up to 16 KiB; what is due (our KeyUpdate, an answer) goes first. size may be 0: then
# only what is due is written. ERROR_SHORT (capacity under session_seal_bound) changes nothing; ERROR_LIMIT: the key is
# used up, say close_notify; ERROR_CLOSED; ERROR_CRYPTO.
cdef int64_t session_seal(TLSSession *session, const uint8_t *data, size_t size, uint8_t *out, size_t capacity,
                          int64_t now_ns) noexcept nogil
# One alert; close_notify and a fatal one are the last word.
cdef int64_t session_seal_alert(TLSSession *session, uint8_t level, uint8_t description,
                                uint8_t *out, size_t capacity) noexcept nogil
