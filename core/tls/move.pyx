"""A session as bytes, so that another process can go on with its next record."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from camfleet.core.status cimport ERROR_CLOSED, ERROR_INVALID, ERROR_SHORT, STATUS_OK
from camfleet.core.tls.libcrypto cimport OPENSSL_cleanse
from camfleet.core.tls.traffic cimport TLS_1_3, TrafficState, traffic_init, traffic_wipe

cdef enum:
    EXPORT_LAYOUT = 1         # raise it with any change below: workers outlive a supervisor's upgrade

cdef packed struct DirectionExport:
    uint8_t secret[48]
    uint8_t secret_size
    uint8_t iv[12]
    uint8_t iv_size
    uint64_t sequence

# In the byte order of the host: an export never leaves it. Times are ages, so that the clocks need not agree.
cdef packed struct SessionExport:
    uint8_t layout
    uint16_t version
    uint16_t suite
    DirectionExport sending
    DirectionExport receiving
    uint64_t records_soft
    uint64_t records_hard
    int64_t period_ns
    int64_t spacing_ns
    uint32_t flood_count
    int64_t flood_window_ns
    uint8_t alert_received
    uint8_t close_received
    uint8_t answer_due
    int64_t key_age_ns
    uint8_t handshake[5]
    uint8_t handshake_size
    uint32_t handshake_skip
    int64_t flood_age_ns
    uint32_t flood_updates
    uint32_t warnings
    uint32_t renegotiations
    uint32_t empty_records


cdef void export_direction(const TrafficState *state, DirectionExport *out) noexcept nogil:
    memcpy(out.secret, state.secret, sizeof(out.secret))
    out.secret_size = state.secret_size
    if state.version != TLS_1_3:
        memcpy(out.iv, state.iv, sizeof(out.iv))
        out.iv_size = sizeof(out.iv)
    out.sequence = state.sequence


cdef int64_t session_export(const TLSSession *session, uint8_t *out, size_t capacity, int64_t now_ns) noexcept nogil:
    cdef SessionExport state
    if session.failed or session.close_sent:
        return ERROR_CLOSED
    if capacity < sizeof(SessionExport):
        return ERROR_SHORT
    memset(&state, 0, sizeof(state))
    state.layout = EXPORT_LAYOUT
    state.version = session.sending.version
    state.suite = session.sending.suite
    export_direction(&session.sending, &state.sending)
    export_direction(&session.receiving, &state.receiving)
    state.records_soft = session.policy.records_soft
    state.records_hard = session.policy.records_hard
    state.period_ns = session.policy.period_ns
    state.spacing_ns = session.policy.spacing_ns
    state.flood_count = session.policy.flood_count
    state.flood_window_ns = session.policy.flood_window_ns
    state.alert_received = session.alert_received
    state.close_received = session.close_received
    state.answer_due = session.answer_due
    state.key_age_ns = now_ns - session.last_update_ns
    memcpy(state.handshake, session.handshake, sizeof(state.handshake))
    state.handshake_size = session.handshake_size
    state.handshake_skip = session.handshake_skip
    state.flood_age_ns = now_ns - session.flood_since_ns
    state.flood_updates = session.flood_updates
    state.warnings = session.warnings
    state.renegotiations = session.renegotiations
    state.empty_records = session.empty_records
    memcpy(out, &state, sizeof(state))
    OPENSSL_cleanse(&state, sizeof(state))
    return sizeof(state)


cdef int import_direction(TrafficState *state, const SessionExport *session, const DirectionExport *direction,
                          bint sealing) noexcept nogil:
    if direction.secret_size > sizeof(direction.secret) or direction.iv_size > sizeof(direction.iv):
        return ERROR_INVALID
    return traffic_init(state, session.version, session.suite, direction.secret, direction.secret_size,
                        direction.iv, direction.iv_size, direction.sequence, sealing)


cdef int session_import(TLSSession *session, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    cdef SessionExport state
    cdef int status
    memset(session, 0, sizeof(TLSSession))
    session.failed = True
    session.close_sent = True
    if size != sizeof(state) or data[0] != EXPORT_LAYOUT:
        return ERROR_INVALID
    memcpy(&state, data, sizeof(state))
    status = ERROR_INVALID
    if state.handshake_size < sizeof(state.handshake):
        status = import_direction(&session.sending, &state, &state.sending, True)
    if status == STATUS_OK:
        status = import_direction(&session.receiving, &state, &state.receiving, False)
    if status == STATUS_OK:
        session.failed = False
        session.close_sent = False
    else:
        traffic_wipe(&session.sending)
    session.policy.records_soft = state.records_soft
    session.policy.records_hard = state.records_hard
    session.policy.period_ns = state.period_ns
    session.policy.spacing_ns = state.spacing_ns
    session.policy.flood_count = state.flood_count
    session.policy.flood_window_ns = state.flood_window_ns
    session.alert_received = state.alert_received
    session.close_received = state.close_received != 0
    session.answer_due = state.answer_due != 0
    session.last_update_ns = now_ns - state.key_age_ns
    memcpy(session.handshake, state.handshake, sizeof(state.handshake))
    session.handshake_size = state.handshake_size
    session.handshake_skip = state.handshake_skip
    session.flood_since_ns = now_ns - state.flood_age_ns
    session.flood_updates = state.flood_updates
    session.warnings = state.warnings
    session.renegotiations = state.renegotiations
    session.empty_records = state.empty_records
    OPENSSL_cleanse(&state, sizeof(state))
    return status
