"""Seal and open one record. The cipher's key is already set; a record costs one IV and no allocation.

TLS 1.3 (RFC 8446 5.2)                              TLS 1.2 AEAD (RFC 5246 6.2.3.3)

+------+--------+--------+                          +------+--------+--------+
|  23  | 0x0303 | length |  additional data         | type | 0x0303 | length |  additional data is
+------+--------+--------+------------------+       +------+--------+--------+    sequence | type | version | size
| TLSInnerPlaintext:                        |       | explicit nonce (8), AES-GCM only |
|   content | type (1) | zeros              |       +----------------------------------+
+-------------------------------------------+       | content                          |
| tag (16)                                  |       +----------------------------------+
+-------------------------------------------+       | tag (16)                         |
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy
from camfleet.core.octets cimport (
    OctetReader, OctetWriter, octet_reader, octet_writer, put_octets, put_u8, put_u16, put_u64, take_u64,
)
from camfleet.core.status cimport ERROR_BAD_MAC, ERROR_INVALID, ERROR_LIMIT, ERROR_SHORT, STATUS_OK
from camfleet.core.tls.aead cimport NONCE_SIZE, TAG_SIZE, aead_open, aead_seal
from camfleet.core.tls.traffic cimport TLS_1_2, TLS_1_3, TrafficState

cdef enum:
    MAX_ADDITIONAL_SIZE = 8 + 1 + 2 + 2

cdef uint64_t LAST_SEQUENCE = <uint64_t>-1


cdef int64_t record_size(const uint8_t *data, size_t size) noexcept nogil:
    cdef int64_t ciphertext_size
    if size < RECORD_HEADER_SIZE:
        return 0
    # legacy_record_version "MUST be ignored for all purposes" (RFC 8446 5.1); it is authenticated all the same.
    if data[0] < CONTENT_CHANGE_CIPHER_SPEC or data[0] > CONTENT_APPLICATION_DATA:
        return ERROR_INVALID
    ciphertext_size = (data[3] << 8) | data[4]
    if ciphertext_size > MAX_CIPHERTEXT_SIZE:
        return ERROR_LIMIT
    return RECORD_HEADER_SIZE + ciphertext_size


cdef size_t seal_overhead(const TrafficState *state) noexcept nogil:
    return RECORD_HEADER_SIZE + state.explicit_nonce + (state.version == TLS_1_3) + TAG_SIZE


cdef inline void write_nonce(const TrafficState *state, uint8_t *nonce) noexcept nogil:
    """RFC 8446 5.3 and RFC 7905 2: static IV XOR sequence. RFC 5288 3: salt, then a counter of our choice."""
    cdef OctetWriter writer = octet_writer(nonce, NONCE_SIZE)
    cdef OctetReader low = octet_reader(&state.iv[4], 8)
    put_octets(&writer, state.iv, 4)
    put_u64(&writer, take_u64(&low) + state.sequence if state.explicit_nonce else take_u64(&low) ^ state.sequence)


cdef inline size_t write_additional(const TrafficState *state, const uint8_t *header, size_t size,
                                 uint8_t *out) noexcept nogil:
    """Additional data of a record with `size` bytes of plaintext; see the drawing. Returns its size."""
    cdef OctetWriter writer = octet_writer(out, MAX_ADDITIONAL_SIZE)
    if state.version == TLS_1_3:
        put_octets(&writer, header, RECORD_HEADER_SIZE)
    else:
        put_u64(&writer, state.sequence)
        put_octets(&writer, header, 3)
        put_u16(&writer, <uint16_t>size)
    return writer.size


cdef int64_t seal_record(TrafficState *state, uint8_t content_type, const uint8_t *data, size_t size,
                         uint8_t *out, size_t capacity) noexcept nogil:
    cdef size_t record = seal_overhead(state) + size
    cdef uint8_t nonce[NONCE_SIZE]
    cdef uint8_t additional[MAX_ADDITIONAL_SIZE]
    cdef OctetWriter header = octet_writer(out, RECORD_HEADER_SIZE)
    cdef int status
    if size > MAX_PLAINTEXT_SIZE:
        return ERROR_INVALID
    if capacity < record:
        return ERROR_SHORT
    if state.sequence == LAST_SEQUENCE:
        return ERROR_LIMIT

    put_u8(&header, <uint8_t>CONTENT_APPLICATION_DATA if state.version == TLS_1_3 else content_type)
    put_u16(&header, TLS_1_2)
    put_u16(&header, <uint16_t>(record - RECORD_HEADER_SIZE))
    write_nonce(state, nonce)
    memcpy(out + RECORD_HEADER_SIZE, &nonce[NONCE_SIZE - state.explicit_nonce], state.explicit_nonce)
    status = aead_seal(&state.aead, nonce, additional, write_additional(state, out, size, additional), data, size,
                       &content_type if state.version == TLS_1_3 else NULL,
                       out + RECORD_HEADER_SIZE + state.explicit_nonce, out + record - TAG_SIZE)
    if status != STATUS_OK:
        return status
    state.sequence += 1
    return record


cdef int64_t open_record(TrafficState *state, uint8_t *record, size_t size, uint8_t *content_type,
                         uint8_t **plaintext) noexcept nogil:
    cdef uint8_t nonce[NONCE_SIZE]
    cdef uint8_t additional[MAX_ADDITIONAL_SIZE]
    cdef uint8_t *body = record + RECORD_HEADER_SIZE + state.explicit_nonce
    cdef int64_t inner = <int64_t>size - RECORD_HEADER_SIZE - state.explicit_nonce - TAG_SIZE
    cdef int status
    # RFC 8446 5.2: opaque_type is always application_data; a change_cipher_spec after the handshake is not welcome (5).
    if state.version == TLS_1_3 and record[0] != CONTENT_APPLICATION_DATA:
        return ERROR_INVALID
    if inner < 0:
        return ERROR_BAD_MAC  # no room for a tag: RFC 5116 2.2 calls that FAIL like any other forgery
    if state.sequence == LAST_SEQUENCE:
        return ERROR_LIMIT

    write_nonce(state, nonce)
    memcpy(&nonce[NONCE_SIZE - state.explicit_nonce], record + RECORD_HEADER_SIZE, state.explicit_nonce)
    status = aead_open(&state.aead, nonce, additional, write_additional(state, record, inner, additional),
                       body, <size_t>inner, body + inner)
    if status != STATUS_OK:
        return status
    state.sequence += 1

    plaintext[0] = body
    content_type[0] = record[0]
    if state.version == TLS_1_3:
        # RFC 8446 5.4: the content type is the last octet that is not zero. 5.2: at most 2^14 + 1 with padding.
        if inner > MAX_PLAINTEXT_SIZE + 1:
            return ERROR_LIMIT
        while inner > 0 and body[inner - 1] == 0:
            inner -= 1
        if inner == 0:
            return ERROR_INVALID
        inner -= 1
        content_type[0] = body[inner]
    elif inner > MAX_PLAINTEXT_SIZE:
        return ERROR_LIMIT
    return inner
