"""The floor: a server that does only what cannot be left out, as a yardstick for camfleet on any machine.

Of each frame it makes the numbers new (once, the film being a loop), and writes it with one `send` to each reader, from
one thread. With TLS it seals it before that, into records of 16 KiB with AES-128-GCM (RFC 8446 5.2), by a cipher context
of that reader whose key was set before. No queue, no window, no epoll, no RTCP: nothing of what makes a camera server.

A socket that is full gets the rest of its frame when the next one is due, and does without that one; both are late.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, clockid_t, timespec
from camfleet.core.mutex cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock,
)
from camfleet.core.octets cimport (
    OctetReader, OctetWriter, octet_reader, octet_writer, put_octets, put_u8, put_u16, put_u32, put_u64, take_octets,
    take_u16, take_u64,
)
from camfleet.core.tls.aead cimport TAG_SIZE
from camfleet.core.tls.libcrypto cimport (
    EVP_CIPHER_CTX, EVP_CIPHER_CTX_ctrl, EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_new, EVP_CTRL_AEAD_GET_TAG,
    EVP_CipherFinal_ex, EVP_CipherInit_ex, EVP_CipherUpdate, EVP_aes_128_gcm,
)
from camfleet.core.tls.record cimport (
    CONTENT_APPLICATION_DATA, MAX_PLAINTEXT_SIZE, RECORD_HEADER_SIZE,
)
from camfleet.core.tls.traffic cimport TLS_1_2

from typing import NamedTuple

cdef extern from "<time.h>" nogil:
    enum:
        TIMER_ABSTIME
    int clock_nanosleep(clockid_t clock, int flags, const timespec *request, timespec *remain)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL
    ssize_t send(int descriptor, const void *data, size_t size, int flags)

cdef enum:
    KEY_SIZE = 16
    IV_SIZE = 12
    RTP_CLOCK = 90_000

cdef int64_t NS_PER_S = 1_000_000_000

cdef struct Reader:
    int descriptor
    EVP_CIPHER_CTX *cipher    # NULL: plain
    uint8_t iv[12]
    uint64_t sequence         # of the next record
    uint8_t *rest             # what the socket did not take of a frame
    size_t rest_size


cdef int64_t _clock(clockid_t clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <int64_t>now.tv_sec * NS_PER_S + now.tv_nsec


class Reference(NamedTuple):
    rtp_timestamp: int
    unix_ns: int


cdef class Floor:
    cdef pthread_mutex_t lock     # held while a frame is sent
    cdef bint stopped
    cdef bint tls
    cdef Reader *readers
    cdef size_t count
    cdef list frames              # keeps the next two alive
    cdef uint8_t **film
    cdef size_t *sizes
    cdef size_t frame_count
    cdef size_t next_frame
    cdef uint16_t sequence        # RTP, of the next packet
    cdef uint32_t timestamp       # RTP, of the next frame
    cdef uint32_t ticks           # from one frame to the next
    cdef int64_t period_ns
    cdef int64_t due_ns           # monotonic, of the next frame
    cdef uint8_t *inner           # the frame as TLSInnerPlaintext: a content type behind each record's bytes
    cdef uint8_t *sealed
    cdef uint64_t late_frames

    # ---------------------------------------------------------------- life

    def __cinit__(self, frames, int fps, bint tls):
        cdef size_t largest = max(len(frame) for frame in frames), index
        cdef size_t records = largest // MAX_PLAINTEXT_SIZE + 1
        pthread_mutex_init(&self.lock, NULL)
        self.tls = tls
        self.frames = [bytearray(frame) for frame in frames]
        self.frame_count = len(self.frames)
        self.film = <uint8_t **>malloc(self.frame_count * sizeof(uint8_t *))
        self.sizes = <size_t *>malloc(self.frame_count * sizeof(size_t))
        self.inner = <uint8_t *>malloc(largest + records)
        self.sealed = <uint8_t *>malloc(largest + records * (RECORD_HEADER_SIZE + 1 + TAG_SIZE))
        if self.film == NULL or self.sizes == NULL or self.inner == NULL or self.sealed == NULL:
            raise MemoryError
        for index in range(self.frame_count):
            self.film[index] = <uint8_t *><bytearray>self.frames[index]
            self.sizes[index] = len(self.frames[index])
        self.period_ns = NS_PER_S // fps
        self.ticks = RTP_CLOCK // fps
        self.due_ns = _clock(CLOCK_MONOTONIC) + self.period_ns

    def __dealloc__(self):
        while self.count:
            self._forget(self.count - 1)
        free(self.readers)
        free(self.film)
        free(self.sizes)
        free(self.inner)
        free(self.sealed)
        pthread_mutex_destroy(&self.lock)

    # ---------------------------------------------------------------- orders

    def add(self, int descriptor, bytes key not None=b"", bytes iv not None=b"", uint64_t sequence=0):
        cdef Reader reader
        cdef Reader *grown
        if len(key) != self.tls * KEY_SIZE or len(iv) != self.tls * IV_SIZE:
            raise ValueError(f"{len(key)} bytes of key and {len(iv)} of IV")
        reader.descriptor = descriptor
        reader.cipher = NULL
        reader.sequence = sequence
        reader.rest = NULL
        reader.rest_size = 0
        if self.tls:
            reader.cipher = EVP_CIPHER_CTX_new()
            if reader.cipher == NULL:
                raise MemoryError
            memcpy(reader.iv, <const uint8_t *>iv, IV_SIZE)
            if EVP_CipherInit_ex(reader.cipher, EVP_aes_128_gcm(), NULL, <const uint8_t *>key, NULL, 1) != 1:
                EVP_CIPHER_CTX_free(reader.cipher)
                raise MemoryError
        with nogil:
            pthread_mutex_lock(&self.lock)
            grown = <Reader *>realloc(self.readers, (self.count + 1) * sizeof(Reader))
            if grown != NULL:
                self.readers = grown
                self.readers[self.count] = reader
                self.count += 1
            pthread_mutex_unlock(&self.lock)
        if grown == NULL:
            EVP_CIPHER_CTX_free(reader.cipher)
            raise MemoryError

    def remove(self, int descriptor):
        cdef size_t index = 0
        with nogil:
            pthread_mutex_lock(&self.lock)
            while index < self.count and self.readers[index].descriptor != descriptor:
                index += 1
            if index < self.count:
                self._forget(index)
            pthread_mutex_unlock(&self.lock)

    cdef void _forget(self, size_t index) noexcept nogil:
        EVP_CIPHER_CTX_free(self.readers[index].cipher)
        free(self.readers[index].rest)
        self.count -= 1
        self.readers[index] = self.readers[self.count]

    def reference(self):
        cdef int64_t unix_ns
        cdef uint32_t timestamp
        with nogil:
            pthread_mutex_lock(&self.lock)
            unix_ns = _clock(CLOCK_REALTIME) + self.due_ns - _clock(CLOCK_MONOTONIC)
            timestamp = self.timestamp
            pthread_mutex_unlock(&self.lock)
        return Reference(timestamp, unix_ns)

    def stop(self):
        self.stopped = True

    @property
    def late(self):
        return self.late_frames

    # ---------------------------------------------------------------- what is measured

    def run(self):
        with nogil:
            while not self.stopped:
                self._wait()
                pthread_mutex_lock(&self.lock)
                if self.count:
                    self._send_frame()
                self.due_ns += self.period_ns
                self.timestamp += self.ticks
                pthread_mutex_unlock(&self.lock)

    cdef void _wait(self) noexcept nogil:
        cdef timespec due
        due.tv_sec = self.due_ns // NS_PER_S
        due.tv_nsec = self.due_ns % NS_PER_S
        while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) != 0:      # EINTR
            pass

    cdef void _send_frame(self) noexcept nogil:
        cdef uint8_t *data = self.film[self.next_frame]
        cdef size_t size = self.sizes[self.next_frame], index
        self._number(data, size)
        if self.tls:
            self._lay_out(data, size)
        for index in range(self.count):
            if self.tls:
                self._send_sealed(&self.readers[index], size)
            else:
                self._send(&self.readers[index], data, size)
        self.next_frame = (self.next_frame + 1) % self.frame_count

    # Sequence number and timestamp of each packet (RFC 3550 5.1).
    cdef void _number(self, uint8_t *data, size_t size) noexcept nogil:
        cdef OctetReader reader = octet_reader(data, size)
        cdef OctetWriter numbers
        cdef size_t packet
        while reader.left and not reader.short:
            take_u16(&reader)
            packet = take_u16(&reader)
            numbers = octet_writer(<uint8_t *>reader.at + 2, 6)
            take_octets(&reader, packet)
            put_u16(&numbers, self.sequence)
            put_u32(&numbers, self.timestamp)
            self.sequence += 1

    cdef void _lay_out(self, const uint8_t *data, size_t size) noexcept nogil:
        cdef uint8_t *inner = self.inner
        cdef size_t fragment
        while size:
            fragment = min(size, <size_t>MAX_PLAINTEXT_SIZE)
            memcpy(inner, data, fragment)
            inner[fragment] = CONTENT_APPLICATION_DATA
            inner += fragment + 1
            data += fragment
            size -= fragment

    cdef void _send_sealed(self, Reader *reader, size_t size) noexcept nogil:
        cdef const uint8_t *inner = self.inner
        cdef uint8_t *record = self.sealed
        cdef size_t fragment
        if reader.rest_size:          # nothing is sealed that will not be sent: a number would be missing
            self._send(reader, NULL, 0)
            return
        while size:
            fragment = min(size, <size_t>MAX_PLAINTEXT_SIZE)
            record += _seal(reader, inner, fragment + 1, record)
            inner += fragment + 1
            size -= fragment
        self._send(reader, self.sealed, record - self.sealed)

    cdef void _send(self, Reader *reader, const uint8_t *data, size_t size) noexcept nogil:
        cdef ssize_t sent
        if reader.rest_size:
            self.late_frames += 1
            sent = max(send(reader.descriptor, reader.rest, reader.rest_size, MSG_DONTWAIT | MSG_NOSIGNAL), 0)
            reader.rest_size -= sent
            memmove(reader.rest, reader.rest + sent, reader.rest_size)
            return
        sent = max(send(reader.descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL), 0)
        if <size_t>sent < size:
            self.late_frames += 1
            free(reader.rest)
            reader.rest = <uint8_t *>malloc(size - sent)
            if reader.rest != NULL:
                reader.rest_size = size - sent
                memcpy(reader.rest, data + sent, reader.rest_size)


# One record; its size, 0 when libcrypto fails: the client finds that out.
cdef size_t _seal(Reader *reader, const uint8_t *inner, size_t size, uint8_t *record) noexcept nogil:
    cdef OctetWriter header = octet_writer(record, RECORD_HEADER_SIZE)
    cdef uint8_t nonce[IV_SIZE]
    cdef OctetReader iv = octet_reader(&reader.iv[4], 8)
    cdef OctetWriter number = octet_writer(&nonce[4], 8)
    cdef int written
    put_u8(&header, CONTENT_APPLICATION_DATA)
    put_u16(&header, TLS_1_2)
    put_u16(&header, <uint16_t>(size + TAG_SIZE))
    memcpy(nonce, reader.iv, 4)
    put_u64(&number, take_u64(&iv) ^ reader.sequence)         # RFC 8446 5.3
    reader.sequence += 1
    if (EVP_CipherInit_ex(reader.cipher, NULL, NULL, NULL, nonce, -1) != 1
            or EVP_CipherUpdate(reader.cipher, NULL, &written, record, RECORD_HEADER_SIZE) != 1
            or EVP_CipherUpdate(reader.cipher, record + RECORD_HEADER_SIZE, &written, inner, <int>size) != 1
            or EVP_CipherFinal_ex(reader.cipher, record, &written) != 1
            or EVP_CIPHER_CTX_ctrl(reader.cipher, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE,
                                   record + RECORD_HEADER_SIZE + size) != 1):
        return 0
    return RECORD_HEADER_SIZE + size + TAG_SIZE
