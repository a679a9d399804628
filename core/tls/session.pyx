"""A TLS session after its handshake: what each record means and what is due to be sent.

Three ways to end. The peer breaks a rule: a negative status, and `alert_to_send` names the rule. The peer sends a fatal
alert: ERROR_CLOSED. The peer sends close_notify: RECEIVED_CLOSE, everything after it is ignored (RFC 8446 6.1), and we
may go on sending.

What is due. One answer to the peer's KeyUpdates leaves before the next application data (RFC 8446 4.6.3), however
often it asked. Our own KeyUpdate is due when our key is worn (`records_soft`) or old (`period_ns`), and never sooner
than `spacing_ns` after it began. The peer is asked to update too only when its key is half way to `records_hard`: its
own limits are its own affair, and GStreamer with GnuTLS 3.7 sometimes breaks when asked (decision 0011). TLS 1.2 has
no KeyUpdate; there the answer is a no_renegotiation warning.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from camfleet.core.octets cimport OctetReader, octet_reader, take_octets, take_u8
from camfleet.core.status cimport (
    ERROR_BAD_MAC, ERROR_CLOSED, ERROR_CRYPTO, ERROR_INVALID, ERROR_LIMIT, ERROR_SHORT, STATUS_OK,
)
from camfleet.core.tls cimport record as layer
from camfleet.core.tls.libcrypto cimport OPENSSL_cleanse
from camfleet.core.tls.move cimport SESSION_EXPORT_MAX, session_export, session_import
from camfleet.core.tls.record cimport (
    CONTENT_ALERT, CONTENT_APPLICATION_DATA, CONTENT_HANDSHAKE, MAX_PLAINTEXT_SIZE, open_record, seal_overhead,
    seal_record,
)
from camfleet.core.tls.traffic cimport TLS_1_3, traffic_init, traffic_update, traffic_wipe

from camfleet.core.tls.alert import TLSError, alert_name

cdef enum:
    CLIENT_HELLO = 1          # RFC 8446 B.3
    KEY_UPDATE = 24
    HANDSHAKE_HEADER_SIZE = 4
    KEY_UPDATE_SIZE = 4 + 1
    ALERT_SIZE = 2
    MAX_EMPTY_RECORDS = 32    # in a row; OpenSSL and BoringSSL: 32
    MAX_WARNINGS = 4          # in a row; BoringSSL: 4, OpenSSL: 5
    MAX_RENEGOTIATIONS = 3    # ever: each costs the peer a ClientHello and us a warning

cdef KeyUpdatePolicy DEFAULT_POLICY
# RFC 8446 5.5: 2^24.5 full records under one AES-GCM key. Our own KeyUpdate comes at a quarter of the hard limit.
DEFAULT_POLICY.records_soft = <uint64_t>1 << 22
DEFAULT_POLICY.records_hard = <uint64_t>1 << 24
DEFAULT_POLICY.period_ns = <int64_t>6 * 3600 * 1_000_000_000
DEFAULT_POLICY.spacing_ns = <int64_t>10 * 1_000_000_000
# GnuTLS: 8 per second. BoringSSL: 32 without application data between them.
DEFAULT_POLICY.flood_count = 8
DEFAULT_POLICY.flood_window_ns = 1_000_000_000


# ---------------------------------------------------------------- life

cdef void session_wipe(TLSSession *session) noexcept nogil:
    traffic_wipe(&session.sending)
    traffic_wipe(&session.receiving)
    OPENSSL_cleanse(session, sizeof(TLSSession))
    session.alert_received = NO_ALERT
    session.failed = True
    session.close_sent = True


cdef inline int fail(TLSSession *session, int status, uint8_t alert) noexcept nogil:
    session.failed = True
    session.alert_to_send = alert
    return status


# ---------------------------------------------------------------- incoming

cdef inline uint8_t record_alert(int status) noexcept nogil:
    """The alert for a record that record_size or open_record refused."""
    if status == ERROR_BAD_MAC:
        return BAD_RECORD_MAC
    if status == ERROR_LIMIT:
        return RECORD_OVERFLOW
    return UNEXPECTED_MESSAGE if status == ERROR_INVALID else INTERNAL_ERROR


cdef int session_receive(TLSSession *session, uint8_t *record, size_t size, int64_t now_ns,
                         uint8_t **plaintext, size_t *plaintext_size) noexcept nogil:
    cdef int64_t result
    cdef uint8_t content_type
    plaintext[0] = NULL
    plaintext_size[0] = 0
    if session.failed:
        return ERROR_CLOSED
    if session.close_received:
        return RECEIVED_CLOSE
    result = layer.record_size(record, size)
    if result >= 0:
        if <size_t>result != size:
            return fail(session, ERROR_INVALID, DECODE_ERROR)
        if session.receiving.sequence >= session.policy.records_hard:
            return fail(session, ERROR_LIMIT, CLOSE_NOTIFY)
        result = open_record(&session.receiving, record, size, &content_type, plaintext)
    if result < 0:
        return fail(session, <int>result, record_alert(<int>result))

    # RFC 8446 5.1: no other record within a handshake message. 5.4, RFC 5246 6.2.1: only application data may be empty.
    if content_type == CONTENT_HANDSHAKE and result > 0:
        return receive_handshake(session, plaintext[0], result, now_ns)
    if session.handshake_size > 0 or session.handshake_skip > 0:
        return fail(session, ERROR_INVALID, UNEXPECTED_MESSAGE)
    if content_type == CONTENT_ALERT and result > 0:
        return receive_alert(session, plaintext[0], result)
    if content_type != CONTENT_APPLICATION_DATA:
        return fail(session, ERROR_INVALID, UNEXPECTED_MESSAGE)
    if result == 0:
        session.empty_records += 1
        if session.empty_records > MAX_EMPTY_RECORDS:
            return fail(session, ERROR_LIMIT, UNEXPECTED_MESSAGE)
        return RECEIVED_NOTHING
    session.empty_records = 0
    session.warnings = 0
    plaintext_size[0] = result
    return RECEIVED_DATA


cdef int receive_alert(TLSSession *session, const uint8_t *alert, size_t size) noexcept nogil:
    """struct { AlertLevel level; AlertDescription description; } Alert; alone and whole in a record (RFC 8446 5.1)."""
    if size != ALERT_SIZE:
        return fail(session, ERROR_INVALID, DECODE_ERROR)
    if alert[0] != ALERT_WARNING and alert[0] != ALERT_FATAL:
        return fail(session, ERROR_INVALID, ILLEGAL_PARAMETER)
    session.alert_received = alert[1]
    if alert[1] == CLOSE_NOTIFY:
        session.close_received = True
        return RECEIVED_CLOSE
    # TLS 1.3 has no other warning than user_canceled: all else is an error whatever its level (RFC 8446 6).
    if alert[1] != USER_CANCELED if session.receiving.version == TLS_1_3 else alert[0] == ALERT_FATAL:
        session.close_sent = True
        return fail(session, ERROR_CLOSED, CLOSE_NOTIFY)
    session.warnings += 1
    if session.warnings > MAX_WARNINGS:
        return fail(session, ERROR_LIMIT, UNEXPECTED_MESSAGE)
    return RECEIVED_NOTHING


cdef int receive_handshake(TLSSession *session, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    """struct { HandshakeType msg_type; uint24 length; body } Handshake; may be split and joined over records."""
    cdef OctetReader reader = octet_reader(data, size)
    cdef uint32_t length, skip
    cdef int status
    cdef bint update = session.receiving.version == TLS_1_3
    while reader.left > 0:
        if session.handshake_skip > 0:
            skip = <uint32_t>min(reader.left, <size_t>session.handshake_skip)
            take_octets(&reader, skip)
            session.handshake_skip -= skip
            continue
        session.handshake[session.handshake_size] = take_u8(&reader)
        session.handshake_size += 1
        if session.handshake[0] != (KEY_UPDATE if update else CLIENT_HELLO):
            return fail(session, ERROR_INVALID, UNEXPECTED_MESSAGE)
        if session.handshake_size < HANDSHAKE_HEADER_SIZE:
            continue
        length = (session.handshake[1] << 16) | (session.handshake[2] << 8) | session.handshake[3]
        if not update:
            session.handshake_size = 0
            session.handshake_skip = length
            session.answer_due = True
            session.renegotiations += 1
            if session.renegotiations > MAX_RENEGOTIATIONS:
                return fail(session, ERROR_LIMIT, UNEXPECTED_MESSAGE)
        elif length != 1:
            return fail(session, ERROR_INVALID, DECODE_ERROR)
        elif session.handshake_size == KEY_UPDATE_SIZE:
            # RFC 8446 5.1: messages before a key change end with their record.
            if reader.left > 0:
                return fail(session, ERROR_INVALID, UNEXPECTED_MESSAGE)
            session.handshake_size = 0
            status = receive_key_update(session, session.handshake[4], now_ns)
            if status < 0:
                return status
    return RECEIVED_NOTHING


cdef int receive_key_update(TLSSession *session, uint8_t request_update, int64_t now_ns) noexcept nogil:
    """RFC 8446 4.6.3."""
    if request_update > 1:
        return fail(session, ERROR_INVALID, ILLEGAL_PARAMETER)
    if now_ns - session.flood_since_ns > session.policy.flood_window_ns:
        session.flood_since_ns = now_ns
        session.flood_updates = 0
    session.flood_updates += 1
    if session.flood_updates > session.policy.flood_count:
        # No rule of the RFC is broken; BoringSSL says unexpected_message for TOO_MANY_KEY_UPDATES, so do we.
        return fail(session, ERROR_LIMIT, UNEXPECTED_MESSAGE)
    if traffic_update(&session.receiving) != STATUS_OK:
        return fail(session, ERROR_CRYPTO, INTERNAL_ERROR)
    if request_update == 1:
        session.answer_due = True
    return RECEIVED_NOTHING


# ---------------------------------------------------------------- outgoing

cdef size_t session_seal_bound(const TLSSession *session, size_t size) noexcept nogil:
    cdef size_t records = (size + MAX_PLAINTEXT_SIZE - 1) // MAX_PLAINTEXT_SIZE
    return size + KEY_UPDATE_SIZE + (records + 1) * seal_overhead(&session.sending)


cdef bint peer_worn(const TLSSession *session) noexcept nogil:
    return session.receiving.sequence >= session.policy.records_hard // 2


cdef bint update_due(const TLSSession *session, int64_t now_ns) noexcept nogil:
    cdef int64_t age_ns = now_ns - session.last_update_ns
    return session.sending.version == TLS_1_3 and age_ns >= session.policy.spacing_ns and (
        age_ns >= session.policy.period_ns
        or session.sending.sequence >= session.policy.records_soft
        or peer_worn(session))


cdef int64_t seal_key_update(TLSSession *session, uint8_t *out, size_t capacity, int64_t now_ns) noexcept nogil:
    """An answer asks for nothing; our own asks the peer for a new key too when the peer's is worn."""
    cdef uint8_t message[KEY_UPDATE_SIZE]
    cdef int64_t written
    message[0] = KEY_UPDATE
    message[1] = 0
    message[2] = 0
    message[3] = 1
    message[4] = not session.answer_due and peer_worn(session)
    written = seal_record(&session.sending, CONTENT_HANDSHAKE, message, KEY_UPDATE_SIZE, out, capacity)
    if written > 0 and traffic_update(&session.sending) != STATUS_OK:
        return ERROR_CRYPTO
    session.last_update_ns = now_ns
    session.updates_sent += 1
    return written


