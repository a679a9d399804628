"""The record layer as the fan-out thread drives it: one session, many frames, no Python object per record."""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from camfleet.core.tls.move cimport session_import
from camfleet.core.tls.record cimport record_size
from camfleet.core.tls.session cimport TLSSession, session_receive, session_seal, session_seal_bound, session_wipe


cdef TLSSession imported(bytes export) except *:
    cdef TLSSession session
    if session_import(&session, export, len(export), 0) != 0:
        raise ValueError("not an exported session")
    return session


def seal_many(bytes export not None, bytes data not None, int count):
    cdef TLSSession session = imported(export)
    cdef const uint8_t *plaintext = data
    cdef size_t size = len(data)
    cdef size_t capacity = session_seal_bound(&session, size)
    cdef uint8_t *out = <uint8_t *>malloc(capacity)
    cdef int64_t written = 0
    if out != NULL:
        with nogil:
            for _ in range(count):
                written = session_seal(&session, plaintext, size, out, capacity, 0)
    free(out)
    session_wipe(&session)
    return written


def open_all(bytes export not None, bytes records not None):
    cdef TLSSession session = imported(export)
    cdef size_t left = len(records)
    cdef uint8_t *buffer = <uint8_t *>malloc(left)
    cdef uint8_t *record = buffer
    cdef uint8_t *plaintext
    cdef size_t plaintext_size
    cdef int64_t size
    cdef int64_t opened = 0
    if buffer != NULL:
        memcpy(buffer, <const uint8_t *>records, left)
        with nogil:
            while left > 0:
                size = record_size(record, left)
                if session_receive(&session, record, size, 0, &plaintext, &plaintext_size) < 0:
                    break
                opened += plaintext_size
                record += size
                left -= size
    free(buffer)
    session_wipe(&session)
    return opened
