# A client goes to another process as it is, whatever it is doing: nothing is waited for. What has not left goes along.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from camfleet.core.net.client cimport Client
from camfleet.core.net.engine cimport Engine

# What stands in front of an EVENT_MOVED; the bytes follow in this order.
cdef struct MovedClient:
    size_t session_size       # export of the TLS session
    size_t unread_size        # ciphertext: the beginning of a record
    size_t frame_size         # the beginning of an interleaved frame
    size_t unsent_size        # must leave before anything else
    uint32_t skip
    uint8_t codec, fraction_lost
    uint64_t bytes_sent, bytes_received, frames_sent, frames_skipped
    int64_t bytes_acknowledged
    uint32_t key_updates
    int64_t last_alive_ns, last_progress_ns

# The client is freed. All frames that there are have been written, see client_finish.
cdef void move_out(Engine *engine, Client *client) noexcept nogil