cdef int64_t seal_alert(TLSSession *session, uint8_t level, uint8_t description,
                        uint8_t *out, size_t capacity) noexcept nogil:
    cdef uint8_t alert[ALERT_SIZE]
    alert[0] = level
    alert[1] = description
    return seal_record(&session.sending, CONTENT_ALERT, alert, ALERT_SIZE, out, capacity)


cdef int64_t session_seal(TLSSession *session, const uint8_t *data, size_t size, uint8_t *out, size_t capacity,
                          int64_t now_ns) noexcept nogil:
    cdef uint64_t records = (size + MAX_PLAINTEXT_SIZE - 1) // MAX_PLAINTEXT_SIZE
    cdef bint update = update_due(session, now_ns) or (session.answer_due and session.sending.version == TLS_1_3)
    cdef bint warn = session.answer_due and not update
    cdef size_t fragment
    cdef int64_t written = 0
    cdef int64_t result = 0
    if session.failed or session.close_sent:
        return ERROR_CLOSED
    if capacity < session_seal_bound(session, size):
        return ERROR_SHORT
    # Under the present key: the KeyUpdate alone, or everything. Nothing may fail halfway for want of a key.
    if (session.sending.sequence + (1 if update else warn + records) > session.policy.records_hard
            or (update and records > session.policy.records_hard)):
        return fail(session, ERROR_LIMIT, CLOSE_NOTIFY)

    if update:
        result = written = seal_key_update(session, out, capacity, now_ns)
    elif warn:
        result = written = seal_alert(session, ALERT_WARNING, NO_RENEGOTIATION, out, capacity)
    session.answer_due = False
    while size > 0 and result >= 0:
        fragment = min(size, <size_t>MAX_PLAINTEXT_SIZE)
        result = seal_record(&session.sending, CONTENT_APPLICATION_DATA, data, fragment,
                             out + written, capacity - written)
        data += fragment
        size -= fragment
        written += result
    if result < 0:
        return fail(session, <int>result, INTERNAL_ERROR)
    return written


