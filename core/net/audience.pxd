# The readers of one stream on this thread: who they are, the window that they read from, and where each of them starts.

from libc.stdint cimport int64_t, uint16_t, uint64_t

from camfleet.core.net.client cimport MEDIA_JOINING, Audience, Client
from camfleet.core.net.queue cimport Item, Queue
from camfleet.core.ring.stream cimport Subscription
from camfleet.core.rtp.packetizer cimport NO_CODEC

# NULL when memory is out.
cdef Audience *audience_new(Subscription *subscription, int64_t keep_ns, int64_t pages_from) noexcept nogil
cdef void audience_free(Audience *audience) noexcept nogil       # nobody may be in it
# The client's first frame is looked for, and an EVENT_READY follows when it is known.
cdef void audience_join(Audience *audience, Client *client, Queue *events, int64_t now_ns) noexcept nogil
# The client plays already: its media goes on with the frame that has this sequence number.
cdef void audience_go_on(Audience *audience, Client *client, uint16_t sequence) noexcept nogil
# No more media after the frame that is being sent. Safe for a client that is in no audience.
cdef void audience_leave(Client *client) noexcept nogil
# Blocks that are due by `until_ns` go into the window, and joiners start at them. False: there were none. `next_due_ns` of
# the audience is then the time of the next one. The window holds blocks of one codec only.
cdef bint audience_take_blocks(Audience *audience, Queue *events, int64_t until_ns) noexcept nogil
# No reader's next block is before `needed`, as of window_forget.
cdef void audience_forget(Audience *audience, uint64_t needed) noexcept nogil

# Whether it was told another codec than came last. Such a client gets no frame, and leaves when the next one comes ...
cdef inline bint audience_misled(const Audience *audience, const Client *client) noexcept nogil:
    return client.codec != NO_CODEC and audience.codec != NO_CODEC and client.codec != audience.codec

# ... unless it was told what the stream has now, and waits for it: what comes was pushed before, ahead of its time.
cdef inline bint audience_awaits_codec(const Audience *audience, const Client *client) noexcept nogil:
    return client.media == MEDIA_JOINING and client.codec == audience.subscription.stream.codec

# Ask the encoder for a key frame, as often as design section 4 allows.
cdef void audience_want_key_frame(Audience *audience, int64_t now_ns) noexcept nogil
