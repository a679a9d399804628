# How a client goes. Dropped: the socket is dead or stalled. Closing: goodbye is written, FIN sent, and the peer's FIN
# awaited for at most a second. Releasing: output drains, then descriptor and session go to another process.

from libc.stdint cimport int64_t, uint8_t

from camfleet.core.net.client cimport Client
from camfleet.core.net.engine cimport Engine
from camfleet.core.net.queue cimport Item

# The client is freed by both of these, or it may be.
cdef void drop(Engine *engine, Client *client, const char *reason) noexcept nogil
# After anything was done with a client: act on the status, go on leaving, and tell epoll what it waits for now.
cdef void settle(Engine *engine, Client *client, int status, int64_t now_ns) noexcept nogil

# What begins an orderly end; `settle` goes on with it.
cdef void close_orderly(Engine *engine, Client *client, const char *reason, int64_t now_ns) noexcept nogil
cdef void release(Client *client, int64_t now_ns) noexcept nogil
# Descriptor and session go to Python in the event that `describe` makes, NULL when memory is out. The client is freed.
ctypedef Item *(*Describe)(const Client *client, const uint8_t *session, size_t session_size) noexcept nogil
cdef void hand_out(Engine *engine, Client *client, Describe describe) noexcept nogil
# RTCP BYE (RFC 3550 6.6) to a reader that plays. STATUS_OK, or negative: close the client.
cdef int say_goodbye(Engine *engine, Client *client, int64_t now_ns) noexcept nogil
