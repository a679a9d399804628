# One adopted connection: everything the engine knows of it. Ordered by flow: life, input, output, media, counters.
# Only the fan-out thread touches it after `table_add`. Python reads the counters under the table's lock, which keeps the
# client from going; each is one aligned word of a single writer, so a reading may mix moments, but no halves of a number.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from camfleet.core.net.inlet cimport InletState
from camfleet.core.net.pages cimport PageFile
from camfleet.core.net.queue cimport Item
from camfleet.core.ring.block cimport FrameBlock
from camfleet.core.ring.stream cimport Subscription
from camfleet.core.ring.window cimport StreamWindow
from camfleet.core.tls.session cimport TLSSession

cdef enum:
    INPUT_BUFFER_SIZE = 65_536              # of the thread, not of the client
    UNREAD_SIZE_MAX = 5 + 16_384 + 256      # a record that has not wholly arrived
    # RTSP text that Python has not parsed yet; then reading stops. The largest message, or Python waits for its end and
    # we for Python: MAX_HEAD_SIZE + MAX_BODY_SIZE of core/rtsp/reader.py.
    UNCONSUMED_MAX = 16_384 + 65_536
    RTCP_SIZE_MAX = 2_048                   # interleaved frames over this are skipped unread (RTCP is far smaller)
    UNREAD_REPLIES_MAX = 2 * 1024 * 1024    # RTSP text that a client does not read: it is closed
    BACKLOG_MAX = 256 * 1024                # of frames that a slow reader takes along when it moves to another process
    TURN_SIZE = 256 * 1024                  # of media for one client with much to catch up, before it is others' turn
    # What a socket may hold that the peer has not acknowledged; a slow reader costs this and the rest of one frame.
    SEND_BUFFER_MIN = 512 * 1024
    SEND_BUFFER_MAX = 1280 * 1024
    UNSENT_MIN = 128 * 1024                 # ... and of this, what has never been sent: how late a slow reader is

cdef enum Media:
    MEDIA_NONE
    MEDIA_JOINING             # waits for the key frame to start with
    MEDIA_READY               # `first` is known; Python has to answer PLAY
    MEDIA_PLAYING

cdef enum Leaving:
    STAYS
    CLOSING                   # goodbye is written; then FIN, then wait for the peer's
    RELEASING                 # output drains; then descriptor and session go to another process

cdef extern from *:
    """
    #define NOTHING_DUE INT64_MAX
    """
    const int64_t NOTHING_DUE

cdef struct Client

cdef struct Audience:         # see audience.pxd
    StreamWindow window
    PageFile pages
    int64_t plain_readers     # joining, ready or playing
    int64_t pages_from        # so many of them make it worth while to have the window in pages too
    Subscription *subscription
    uint8_t codec             # of what is in the window; NO_CODEC: nothing has come yet
    Client *first
    Audience *next
    int64_t next_due_ns       # of the block that waits in the mailbox, or NOTHING_DUE
    int64_t asked_ns          # when this thread last wanted a key frame

# Memory of the thread, used within one call.
cdef struct Scratch:
    uint8_t *input            # INPUT_BUFFER_SIZE + UNREAD_SIZE_MAX
    uint8_t *sealed
    size_t sealed_capacity
    uint8_t *copy             # a block with another reader's channel numbers
    size_t copy_capacity

cdef struct Client:
    uint64_t id
    int descriptor
    bint adopted              # the engine's thread has seen it
    Leaving leaving
    uint32_t interest         # as told to epoll
    const char *reason        # why it is being closed: a literal
    int error_number          # errno that goes with it

    TLSSession *tls           # NULL: plain

    uint8_t *unread           # the beginning of a record; NULL between records
    uint32_t unread_size
    bint text_mode            # bytes are Python's until it says that it stands between messages
    bint input_ended          # ... and Python knows that no more will come
    uint64_t delivered        # RTSP text given to Python
    uint64_t consumed         # ... and parsed by it
    uint8_t *frame            # the beginning of an interleaved frame; NULL between frames
    uint32_t frame_size
    uint32_t skip             # bytes of an interleaved frame that is not looked at here, still to come
    bint into_inlet           # they go there
    InletState *inlet         # of a client that publishes, for what comes on its two channels

    uint8_t *tail             # bytes that must leave before anything else, sealed if secure
    size_t tail_offset
    size_t tail_size
    size_t tail_capacity
    FrameBlock *partial       # plain: the block that was cut by a full socket; leaves before `tail`
    uint32_t partial_offset
    size_t unread_replies     # text among what waits; 0 when nothing waits
    int64_t waiting_capture_ns    # of the frame whose end is among what waits; 0 = none
    bint more                 # had its turn, and there is more to send
    bint fin_sent
    int64_t deadline_ns       # CLOSING, RELEASING

    Media media
    int64_t preparations      # so many times it was to join; tells its Ready events apart
    Audience *audience
    Client *next              # in the audience
    Client *previous
    FrameBlock *first
    uint64_t position         # in the window, of the next block
    bint fresh                # the next block begins with its sender report
    uint8_t codec             # what it was told that it gets; NO_CODEC: it takes what comes
    uint8_t rtp_channel
    uint8_t rtcp_channel
    uint32_t send_buffer      # takes a frame of this size at once
    int64_t behind_since_ns   # since when it has not had everything, 0 = up to date

    uint64_t bytes_sent
    uint64_t bytes_received
    int64_t bytes_acknowledged
    uint64_t frames_sent
    uint64_t frames_skipped
    uint8_t fraction_lost
    int64_t last_progress_ns  # the socket took something or the peer acknowledged something, or nothing waits
    int64_t last_alive_ns     # bytes came in, or were acknowledged


cdef inline bint client_blocked(const Client *client) noexcept nogil:
    return client.partial != NULL or client.tail_size != client.tail_offset


cdef inline bint peer_said_close(const Client *client) noexcept nogil:
    return client.tls != NULL and client.tls.close_received


cdef Client *client_new(int descriptor) noexcept nogil          # NULL when memory is out
cdef void client_free(Client *client) noexcept nogil            # its descriptor stays open; NULL is no client
# Its EVENT_CLOSED, in the memory that was the client: the last word cannot fail for want of any.
cdef Item *client_farewell(Client *client) noexcept nogil
cdef void client_fail(Client *client, const char *reason, int error_number) noexcept nogil
# How many there are in this process.
cdef int64_t live_clients() noexcept nogil