cdef int64_t session_seal_alert(TLSSession *session, uint8_t level, uint8_t description,
                                uint8_t *out, size_t capacity) noexcept nogil:
    cdef int64_t written
    if session.close_sent:
        return ERROR_CLOSED
    # Not held to records_hard: one record more is far below the bound of RFC 8446 5.5.
    written = seal_alert(session, level, description, out, capacity)
    if written > 0 and (level == ALERT_FATAL or description == CLOSE_NOTIFY):
        session.close_sent = True
    return written


# ---------------------------------------------------------------- Python

HEADER_SIZE = layer.RECORD_HEADER_SIZE


def record_size(bytes data not None):
    cdef int64_t size = layer.record_size(<const uint8_t *>PyBytes_AS_STRING(data), len(data))
    if size == ERROR_LIMIT:
        raise TLSError("a record of more than 16,640 bytes", RECORD_OVERFLOW)
    if size < 0:
        raise TLSError(f"content type {data[0]}", UNEXPECTED_MESSAGE)
    return size


cdef class Session:
    cdef TLSSession session

    def __cinit__(self):
        session_wipe(&self.session)

    def __dealloc__(self):
        session_wipe(&self.session)

    @classmethod
    def from_secrets(cls, *, uint16_t version, uint16_t suite, bytes sending_secret not None,
                     bytes receiving_secret not None, bytes sending_iv not None=b"", bytes receiving_iv not None=b"",
                     uint64_t sending_sequence=0, uint64_t receiving_sequence=0, int64_t now_ns=0):
        cdef Session self = cls.__new__(cls)
        cdef TLSSession *session = &self.session
        cdef int status = traffic_init(
            &session.sending, version, suite, <const uint8_t *>PyBytes_AS_STRING(sending_secret), len(sending_secret),
            <const uint8_t *>PyBytes_AS_STRING(sending_iv), len(sending_iv), sending_sequence, True)
        if status == STATUS_OK:
            status = traffic_init(
                &session.receiving, version, suite, <const uint8_t *>PyBytes_AS_STRING(receiving_secret),
                len(receiving_secret), <const uint8_t *>PyBytes_AS_STRING(receiving_iv), len(receiving_iv),
                receiving_sequence, False)
        if status != STATUS_OK:
            raise ValueError(f"version {version:#06x}, suite {suite:#06x}: unsupported, or wrong secret or IV size")
        session.policy = DEFAULT_POLICY
        session.last_update_ns = now_ns
        session.flood_since_ns = now_ns
        session.failed = False
        session.close_sent = False
        return self

    @classmethod
    def from_export(cls, bytes data not None, int64_t now_ns=0):
        cdef Session self = cls.__new__(cls)
        if session_import(&self.session, <const uint8_t *>PyBytes_AS_STRING(data), len(data), now_ns) != STATUS_OK:
            raise ValueError(f"not a session exported by this build ({len(data)} bytes)")
        return self

    def set_policy(self, *, records_soft=None, records_hard=None, period_s=None, spacing_s=None):
        if records_soft is not None:
            self.session.policy.records_soft = records_soft
        if records_hard is not None:
            self.session.policy.records_hard = records_hard
        if period_s is not None:
            self.session.policy.period_ns = int(period_s * 1e9)
        if spacing_s is not None:
            self.session.policy.spacing_ns = int(spacing_s * 1e9)

    cdef object error(self, int64_t status):
        """The exception for a negative status."""
        cdef uint8_t alert = self.session.alert_to_send
        if status == ERROR_CLOSED and self.session.alert_received != NO_ALERT:
            return TLSError(f"the session is over; the peer's last alert was {alert_name(self.session.alert_received)}")
        if status == ERROR_CLOSED:
            return TLSError("the session is over")
        if alert == CLOSE_NOTIFY:
            return TLSError("the limit of a key is reached")
        return TLSError(f"{alert_name(alert)} (status {status})", alert)

    def receive(self, bytes record not None, int64_t now_ns):
        cdef bytearray copy = bytearray(record)
        cdef uint8_t *plaintext
        cdef size_t size
        cdef int received = session_receive(&self.session, <uint8_t *>copy, len(copy), now_ns, &plaintext, &size)
        if received < 0:
            raise self.error(received)
        if received == RECEIVED_CLOSE:
            return None
        return PyBytes_FromStringAndSize(<char *>plaintext, size) if received == RECEIVED_DATA else b""

    def seal(self, bytes data not None, int64_t now_ns):
        cdef bytes out = PyBytes_FromStringAndSize(NULL, session_seal_bound(&self.session, len(data)))
        cdef int64_t written = session_seal(
            &self.session, <const uint8_t *>PyBytes_AS_STRING(data), len(data),
            <uint8_t *>PyBytes_AS_STRING(out), len(out), now_ns)
        if written < 0:
            raise self.error(written)
        return out[:written]

    def seal_alert(self, uint8_t description):
        cdef uint8_t out[64]
        cdef uint8_t level = ALERT_WARNING if description in (CLOSE_NOTIFY, USER_CANCELED) else ALERT_FATAL
        cdef int64_t written = session_seal_alert(&self.session, level, description, out, sizeof(out))
        if written < 0:
            raise self.error(written)
        return out[:written]

    def export(self, int64_t now_ns):
        cdef uint8_t out[SESSION_EXPORT_MAX]
        cdef int64_t written = session_export(&self.session, out, sizeof(out), now_ns)
        if written < 0:
            raise self.error(written)
        exported = out[:written]
        OPENSSL_cleanse(out, sizeof(out))
        session_wipe(&self.session)
        return exported

    def wipe(self):
        session_wipe(&self.session)

    @property
    def answer_due(self):
        return bool(self.session.answer_due)

    @property
    def close_received(self):
        return bool(self.session.close_received)

    @property
    def alert_received(self):
        return None if self.session.alert_received == NO_ALERT else self.session.alert_received

    @property
    def sending_sequence(self):
        return self.session.sending.sequence

    @property
    def receiving_sequence(self):
        return self.session.receiving.sequence
