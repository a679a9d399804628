# A session as bytes. Layout private to move.pyx; the caller wipes the original: a sequence number has one writer.

from libc.stdint cimport int64_t, uint8_t
from camfleet.core.tls.session cimport TLSSession

cdef enum:
    SESSION_EXPORT_MAX = 512

# Bytes written, ERROR_SHORT, or ERROR_CLOSED for a session that is over.
cdef int64_t session_export(const TLSSession *session, uint8_t *out, size_t capacity, int64_t now_ns) noexcept nogil
# STATUS_OK, or a negative status and a session that is over and holds nothing.
cdef int session_import(TLSSession *session, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil
